import { PROJECT } from "../../deploy/_programs.ts";
import { parseConfig } from "../../src/config.ts";
import { DAEMON_NEEDS, daemonFlags, LOCKED_ADDRESSES } from "../../src/daemon/permissions.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { askAgent } from "../support/agent.ts";
import { Debugger } from "../support/debugger.ts";
import {
  getInNetwork,
  IN_NETWORK_NAMESPACE,
  LOCAL_ADDRESSES,
  NETWORK_PROGRAMS,
  NetworkService,
} from "../support/network.ts";
import { FORM, HOME, IS_BUNDLED } from "../support/forms.ts";
import { Daemon, runDaemon, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../servers/certificates.ts";
import { FaultyServer, sending, silent } from "../servers/faulty.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../servers/mariadb.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../servers/postgres.ts";

/** The flags of an installed daemon, with another spool. */
function installed(addresses?: readonly string[]): (spool: string) => string[] {
  return (spool) =>
    daemonFlags({ project: HOME, ...addresses === undefined ? {} : { addresses } })
      .map((flag) => flag.replaceAll("/var/spool/hacheck", spool));
}

/** The code that a daemon may read after its start: large packages, where they are bundled apart. */
const CODE: readonly string[] = IS_BUNDLED ? [`${HOME}src`] : [];

/** The permissions that `/status` reports. */
async function reported(daemon: Daemon): Promise<Record<string, unknown>> {
  return JSON.parse((await daemon.get("/status")).body).permissions;
}

/** Permissions that no daemon needs, as descriptors. */
const UNNEEDED: readonly string[] = [
  ...["env", "sys", "run", "ffi", "import"].map((name) => `{ name: "${name}" }`),
  '{ name: "env", variable: "HOME" }',
  '{ name: "sys", kind: "hostname" }',
  '{ name: "run", command: "/bin/true" }',
  '{ name: "write" }',
  '{ name: "write", path: "/tmp" }',
];

/** Returns those of some permissions that the daemon's main program or one of its workers has. */
async function granted(
  debug: Debugger,
  permissions: readonly string[],
  loop?: string,
): Promise<string[]> {
  const list = permissions.join(", ");
  const states = await debug.evaluate(
    `[${list}].map((one) => Deno.permissions.querySync(one).state)`,
    loop,
  ) as string[];
  return permissions.filter((_, i) => states[i] === "granted");
}

const EXCESSES: readonly (readonly string[])[] = [
  ["--allow-all"],
  ["--allow-env", "--allow-sys", "--allow-run", "--allow-ffi", "--allow-import", "--allow-write"],
  [
    ...["--allow-env=HOME", "--allow-sys=hostname", "--allow-run=/bin/true"],
    ...["--allow-write=/tmp", "--allow-import=example.org:443"],
  ],
];

for (const loops of [0, 2]) {
  for (const flags of EXCESSES) {
    Deno.test(`a daemon with -n ${loops || 1} gives up unneeded permissions for good: ${flags.join(" ")}`, async () => {
      const code = loops === 0 ? [] : WORKER_GRANTS;
      const all = flags[0] === "--allow-all";
      await using daemon = await Daemon.start({
        ...all ? { allGrants: () => ["--no-prompt", "--allow-all"] } : {},
        args: ["-n", String(loops || 1)],
        grants: [...all ? [] : [...code, ...flags], Debugger.GRANT],
      });
      const { others, write } = await reported(daemon);
      assertEquals([others, write], [[], []]);
      await using debug = await Debugger.attach(daemon, loops);
      for (const loop of [undefined, ...debug.workers]) {
        assertEquals(await granted(debug, UNNEEDED, loop), []);
        const again = `Deno.permissions.requestSync({ name: "run" }).state`;
        assertEquals(await debug.evaluate(again, loop), "denied");
      }
    });
  }
}

Deno.test("a daemon warns of a grant that cannot be narrowed, and names the flag that is enough", async () => {
  using folder = new TempFolder();
  const log = folder.file("log");
  const config = folder.write("hacheck.yaml", `log_path: ${log}\n`);
  await using daemon = await Daemon.start({
    allGrants: () => ["--no-prompt", "--allow-read", "--allow-write=/", "--allow-net"],
    args: ["-c", config],
    port: freePort(),
  });
  assertEquals(await reported(daemon), {
    read: "everything",
    write: "everything",
    net: "everything",
    others: [],
  });
  const files = [daemon.spool, config, log, ...CODE];
  for (
    const line of [
      `hacheck may read every file, which cannot be narrowed: --allow-read=${files} is enough`,
      `hacheck may write every file, which cannot be narrowed: --allow-write=${log} is enough`,
    ]
  ) {
    const pattern = new RegExp(`^\\S+ WARNING ${line}$`, "m");
    await until(`it logs ${line}`, () => pattern.test(Deno.readTextFileSync(log)));
  }
});

/** What a daemon with the flags of an installation keeps, by feature in use. */
const KEPT: readonly {
  readonly what: string;
  readonly loops?: number;
  readonly config?: string;
  readonly kept: readonly string[];
}[] = [
  { what: "no feature", kept: [] },
  { what: "several workers", loops: 2, kept: ["read src", "read deno.json", "read .deno-version"] },
  {
    what: "changes by POST",
    config: "allow_remote_spool_changes: true\n",
    kept: ["write spool"],
  },
  { what: "a log file", config: "log_path: LOG\n", kept: ["read log", "write log"] },
  {
    what: "a log file and changes by POST",
    config: "log_path: LOG\nallow_remote_spool_changes: true\n",
    kept: ["read log", "write log", "write spool"],
  },
];

for (const { what, loops = 1, config = "# nothing\n", kept } of KEPT) {
  Deno.test(`an installed daemon keeps the permissions for ${what}, and gives up the others`, async () => {
    using folder = new TempFolder();
    const log = folder.file("hacheck.log");
    await using daemon = await Daemon.start({
      allGrants: installed(),
      args: ["-n", String(loops)],
      config: config.replace("LOG", log),
      // The address of the debugger is printed to stderr.
      grants: [`--allow-read=${log}`, `--allow-write=${log}`, Debugger.GRANT],
      ...config.includes("LOG") ? { port: freePort() } : {},
    });
    const permissions: Record<string, string> = {};
    const places = {
      "deno.json": `${HOME}deno.json`,
      ".deno-version": `${HOME}.deno-version`,
      configuration: "/etc/hacheck",
      log,
      logs: "/var/log/hacheck",
      spool: daemon.spool,
      src: `${HOME}src`,
    };
    for (const [place, path] of Object.entries(places)) {
      for (const name of ["read", "write"]) {
        permissions[`{ name: "${name}", path: ${JSON.stringify(path)} }`] = `${name} ${place}`;
      }
    }
    await using debug = await Debugger.attach(daemon, loops === 1 ? 0 : loops);
    for (const loop of [undefined, ...debug.workers]) {
      const has = await granted(debug, Object.keys(permissions), loop);
      // A grant for the log file alone is kept, since the daemon does not look for it.
      const isExpected = (one: string) => !one.endsWith(" log") || kept.includes(one);
      assertEquals(
        has.map((one) => permissions[one]!).filter(isExpected).sort(),
        [...new Set([...kept, "read spool", ...IS_BUNDLED ? ["read src"] : []])].sort(),
      );
    }
    const { net, read, write } = await reported(daemon);
    assertEquals(net, "everything");
    assertEquals((read as string[]).includes(daemon.spool), true);
    assertEquals((write as string[]).includes(daemon.spool), kept.includes("write spool"));
  });
}

Deno.test("/status reports what is granted, even if it is more than needed", async () => {
  using folder = new TempFolder();
  using other = new TempFolder();
  const config = folder.write("hacheck.yaml", "# nothing\n");
  {
    await using daemon = await Daemon.start({
      args: ["-c", config],
      grants: [`--allow-read=${folder.path}`],
    });
    assertEquals((await reported(daemon)).read, [daemon.spool, folder.path, ...CODE]);
  }
  const log = other.file("hacheck.log");
  Deno.writeTextFileSync(config, `log_path: ${log}\n`);
  await using daemon = await Daemon.start({
    args: ["-c", config],
    grants: ["--allow-read=/tmp", `--allow-write=${other.path}`],
    port: freePort(),
  });
  const { read, write } = await reported(daemon);
  const elsewhere = CODE.filter((path) => !path.startsWith("/tmp/"));
  assertEquals([read, write], [["/tmp", ...elsewhere], [other.path]]);
});

Deno.test("a daemon gives up grants for common folders, and /status does not report them", async () => {
  using folder = new TempFolder();
  const log = folder.file("hacheck.log");
  const unneeded = ["/home", "/etc/hacheck", "/etc", "/var/log/hacheck", "/var/log"];
  // A bundle under test is in this folder, and needed.
  if (!IS_BUNDLED) unneeded.push(Deno.cwd());
  await using daemon = await Daemon.start({
    config: `log_path: ${log}\n`,
    grants: [
      `--allow-read=${[log, ...unneeded]}`,
      `--allow-write=${[log, ...unneeded]}`,
      Debugger.GRANT,
    ],
    port: freePort(),
  });
  const { read, write } = await reported(daemon);
  assertEquals([(read as string[]).slice(1 - CODE.length - 2), write], [[log, ...CODE], [log]]);
  await using debug = await Debugger.attach(daemon, 0);
  const queries = unneeded.flatMap((path) =>
    ["read", "write"].map((name) => `{ name: "${name}", path: ${JSON.stringify(path)} }`)
  );
  assertEquals(await granted(debug, queries), []);
});

Deno.test("a daemon keeps a grant that covers a needed path and an unneeded one", async () => {
  using folder = new TempFolder();
  const [spool, log] = [folder.file("spool"), folder.file("log")];
  await using daemon = await Daemon.start({
    spool,
    config: `log_path: ${log}\n`,
    grants: [`--allow-read=${log}`, `--allow-write=${folder.path}`],
    port: freePort(),
  });
  Deno.renameSync(log, folder.file("log.1"));
  daemon.kill("SIGHUP");
  await until("it writes a new log", () => Deno.readTextFileSync(log).includes("read again"));
});

Deno.test("SIGHUP cannot enable a feature whose permission was given up", async () => {
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", "# nothing\n");
  await using daemon = await Daemon.start({
    args: ["-c", config],
    grants: [`--allow-read=${folder.path}`, `--allow-write=${folder.path}`],
    spool: folder.file("spool"),
  });
  Deno.writeTextFileSync(config, "allow_remote_spool_changes: true\n");
  daemon.kill("SIGHUP");
  const flag = `--allow-write=${daemon.spool}`;
  const [, why] = await daemon.logged(/the configuration stays as it was: (.*)/);
  assertEquals(
    why,
    `allow_remote_spool_changes needs ${flag} (if that was granted at start, a restart is enough)`,
  );
  const response = await fetch(daemon.url("/spool/web/0"), { method: "POST" });
  assertEquals([response.status, (await response.text()).includes("not enabled")], [403, true]);
});

/** A use of a permission in Deno's audit trail, permitted or not. */
interface Attempt {
  readonly permission: string;
  readonly value: string;
}

const PROTOCOLS = [
  ...["tcp", "http", "https", "mysql", "postgres", "smtp", "redis", "redis-info"],
  ...["sentinel", "sentinel-info", "haproxy", "grpc"],
];

/** The variables that pg reads. It is denied, and continues without. */
const READ_BY_PG = new Set(["NODE_PG_FORCE_NATIVE", "TZ", "USER"]);

/** Where Deno looks for optional packages of bundled libraries. */
const READ_BY_DENO = new Set([`${HOME}node_modules`, `${HOME}src/node_modules`]);

/** A daemon under audit, with every feature in use. */
interface Audited {
  readonly loops: number;
  /** Checks of real servers, which are up. */
  readonly checks?: readonly (readonly [protocol: string, port: number])[];
  /** The certificate of the trusted authority; if absent, certificates are not verified. */
  readonly authority?: string;
}

/** Runs a daemon from start to stop, and asserts that it used exactly the permissions of the plan. */
async function audit({ loops, checks = [], authority }: Audited): Promise<void> {
  using folder = new TempFolder();
  const [trail, log, file] = ["audit.jsonl", "hacheck.log", "hacheck.yaml"].map((name) =>
    folder.file(name)
  ) as [string, string, string];
  const spool = folder.file("spool");
  const content = `log_path: ${log}
allow_remote_spool_changes: true
healthcheck_timeout: 20
rlimit_nofile: 100
mysql_username: ${USER.username}
mysql_password: ${JSON.stringify(USER.password)}
postgres_username: postgres
postgres_database: template1
redis_password: secret
sentinel_password: secret
${authority === undefined ? "" : `https_verify: true\nhttps_ca: ${authority}`}
`;
  Deno.writeTextFileSync(file, content);
  const port = freePort();
  const agentPort = freePort();
  // The daemon tests whether this host allows listening on foreign addresses.
  const peers = new Set([`127.0.0.1:${port}`, "192.0.2.1:0", "[2001:db8::1]:0"]);
  {
    await using daemon = await Daemon.start({
      spool,
      wrapper: ["env", `DENO_AUDIT_PERMISSIONS=${trail}`],
      args: ["-v", "-n", String(loops), "-c", file, "-A", String(agentPort)],
      allGrants: installed(),
      grants: [
        `--allow-read=${[file, log, ...authority === undefined ? [] : [authority]]}`,
        `--allow-write=${log}`,
      ],
      port,
    });
    const post = async (form: Record<string, string>) => {
      const response = await fetch(daemon.url("/spool/web/0"), {
        method: "POST",
        headers: { connection: "close" },
        body: new URLSearchParams(form),
      });
      await response.body?.cancel();
      assertEquals(response.status, 200);
    };
    await post({ status: "down", reason: "maint" });
    assertEquals((await daemon.get("/http/web/1/")).status, 503);
    await post({ status: "up" });

    await using service = await FaultyServer.start(
      sending("HTTP/1.1 200 OK\r\n\r\nfine", (socket) => {
        socket.end();
      }),
    );
    peers.add(`127.0.0.1:${service.port}`);
    for (const protocol of PROTOCOLS) {
      const { status, body } = await daemon.get(`/${protocol}/web/${service.port}/`);
      const isUp = protocol === "tcp" || protocol === "http";
      assertEquals(status, isUp ? 200 : 503, `${protocol}: ${body}`);
    }
    for (const [protocol, port] of checks) {
      peers.add(`127.0.0.1:${port}`);
      const { status, body } = await daemon.get(`/${protocol}/web/${port}/`);
      assertEquals(status, 200, `${protocol}: ${body}`);
    }
    // The daemon recognizes a local address by listening on it.
    await daemon.get(`/tcp/web/${service.port}/`, { "X-Nerve-Check-IP": "127.0.0.2" });
    peers.add(`127.0.0.2:${service.port}`);
    assertEquals(await askAgent(agentPort, "web\n"), "ready up 100%\n");
    for (
      const page of [
        "/status",
        "/status/count",
        "/status/downtimes",
        "/recent",
        "/debug/runtime",
        "/x",
      ]
    ) {
      await daemon.get(page);
    }

    Deno.renameSync(log, `${log}.1`);
    Deno.writeTextFileSync(file, `${content}cache_time: 1\n`);
    daemon.kill("SIGHUP");
    await until(
      "the new log reports the reload",
      () => Deno.readTextFileSync(log).includes("read again"),
    );
    await daemon.get(`/http/web/${service.port}/`);
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  }

  const attempts = Deno.readTextFileSync(trail).trimEnd().split("\n")
    .map((line): Attempt => JSON.parse(line));
  const use = {
    spoolRoot: spool,
    configPath: file,
    address: "127.0.0.1",
    ports: [port],
    workers: loops,
    isBundled: IS_BUNDLED,
    notifySocket: null,
    agentPort,
  };
  const inUse = {
    ...parseConfig("", "").config,
    allow_remote_spool_changes: true,
    https_ca: authority ?? null,
    https_verify: authority !== undefined,
    log_path: log,
  };
  const planned = DAEMON_NEEDS.flatMap(({ feature, kind, of }) =>
    of(use, inUse).map((scope) => ({ feature, kind, scope: scope.replace(PROJECT, HOME) }))
  );
  const isWithin = ({ permission, value }: Attempt, kind: string, scope: string) =>
    permission === kind &&
    (kind === "net" ? value === scope : `${value}/`.startsWith(`${scope}/`));
  const unplanned = attempts.filter((attempt) =>
    !READ_BY_DENO.has(attempt.value) &&
    !(attempt.permission === "env" && READ_BY_PG.has(attempt.value)) &&
    !planned.some(({ kind, scope }) => isWithin(attempt, kind, scope)) &&
    !(attempt.permission === "net" && peers.has(attempt.value))
  );
  assertEquals(unplanned, []);
  const unused = planned.filter(({ kind, scope }) =>
    // Built programs include the content of deno.json.
    !(FORM !== "source" && [`${HOME}deno.json`, `${HOME}.deno-version`].includes(scope)) &&
    !attempts.some((attempt) => isWithin(attempt, kind, scope))
  );
  assertEquals(unused, []);
}

for (const loops of [1, 2]) {
  Deno.test(`a daemon with -n ${loops} uses exactly the permissions of the plan`, async () => {
    await audit({ loops });
  });
}

serverTest(
  "a daemon that logs in to databases and verifies certificates uses exactly the permissions of the plan",
  [...MARIADB_PROGRAMS, ...POSTGRES_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using folder = new TempFolder();
    await using mysql = await MariaDb.start();
    await using postgres = await Postgres.start("host template1 postgres all trust");
    const authority = await Authority.create(folder, "authority");
    const { certificate, key } = await authority.issue("web", { for: "IP:127.0.0.1" });
    await using https = Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      cert: Deno.readTextFileSync(certificate),
      key: Deno.readTextFileSync(key),
      onListen: () => {},
    }, () => new Response("fine"));
    await audit({
      loops: 1,
      authority: authority.certificate,
      checks: [
        ["mysql", mysql.port],
        ["postgres", postgres.port],
        ["https", https.addr.port],
      ],
    });
  },
);

