import { PROGRAMS } from "../../deploy/_programs.ts";
import { defaults, loadSettings, parseConfig } from "../../src/config.ts";
import { DAEMON_NEEDS, daemonFlags, installedFlag } from "../../src/daemon/permissions.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import {
  confined,
  type Confinement,
  CONFINEMENT_PROGRAMS,
  NOBODY,
} from "../support/confinement.ts";
import { commandOf, FORM, HOME, IS_BUNDLED } from "../support/forms.ts";
import {
  Daemon,
  type DaemonOptions,
  hactl,
  type Result,
  run,
  TempFolder,
} from "../support/programs.ts";
import { closing, FaultyServer, sending, silent } from "../servers/faulty.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const DEPLOY = `${PROJECT}deploy`;
const UNIT = `${DEPLOY}/hacheck.service`;

/** Reads the values of a setting in the unit, in order. */
function setting(name: string): string[] {
  const lines = Deno.readTextFileSync(UNIT).split("\n");
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) =>
    line.slice(name.length + 1)
  );
}

serverTest("systemd-analyze security gives the unit an exposure of at most 1.3", [
  "systemd-analyze",
], async () => {
  const args = ["security", "--offline=true", "--no-pager", "--threshold=13", UNIT];
  const { code, stdout, stderr } = await run("systemd-analyze", args, { NO_COLOR: "1" });
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /Overall exposure level for hacheck\.service: (?:0\.\d|1\.[0-3]) /);
});

/** Settings that the unit leaves open, because hacheck needs them. */
const OPEN: readonly string[] = [
  // hacheck must see a spool that is replaced: it cannot be mounted elsewhere.
  "RootDirectoryOrRootImage",
  // V8 compiles to machine code.
  "MemoryDenyWriteExecute",
  "RestrictAddressFamilies_AF_INET_INET6",
  // To notify systemd.
  "RestrictAddressFamilies_AF_UNIX",
  "PrivateNetwork",
  // ProtectClock=yes itself permits reading the clock.
  "DeviceAllow",
  // The addresses of load balancers and services differ from site to site.
  "IPAddressDeny",
];

serverTest(
  "the unit sets each restriction of systemd that hacheck does not need to be without",
  ["systemd-analyze"],
  async () => {
    const args = ["security", "--offline=true", "--json=short", UNIT];
    const { stdout } = await run("systemd-analyze", args);
    const entries: { json_field: string; exposure: string | null }[] = JSON.parse(stdout);
    assert(entries.length > 60, stdout);
    const open = entries.filter(({ exposure }) => Number(exposure) > 0);
    assertEquals(
      open.map(({ json_field }) => json_field).filter((name) => !OPEN.includes(name)),
      [],
    );
  },
);