/** Remote hosts that `check_hosts` allows but the flags of a locked daemon do not. */
const OUTSIDE = ["192.0.2.1", "10.0.0.1", "2001:db8::1"];

Deno.test("a locked daemon checks loopback, and Deno denies it every other target", async () => {
  await using service = await FaultyServer.start(silent, { host: "::" });
  await using daemon = await Daemon.start({
    allGrants: installed(LOCKED_ADDRESSES),
    config: `check_hosts: ${JSON.stringify(OUTSIDE)}
mysql_username: checker
mysql_password: secret
postgres_username: checker
`,
  });
  assertEquals((await reported(daemon)).net, "listed");
  for (const host of ["127.0.0.1", "127.0.0.2", "::1"]) {
    const { status } = await daemon.get(`/tcp/web/${service.port}`, { "X-Nerve-Check-IP": host });
    assertEquals([host, status], [host, 200]);
  }
  const accepted = service.accepted;
  for (const protocol of PROTOCOLS) {
    for (const host of OUTSIDE) {
      const path = `/${protocol}/web/${service.port}/`;
      const { status, body } = await daemon.get(path, { "X-Nerve-Check-IP": host });
      assertEquals(status, 503, `${protocol}: ${body}`);
      const peer = host.includes(":") ? `[${host}]` : host;
      assertStringIncludes(body, `Requires net access to "${peer}:${service.port}"`);
    }
  }
  assertEquals(service.accepted, accepted);
});