serverTest("systemd-analyze verify accepts the unit", ["systemd-analyze"], async () => {
  using folder = new TempFolder();
  // systemd-analyze checks that the program exists.
  const unit = Deno.readTextFileSync(UNIT).replaceAll("/usr/local/bin/hacheck", "/bin/true");
  const path = folder.write("hacheck.service", unit);
  const { code, stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", path]);
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
});

Deno.test("the unit runs an installed program, with the folders of its permissions", () => {
  const [command, ...others] = setting("ExecStart");
  assertEquals(others, []);
  const [program, ...args] = command!.split(" ");
  const names = PROGRAMS.map(({ name }) => `/usr/local/bin/${name}`);
  assert(names.includes(program!), program);
  assertEquals(args, ["-c", "/etc/hacheck/hacheck.yaml"]);
  // systemd makes each folder that the program has permissions for.
  const files = ["service", "tmpfiles.conf"].map((name) =>
    Deno.readTextFileSync(`${DEPLOY}/hacheck.${name}`)
  ).join("");
  for (const need of DAEMON_NEEDS.filter(({ place }) => place !== "systemd")) {
    // The paths after the first comma are files of the Python hachecks.
    const [, path] = /=(\/[^,]*)/.exec(installedFlag(need)) ?? [];
    if (path !== undefined) assert(files.includes(path), path);
  }
});

Deno.test("the unit checks the configuration of the start before it sends SIGHUP", () => {
  const [start] = setting("ExecStart");
  assertEquals(setting("ExecReload"), [
    start!.replace(" ", " --check-config "),
    "/bin/kill -HUP $MAINPID",
  ]);
});

Deno.test("the unit stops hacheck after the timeout of checks in flight", () => {
  const { healthcheck_timeout } = parseConfig("", "").config;
  const [seconds] = setting("TimeoutStopSec");
  // The supervisor of several workers waits for a second more.
  assert(Number(seconds) > healthcheck_timeout + 1, seconds);
});

const AS_ROOT = Deno.uid() === 0;

/** Makes hacheck's user and folders in the root folder of a system. */
async function makeUserAndFolders(): Promise<void> {
  using root = new TempFolder();
  Deno.mkdirSync(root.file("etc"));
  const systemd = async (tool: string, ...args: string[]) => {
    const file = `${DEPLOY}/hacheck.${tool}.conf`;
    const result = await run(`systemd-${tool}`, [`--root=${root.path}`, ...args, file]);
    assertEquals(result.code, 0, result.stderr);
  };
  await systemd("sysusers");
  const passwd = Deno.readTextFileSync(root.file("etc/passwd"));
  const [, uid, gid] = /^hacheck:x:(\d+):(\d+):.*:\/:\/usr\/sbin\/nologin$/m.exec(passwd)!;
  assert(uid !== "0", passwd);
  // systemd runs it at each boot.
  for (let times = 1; times <= 2; times++) {
    await systemd("tmpfiles", "--create");
    const found = ["var/spool/hacheck", "etc/hacheck", "etc/hacheck/hacheck.yaml"].map((path) => {
      const { mode, uid, gid } = Deno.statSync(root.file(path));
      return [(mode! & 0o7777).toString(8), uid, gid];
    });
    // hacheck rejects an empty configuration.
    assertEquals(loadSettings(root.file("etc/hacheck/hacheck.yaml")).config, defaults());
    const group = Number(gid);
    assertEquals(found, [["750", 0, group], ["750", 0, group], ["640", 0, group]]);
  }
}

const USER_AND_FOLDERS = "systemd-sysusers and systemd-tmpfiles make hacheck's user and folders";
if (AS_ROOT) {
  serverTest(USER_AND_FOLDERS, ["systemd-sysusers", "systemd-tmpfiles"], makeUserAndFolders);
} else {
  Deno.test({ name: `${USER_AND_FOLDERS} (needs root)`, ignore: true, fn: makeUserAndFolders });
}

/** Lists the system calls that the unit permits. */
async function permittedCalls(): Promise<string[]> {
  const { stdout } = await run("systemd-analyze", ["syscall-filter", "--no-pager"], {
    NO_COLOR: "1",
  });
  const sets = new Map<string, string[]>();
  for (const [, name, lines] of stdout.matchAll(/^(@\S+)\n((?: +.*\n)*)/gm)) {
    sets.set(
      name!,
      lines!.split("\n").map((line) => line.trim()).filter((line) => /^[@\w]/.test(line)),
    );
  }
  const callsOf = (name: string): string[] =>
    name.startsWith("@") ? sets.get(name)!.flatMap(callsOf) : [name];
  // systemd always permits these.
  const calls = new Set(callsOf("@default"));
  for (const value of setting("SystemCallFilter")) {
    const names = value.replace(/^~/, "").split(" ").flatMap(callsOf);
    for (const name of names) {
      if (value.startsWith("~")) calls.delete(name);
      else calls.add(name);
    }
  }
  return [...calls];
}

/** A host that runs hacheck with the restrictions of the unit. */
class Host implements Disposable {
  readonly #folder = new TempFolder();

  /** The path of the spool outside of the confinement. */
  readonly spool = this.#folder.file("spool");
  /** The path of the configuration. */
  readonly config = this.#folder.file("etc/hacheck.yaml");
  /** The folder of logs. */
  readonly logs = this.#folder.file("logs");

  /** @param config The configuration. */
  constructor(config: string) {
    for (
      const [path, mode] of [["spool", 0o750], ["etc", 0o750], ["logs", 0o755], [
        "root",
        0o755,
      ]] as const
    ) {
      const folder = this.#folder.file(path);
      Deno.mkdirSync(folder);
      if (AS_ROOT) Deno.chownSync(folder, 0, NOBODY.gid);
      Deno.chmodSync(folder, mode);
    }
    this.#folder.write("etc/hacheck.yaml", config);
    if (AS_ROOT) Deno.chownSync(this.config, 0, NOBODY.gid);
    Deno.chmodSync(this.config, 0o640);
  }

  /** Permits hacheck to write its spool and its logs, as a drop-in does. */
  open(): void {
    Deno.chmodSync(this.spool, 0o770);
    if (AS_ROOT) Deno.chownSync(this.logs, NOBODY.uid, NOBODY.gid);
  }

  /** Makes the command that runs another one with the restrictions of the unit. */
  async #confined(writable: boolean): Promise<string[]> {
    const mounts: Confinement["mounts"] = {
      "/etc/hacheck": { from: this.#folder.file("etc") },
      "/var/spool/hacheck": { from: this.spool, writable },
      "/var/log/hacheck": { from: this.logs, writable },
    };
    const families = setting("RestrictAddressFamilies")[0]!.split(" ");
    const calls = await permittedCalls();
    return await confined({ root: this.#folder.file("root"), mounts, calls, families });
  }

  /** Runs the command of the unit that comes before SIGHUP. */
  async check(): Promise<Result> {
    const grants = FORM === "source" ? { allGrants: daemonFlags({ project: PROJECT }) } : {};
    const [, ...args] = setting("ExecReload")[0]!.split(" ");
    const [program, ...rest] = [
      ...await this.#confined(false),
      ...commandOf("hacheck", grants),
      ...args,
    ];
    return await run(program!, rest);
  }

  /** Starts hacheck. */
  async start(writable: boolean, options: DaemonOptions = {}): Promise<Daemon> {
    return await Daemon.start({
      ...options,
      wrapper: await this.#confined(writable),
      // Installed programs have their permissions inside.
      ...FORM === "source" ? { allGrants: () => daemonFlags({ project: PROJECT }) } : {},
      spool: "/var/spool/hacheck",
      args: ["-c", "/etc/hacheck/hacheck.yaml", ...options.args ?? []],
    });
  }

  /** Runs hactl outside of the confinement. */
  async hactl(daemon: Daemon, ...args: string[]): Promise<Result> {
    return await hactl(this.spool, [...args, "-p", String(daemon.port)]);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/** Reads a file of /proc about a process. Deno itself would need all permissions for it. */
async function procFile({ pid }: Daemon, name: string): Promise<string> {
  return (await run("cat", [`/proc/${pid}/${name}`])).stdout;
}

/** Reads the privileges of a process. */
async function privilegesOf(daemon: Daemon): Promise<Record<string, string>> {
  const status = await procFile(daemon, "status");
  const names = [
    "Uid",
    "Gid",
    "Groups",
    "CapEff",
    "CapPrm",
    "CapInh",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
  ];
  return Object.fromEntries(names.map((name) => {
    return [name, new RegExp(`^${name}:\\t(.*?) *$`, "m").exec(status)![1]!];
  }));
}

/** Lists the writable mounts of a process, except for devices and /proc. */
async function writableMountsOf(daemon: Daemon): Promise<string[]> {
  const lines = (await procFile(daemon, "mountinfo")).trimEnd().split("\n");
  const mounts = lines.map((line) => line.split(" ")).map((
    [, , , , path, options],
  ) => [path!, options!]);
  return mounts.filter(([path, options]) =>
    /^rw\b/.test(options!) && !/^\/(?:dev|proc)\//.test(path!) && path !== "/proc"
  ).map(([path]) => path!).sort();
}

const NONE = "0000000000000000";

/** Fails unless a daemon has the restrictions of the unit. */
async function assertConfined(daemon: Daemon, writable: readonly string[]): Promise<void> {
  const { Uid, Gid, Groups, ...privileges } = await privilegesOf(daemon);
  if (AS_ROOT) {
    const ids = ({ uid, gid }: typeof NOBODY) =>
      [uid, gid].map((id) => Array(4).fill(id).join("\t"));
    assertEquals([Uid, Gid, Groups], [...ids(NOBODY), ""]);
  }
  assertEquals(privileges, {
    ...{ CapEff: NONE, CapPrm: NONE, CapInh: NONE, CapBnd: NONE, CapAmb: NONE },
    ...{ NoNewPrivs: "1", Seccomp: "2" },
  });
  assertEquals(await writableMountsOf(daemon), writable);
}

const LOGINS = `mysql_username: checker
mysql_password: secret
postgres_username: checker
postgres_password: secret
redis_password: secret
sentinel_password: secret
`;

for (const workers of [1, 2]) {
  serverTest(
    `a daemon with -n ${workers} does all its work without privileges in a read-only system`,
    CONFINEMENT_PROGRAMS,
    async () => {
      using host = new Host(`cache_time: 0\n${LOGINS}`);
      await using daemon = await host.start(false, { args: ["-n", String(workers)] });
      await assertConfined(daemon, []);

      await using well = await FaultyServer.start(
        sending("HTTP/1.1 200 OK\r\n\r\nfine", (socket) => {
          socket.end();
        }),
      );
      await using ill = await FaultyServer.start(closing);
      const up = `/http/web/${well.port}/`;
      assertEquals(await daemon.get(up), { status: 200, body: "fine" });
      const protocols = [
        ...["http", "https", "mysql", "postgres", "smtp", "redis", "redis-info"],
        ...["sentinel", "sentinel-info", "haproxy", "grpc"],
      ];
      for (const protocol of protocols) {
        const { status, body } = await daemon.get(`/${protocol}/web/${ill.port}/`);
        assertEquals(status, 503, `${protocol}: ${body}`);
        assertMatch(body, /check of \S+ failed after|closed|nothing/i, protocol);
      }
      // To find out whether an address is this host's own, hacheck listens on it.
      const elsewhere = { "X-Nerve-Check-IP": "127.0.0.9" };
      assertEquals((await daemon.get(`/tcp/web/${well.port}`, elsewhere)).status, 503);

      for (let times = 1; times <= 3; times++) {
        assertEquals((await host.hactl(daemon, "down", "web", "-r", "maint")).stderr, "");
        const { status, body } = await daemon.get(up);
        assertEquals(status, 503);
        assertMatch(body, /^Service web in down state since \S+: maint$/);
        assertEquals((await host.hactl(daemon, "up", "web")).stderr, "");
        assertEquals((await daemon.get(up)).status, 200);
      }

      Deno.writeTextFileSync(host.config, "cashe_time: 1\n");
      daemon.kill("SIGHUP");
      await daemon.logged(/WARNING unknown key cashe_time in \/etc\/hacheck\/hacheck\.yaml/);
      await daemon.logged(/INFO the configuration was read again/);
      assertEquals((await daemon.get(up)).status, 200);
      const { permissions } = JSON.parse((await daemon.get("/status")).body);
      const names = workers > 1 ? ["src", "deno.json", ".deno-version"] : IS_BUNDLED ? ["src"] : [];
      const code = names.map((name) => HOME + name);
      assertEquals(permissions, {
        read: ["/var/spool/hacheck", "/etc/hacheck", ...code],
        write: [],
        net: "everything",
        others: [],
      });
      const log = await daemon.stop();
      assertEquals(log.split("\n").filter((line) => / ERROR /.test(line)), []);
    },
  );
}

serverTest(
  "the check before a reload works without privileges in a read-only system",
  CONFINEMENT_PROGRAMS,
  async () => {
    using host = new Host(LOGINS);
    await using _daemon = await host.start(false);
    const valid = { code: 0, stdout: "/etc/hacheck/hacheck.yaml: valid\n", stderr: "" };
    assertEquals(await host.check(), valid);
    Deno.writeTextFileSync(host.config, "check_ports: [80, 0]\n");
    const { code, stdout, stderr } = await host.check();
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /^hacheck: Cannot use configuration \S+: check_ports\[1\]: .*: found 0\n$/);
  },
);

/** Changes the spool by POST. */
async function post(daemon: Daemon, form: Record<string, string>): Promise<[number, string]> {
  const response = await fetch(daemon.url("/spool/web/0/status"), {
    method: "POST",
    headers: { connection: "close" },
    body: new URLSearchParams(form),
  });
  return [response.status, await response.text()];
}

serverTest(
  "a daemon without privileges changes the spool by POST and reopens its log, if it can write them",
  CONFINEMENT_PROGRAMS,
  async () => {
    using host = new Host(
      "allow_remote_spool_changes: true\nlog_path: /var/log/hacheck/hacheck.log\n",
    );
    host.open();
    await using daemon = await host.start(true, { port: freePort() });
    await assertConfined(daemon, ["/var/log/hacheck", "/var/spool/hacheck"]);
    assertEquals(await post(daemon, { status: "down", reason: "maint" }), [200, ""]);
    assertMatch((await daemon.get("/http/web/1/")).body, /: maint$/);
    assertMatch(Deno.readTextFileSync(`${host.spool}/web`), /"reason":\s*"maint"/);
    // hactl removes a record that was written by POST, and the reverse.
    assertEquals((await host.hactl(daemon, "up", "web")).stderr, "");
    assertEquals(await post(daemon, { status: "down", reason: "maint" }), [200, ""]);
    assertEquals(await post(daemon, { status: "up" }), [200, ""]);
    assertEquals([...Deno.readDirSync(host.spool)].filter(({ name }) => !name.startsWith(".")), []);

    const log = `${host.logs}/hacheck.log`;
    Deno.renameSync(log, `${log}.1`);
    daemon.kill("SIGHUP");
    await until(
      "the daemon writes a new log",
      () => Deno.readTextFileSync(log).includes("read again"),
    );
  },
);

serverTest(
  "a daemon that cannot write the spool answers a POST with 500, and changes nothing",
  CONFINEMENT_PROGRAMS,
  async () => {
    await using service = await FaultyServer.start(silent);
    using host = new Host("allow_remote_spool_changes: true\n");
    await using daemon = await host.start(false);
    const [status, body] = await post(daemon, { status: "down", reason: "maint" });
    assertEquals([status, body], [500, "Cannot take down web: the spool cannot be written"]);
    await daemon.logged(/ERROR cannot take down web: .*Read-only file system/);
    assertEquals((await daemon.get(`/tcp/web/${service.port}`)).status, 200);
  },
);