Deno.test("a locked daemon answers agent checks on a granted address, and names the missing flag for another", async () => {
  const port = freePort();
  using folder = new TempFolder();
  const grants = installed(LOCKED_ADDRESSES)(folder.path);
  // All of loopback is granted.
  await using _daemon = await Daemon.start({
    allGrants: () => grants,
    spool: folder.path,
    args: ["-A", String(port)],
  });
  assertEquals(await askAgent(port, "web\n"), "ready up 100%\n");
  const everywhere = ["-A", String(port), "--spool-root", folder.path];
  assertEquals(await runDaemon(everywhere, grants), {
    code: 1,
    stdout: "",
    stderr: `hacheck: -A or agent_port needs --allow-net=0.0.0.0:${port}\n`,
  });
});

serverTest(
  "a locked daemon recognizes a local address only if it is permitted to listen on it",
  NETWORK_PROGRAMS,
  async () => {
    for (const [more, status] of [[[], 503], [["10.9.8.7:0", "[fd00::7]:0"], 200]] as const) {
      await using daemon = await Daemon.start({
        wrapper: IN_NETWORK_NAMESPACE,
        allGrants: installed([...LOCKED_ADDRESSES, ...more]),
        config: `check_hosts: ${JSON.stringify(LOCAL_ADDRESSES)}\n`,
      });
      await using service = await NetworkService.start(daemon);
      for (const address of LOCAL_ADDRESSES) {
        const headers = {
          "X-Haproxy-Server-State": `UP; address=${address}; port=${service.port}`,
        };
        const answer = await getInNetwork(daemon, "/http/web/0/status", headers);
        assertEquals([address, answer.status], [address, status], answer.body);
      }
    }
  },
);
