import { main } from "../../cli/hactl.ts";
import { COMMANDS as COMMAND_TABLE, FLAGS } from "../../cli/command_spec.ts";
import { hactlFlags } from "../../src/daemon/permissions.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { commandOf } from "../support/forms.ts";
import {
  Daemon,
  hactl,
  RESPECTING_FILE_MODES,
  type Result,
  run,
  TempFolder,
} from "../support/programs.ts";
import { afterRequest, ClosedPort, FaultyServer, sending, silent } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Runs hactl in this process, and returns its output. */
async function inProcess(args: readonly string[], calledAs?: string): Promise<Result> {
  const { log, error } = console;
  let stdout = "";
  let stderr = "";
  console.log = (text: string) => stdout += `${text}\n`;
  console.error = (text: string) => stderr += `${text}\n`;
  try {
    return { code: await main(args, calledAs), stdout, stderr };
  } finally {
    Object.assign(console, { log, error });
  }
}

/** Runs the installed hactl under another program, such as `env -u SUDO_USER`. */
function runUnder(
  wrapper: readonly string[],
  spool: string,
  args: readonly string[],
  env: Record<string, string> = {},
  allGrants?: readonly string[],
): Promise<Result> {
  const launch = allGrants === undefined ? { spool } : { spool, allGrants };
  const [command, ...rest] = [
    ...wrapper,
    ...[...commandOf("hactl", launch), ...args, "--spool-root", spool],
  ];
  return run(command!, rest, { NO_COLOR: "1", ...env });
}

/** A host with a spool, on which no daemon listens. */
class Host implements Disposable {
  readonly #folder = new TempFolder();
  readonly #closed: ClosedPort;

  private constructor(closed: ClosedPort) {
    this.#closed = closed;
  }

  static async make(): Promise<Host> {
    return new Host(await ClosedPort.open());
  }

  /** The folder of the spool. It exists. */
  get spool(): string {
    return this.#folder.path;
  }

  /** A port on which no program listens. */
  get port(): string {
    return String(this.#closed.port);
  }

  /** Runs the installed hactl, and removes the notice of the missing daemon. */
  async hactl(...args: string[]): Promise<Result> {
    return this.withoutNotice(await hactl(this.spool, [...args, "-p", this.port]));
  }

  /** The notice that no daemon listens, which hactl prints after a change. */
  get notice(): string {
    return `hactl: no daemon listens on port ${this.port}: no daemon uses this spool\n`;
  }

  /** Removes that notice from the output. */
  withoutNotice(result: Result): Result {
    return { ...result, stderr: result.stderr.replace(this.notice, "") };
  }

  /** Runs hactl by one of its names, in this process. */
  async calledAs(name: string, ...args: string[]): Promise<Result> {
    return this.withoutNotice(
      await inProcess([...args, "-p", this.port, "--spool-root", this.spool], name),
    );
  }

  /** Writes a record. */
  write(name: string, content: string): void {
    this.#folder.write(name, content);
  }

  /** Reads a record; undefined where there is none. */
  read(name: string): string | undefined {
    try {
      return Deno.readTextFileSync(this.#folder.file(name));
    } catch {
      return undefined;
    }
  }

  /** The names of all files in the spool. */
  get names(): string[] {
    return [...Deno.readDirSync(this.spool)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    this.#closed[Symbol.dispose]();
    this.#folder[Symbol.dispose]();
  }
}

const SILENT: Result = { code: 0, stdout: "", stderr: "" };

Deno.test("hactl rejects a reason that makes the record too long to be read back", async () => {
  using host = await Host.make();
  host.write("web", '{"reason": "maint"}');
  const remote = ["--daemon", `http://127.0.0.1:${host.port}`];
  for (
    const [reason, length] of [
      ["a".repeat(70_000), 70_002],
      ["ü".repeat(15_000), 90_002],
      ["\x01".repeat(20_000), 120_002],
    ] as const
  ) {
    for (const args of [["down", "web", "--for", "2s"], ["drain", "web"], ["weight", "web", "5"]]) {
      for (const where of [["-p", host.port, "--spool-root", host.spool], remote]) {
        const { code, stdout, stderr } = await inProcess([...args, "-r", reason, ...where]);
        assertEquals([code, stdout], [2, ""]);
        assertStringIncludes(
          stderr,
          `Reason too long: expected at most 61440 bytes as JSON: found ${length}`,
        );
      }
    }
  }
  assertEquals(host.names, ["web"]);
  assertEquals(host.read("web"), '{"reason": "maint"}');
  const long = "a".repeat(61_438);
  assertEquals((await host.calledAs("hactl", "down", "web", "-r", long)).code, 0);
  assertEquals((await host.calledAs("hactl", "status", "web")).stdout, `DOWN\tinf\tweb\t${long}\n`);
});

Deno.test("hactl status prints a line for each service, to the byte", async () => {
  using host = await Host.make();
  host.write("all-but", "by hand\n");
  host.write("web", '{"reason": "maint", "expiration": null, "creation": 1}');
  host.write("web:8080", '{"reason": "why", "expiration": 4000000000}');
  host.write("web:10.1.1.1:8080", '{"reason": "why"}');
  host.write("db", '{"reason": "a\\tb\\r\\nc\\u001bd", "expiration": 4000000000.125}');
  host.write("old", '{"reason": "over", "expiration": 1}');
  const cases: [args: string[], stdout: string, code: 0 | 1][] = [
    [["api"], "UP\tapi\n", 0],
    [["all"], "UP\tall\n", 0],
    [["api", "-P", "8080"], "UP\tapi::8080\n", 0],
    [["api", "-P", "8080", "-H", "127.0.0.1"], "UP\tapi::8080\n", 0],
    [["api", "-P", "8080", "-H", "10.1.1.1"], "UP\tapi:10.1.1.1:8080\n", 0],
    [["api", "-P", "8080", "-H", "2001:DB8::0:1"], "UP\tapi:2001:db8::1:8080\n", 0],
    [["web"], "DOWN\tinf\tweb\tmaint\n", 1],
    [["web", "-P", "8080"], "DOWN\t4000000000.000000\tweb::8080\twhy\n", 1],
    [["web", "-P", "8080", "-H", "10.1.1.1"], "DOWN\tinf\tweb:10.1.1.1:8080\twhy\n", 1],
    [["db"], "DOWN\t4000000000.125000\tdb\ta b c d\n", 1],
    [["all-but"], "DOWN\tinf\tall-but\tby hand\n", 1],
    [["old"], "UP\told\n", 0],
    [["api", "web", "api"], "UP\tapi\nDOWN\tinf\tweb\tmaint\nUP\tapi\n", 1],
  ];
  for (const [args, stdout, code] of cases) {
    assertEquals(await host.hactl("status", ...args), { code, stdout, stderr: "" }, args.join(" "));
  }
});

Deno.test("hactl status prints to stderr which wider record keeps a service out", async () => {
  using host = await Host.make();
  host.write("web", "maint");
  assertEquals(await host.calledAs("hastatus", "web", "-P", "8080"), {
    code: 0,
    stdout: "UP\tweb\n",
    stderr: "hactl: web is still out of service: web is down\n",
  });
  host.write("all", "maint");
  assertEquals(await host.calledAs("hastatus", "db"), {
    code: 0,
    stdout: "UP\tdb\n",
    stderr: "hactl: db is still out of service: all is down\n",
  });
  host.write("all", '{"mode": "drain"}');
  assertEquals(
    (await host.calledAs("hastatus", "db")).stderr,
    "hactl: db is still out of service: all is draining\n",
  );
});

Deno.test("hactl drain writes a record of mode drain, which status and downed print as DRAIN", async () => {
  using host = await Host.make();
  assertEquals(await host.hactl("drain", "web", "-r", "maint"), SILENT);
  assertMatch(
    host.read("web")!,
    /^\{"reason": "maint", "expiration": null, "creation": \d+\.?\d*, "mode": "drain", "by": "operator"\}$/,
  );
  const args = ["drain", "web", "-P", "8080", "-H", "10.1.1.1", "-e", "4000000000"];
  assertEquals(await host.calledAs("hactl", ...args), SILENT);
  assertEquals(await host.hactl("status", "web"), {
    code: 1,
    stdout: "DRAIN\tinf\tweb\tmaint\n",
    stderr: "",
  });
  const reason = JSON.parse(host.read("web:10.1.1.1:8080")!).reason;
  assertEquals(await host.hactl("downed"), {
    code: 0,
    stdout: "DRAIN\tinf\tweb\tmaint\n" +
      `DRAIN\t4000000000.000000\tweb:10.1.1.1:8080\t${reason}\n`,
    stderr: "",
  });
  assertEquals(await host.hactl("down", "web", "-r", "maint"), SILENT);
  assertEquals((await host.hactl("status", "web")).stdout, "DOWN\tinf\tweb\tmaint\n");
  assertEquals(await host.hactl("drain", "web", "-r", "maint"), SILENT);
  assertEquals(await host.calledAs("hactl", "up", "web", "-P", "8080", "-H", "10.1.1.1"), {
    ...SILENT,
    stderr: "hactl: web:10.1.1.1:8080 is not fully in service: web is draining\n",
  });
  assertEquals(await host.hactl("up", "web"), SILENT);
  assertEquals(host.names, []);
});

Deno.test("hactl weight sets a weight that is independent of records, and 100 removes it", async () => {
  using host = await Host.make();
  assertEquals(await host.hactl("weight", "web", "db", "50", "-r", "canary"), SILENT);
  for (const name of [".weight:web", ".weight:db"]) {
    assertMatch(
      host.read(name)!,
      /^\{"reason": "canary", "expiration": null, "creation": \d+\.?\d*, "weight": 50, "by": "operator"\}$/,
    );
  }
  const where = ["-P", "8080", "-H", "10.1.1.1"];
  assertEquals(await host.calledAs("hactl", "weight", "web", "0", ...where, "-e", "4e9"), SILENT);
  assertEquals(host.names, [".weight:db", ".weight:web", ".weight:web:10.1.1.1:8080"]);
  assertEquals(JSON.parse(host.read(".weight:web:10.1.1.1:8080")!).expiration, 4e9);

  assertEquals(await host.hactl("status", "web"), { ...SILENT, stdout: "UP\tweb\n" });
  assertEquals(await host.hactl("downed"), SILENT);
  assertEquals(await host.hactl("down", "web", "-r", "maint"), SILENT);
  assertEquals(await host.hactl("up", "web"), SILENT);
  assertEquals(JSON.parse(host.read(".weight:web")!).weight, 50);

  for (let times = 1; times <= 2; times++) {
    assertEquals(await host.calledAs("hactl", "weight", "web", "db", "100"), SILENT);
    assertEquals(await host.calledAs("hactl", "weight", "web", "100", ...where), SILENT);
    assertEquals(host.names, []);
  }
  assertEquals(await host.calledAs("hactl", "weight", "web", "5", "-r", "x", "-e", "1"), {
    code: 0,
    stdout: "",
    stderr: "hactl: the weight of web has no effect: its expiration 1 is in the past\n",
  });
});

Deno.test("hactl downed prints every record in force, sorted, to the byte", async () => {
  using host = await Host.make();
  assertEquals(await host.hactl("downed"), SILENT);
  host.write("web:8080", '{"reason": "why", "expiration": 4000000000}');
  host.write("web", '{"reason": "maint"}');
  host.write("all", "");
  host.write("db:10.1.1.1:8080", '{"reason": "a\\tb"}');
  host.write("old", '{"reason": "over", "expiration": 1}');
  host.write(".web", "not a record");
  host.write("web:x", "not the name of a record");
  assertEquals(await host.hactl("downed"), {
    code: 0,
    stdout: "DOWN\tinf\tall\t\n" +
      "DOWN\tinf\tdb:10.1.1.1:8080\ta b\n" +
      "DOWN\tinf\tweb\tmaint\n" +
      "DOWN\t4000000000.000000\tweb::8080\twhy\n",
    stderr: "",
  });
});

Deno.test("hactl list prints the services that the daemon was asked for lately", async () => {
  await using hanging = await FaultyServer.start(silent);
  await using daemon = await Daemon.start({ config: "healthcheck_timeout: 60\n" });
  const port = String(daemon.port);
  assertEquals(await hactl(daemon.spool, ["list", "-p", port]), SILENT);
  await daemon.get("/spool/web/0");
  await daemon.get("/http/db/0");
  const abort = new AbortController();
  const underWay = fetch(daemon.url(`/http/api/${hanging.port}`), { signal: abort.signal })
    .catch(() => {});
  await until("the service is asked", () => hanging.accepted === 1);
  const { code, stdout, stderr } = await hactl(daemon.spool, ["list", "-p", port]);
  abort.abort();
  await underWay;
  assertEquals([code, stderr], [0, ""]);
  const last = (code: number) =>
    String.raw`\{"code": ${code}, "remote_ip": "127\.0\.0\.1", "ts": \d+(?:\.\d+)?\}`;
  assertMatch(
    stdout,
    new RegExp(
      `^api last_response=null\ndb last_response=${last(400)}\nweb last_response=${last(200)}\n$`,
    ),
  );
});

Deno.test("hactl list fails if the daemon does not report its services", async () => {
  using host = await Host.make();
  assertEquals(await host.hactl("list"), {
    code: 1,
    stdout: "",
    stderr: `hactl: the daemon on port ${host.port}: Connection refused (os error 111)\n`,
  });
  for (
    const [response, why] of [
      ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "expected HTTP/1, found another protocol"],
      ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "expected status 200: received 404"],
    ] as const
  ) {
    await using other = await FaultyServer.start(
      afterRequest(sending(response, (socket) => socket.end())),
    );
    assertEquals(await inProcess(["list", "-p", String(other.port)]), {
      code: 1,
      stdout: "",
      stderr: `hactl: the daemon on port ${other.port}: ${why}\n`,
    });
  }
  for (const body of ["", "<html>", "null", "{}", '{"seen_services": 5}']) {
    await using other = await FaultyServer.start(
      afterRequest(sending(`HTTP/1.1 200 OK\r\n\r\n${body}`, (socket) => socket.end())),
    );
    const { code, stdout, stderr } = await inProcess(["list", "-p", String(other.port)]);
    assertEquals([code, stdout], [1, ""], body);
    assertMatch(stderr, /^hactl: the daemon on port \d+: .+\n$/);
  }
});

Deno.test("hactl down writes a record like the Python hachecks, and up removes it", async () => {
  using host = await Host.make();
  const cases: [args: string[], name: string, record: RegExp][] = [
    [
      ["web"],
      "web",
      /^{"reason": "maint", "expiration": null, "creation": \d+(?:\.\d+)?, "by": "[^"]+"}$/,
    ],
    [["web", "-e", "4000000000.5"], "web", /^{"reason": "maint", "expiration": 4000000000\.5, /],
    [["web", "-e", "inf"], "web", /^{"reason": "maint", "expiration": null, /],
    [["web", "-P", "8080"], "web:8080", /^{"reason": "maint", /],
    [["web", "-P", "8080", "-H", "127.0.0.1"], "web:8080", /^{"reason": "maint", /],
    [["web", "-P", "8080", "-H", "10.1.1.1"], "web:10.1.1.1:8080", /^{"reason": "maint", /],
    [["web", "-P", "80", "-H", "2001:DB8::0:1"], "web:2001:db8::1:80", /^{"reason": "maint", /],
    [["all"], "all", /^{"reason": "maint", /],
    [["w".repeat(200)], "w".repeat(200), /^{"reason": "maint", /],
  ];
  for (const [args, name, record] of cases) {
    assertEquals(await host.calledAs("hadown", ...args, "-r", "maint"), SILENT);
    assertEquals(host.names, [name]);
    assertMatch(host.read(name)!, record);
    // A service without a record stays up.
    for (let times = 1; times <= 2; times++) {
      const where = args.filter((arg, i) => arg !== "-e" && args[i - 1] !== "-e");
      assertEquals(await host.calledAs("haup", ...where), SILENT);
      assertEquals(host.names, []);
    }
  }
  assertEquals(
    await host.hactl("down", "web", "db", "-r", 'a reason with ünicode\nand "quotes"'),
    SILENT,
  );
  assertEquals(host.names, ["db", "web"]);
  assertEquals(JSON.parse(host.read("db")!).reason, 'a reason with ünicode\nand "quotes"');
  assertEquals(await host.hactl("up", "web", "db"), SILENT);
  assertEquals(host.names, []);
});

Deno.test("hactl down again for the same reason keeps the creation time and sets the new expiration", async () => {
  using host = await Host.make();
  const record = () => {
    const { by: _, ...record } = JSON.parse(host.read("web")!);
    return record;
  };
  host.write("web", '{"reason": "maint", "expiration": 4000000000, "creation": 1000.5}');
  assertEquals(await host.calledAs("hadown", "web", "-r", "maint", "-e", "4000000001"), SILENT);
  assertEquals(record(), { reason: "maint", expiration: 4000000001, creation: 1000.5 });
  assertEquals(await host.calledAs("hadown", "web", "-r", "maint"), SILENT);
  assertEquals(record(), { reason: "maint", expiration: null, creation: 1000.5 });

  const start = Date.now() / 1000;
  assertEquals(await host.calledAs("hadown", "web", "-r", "other"), SILENT);
  assert(record().creation >= start);
  host.write("web", '{"reason": "maint", "expiration": 1, "creation": 0}');
  assertEquals(await host.calledAs("hadown", "web", "-r", "maint"), SILENT);
  assert(record().creation >= start);
});

Deno.test("hactl down warns of an expiration in the past", async () => {
  using host = await Host.make();
  assertEquals(await host.calledAs("hadown", "web", "-r", "maint", "-e", "1"), {
    code: 0,
    stdout: "",
    stderr: "hactl: web counts as up: its expiration 1 is in the past\n",
  });
  assertEquals((await host.calledAs("hastatus", "web")).stdout, "UP\tweb\n");
});

Deno.test("hactl down without a reason writes the login name", async () => {
  using host = await Host.make();
  const reason = () => JSON.parse(host.read("web")!).reason;
  const down = ["down", "web", "-p", host.port];
  const cases: [env: Record<string, string>, args: string[], reason: string][] = [
    [{ SUDO_USER: "alice", SSH_USER: "bob" }, [], "alice"],
    [{ SUDO_USER: "", SSH_USER: "bob" }, [], "bob"],
    [{ SUDO_USER: "alice" }, ["-r", ""], "alice"],
    [{ SUDO_USER: "alice" }, ["--reason="], "alice"],
    [{ SUDO_USER: "alice" }, ["-r", "maint"], "maint"],
  ];
  for (const [env, args, expected] of cases) {
    assertEquals(host.withoutNotice(await hactl(host.spool, [...down, ...args], env)), SILENT);
    assertEquals(reason(), expected);
    Deno.removeSync(`${host.spool}/web`);
  }
  const withoutNames = ["env", "-u", "SUDO_USER", "-u", "SSH_USER"];
  const replaced = await runUnder(withoutNames, host.spool, down);
  assertEquals(host.withoutNotice(replaced), SILENT);
  assertEquals(reason(), (await run("id", ["-un"])).stdout.trim());
});

/** Runs a program with another folder as `/etc`. */
const WITH_ETC = [
  ...["unshare", "--map-root-user", "--mount"],
  ...["sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh"],
];

/** Not every container lets its programs mount. */
const UNSHARE = (await run("sh", ["-c", "unshare --map-root-user --mount mount --bind /tmp /etc"]))
    .code === 0
  ? "unshare"
  : "unshare with the right to mount";

serverTest(
  "hactl down rejects the name of a shared account as the reason",
  [UNSHARE],
  async () => {
    using host = await Host.make();
    using etc = new TempFolder();
    for (const name of ["passwd", "group", "nsswitch.conf"]) {
      await Deno.copyFile(`/etc/${name}`, etc.file(name)).catch(() => {});
    }
    const wrapper = [...WITH_ETC, etc.path];
    const down = (env: Record<string, string>, ...args: string[]) =>
      runUnder(wrapper, host.spool, ["down", "web", "-p", host.port, ...args], {
        SSH_USER: "",
        ...env,
      });
    etc.write(
      "nonhumans",
      "# accounts that many people share\ndeploy # the bot\n\n  jenkins\t\nroot\n#alice\n",
    );
    for (
      const [env, name] of [
        [{ SUDO_USER: "deploy", SSH_USER: "alice" }, "deploy"],
        [{ SUDO_USER: "", SSH_USER: "jenkins" }, "jenkins"],
        // Inside, the user is root.
        [{ SUDO_USER: "" }, "root"],
      ] as const
    ) {
      assertEquals(await down(env), {
        code: 1,
        stdout: "",
        stderr: `hactl: ${name} is a shared account, by /etc/nonhumans: give a reason with -r\n`,
      });
      assertEquals(host.names, []);
    }
    for (
      const [env, args, reason] of [
        [{ SUDO_USER: "alice" }, [], "alice"],
        [{ SUDO_USER: "deploy" }, ["-r", "maint"], "maint"],
        [{ SUDO_USER: "deploy" }, ["-r", "deploy"], "deploy"],
      ] as const
    ) {
      const { code, stdout } = await down(env, ...args);
      assertEquals([code, stdout], [0, ""]);
      assertEquals(JSON.parse(host.read("web")!).reason, reason);
    }
  },
);

Deno.test("hactl creates the spool only to write a record", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  const spool = folder.file("spool");
  const hactlThere = async (...args: string[]) => {
    const result = await hactl(spool, [...args, "-p", String(closed.port)]);
    return { ...result, stderr: result.stderr.replace(/^hactl: no daemon listens .*\n/, "") };
  };
  assertEquals(await hactlThere("status", "web"), { ...SILENT, stdout: "UP\tweb\n" });
  assertEquals(await hactlThere("downed"), SILENT);
  assertEquals(await hactlThere("up", "web"), SILENT);
  assertEquals([...Deno.readDirSync(folder.path)], []);
  assertEquals(await hactlThere("down", "web", "-r", "maint"), SILENT);
  assertEquals((Deno.statSync(spool).mode! & 0o777).toString(8), "750");
  assertEquals((await hactlThere("status", "web")).stdout, "DOWN\tinf\tweb\tmaint\n");
});

Deno.test("hactl names the permission that it was installed without", async () => {
  using host = await Host.make();
  host.write("web", "maint");
  const grants = hactlFlags(host.spool).filter((flag) => !flag.startsWith("--allow-write"));
  for (const [command, args] of [["down", ["-r", "x"]], ["up", []]] as const) {
    const { code, stdout, stderr } = await runUnder(
      [],
      host.spool,
      [command, "web", ...args, "-p", host.port],
      {},
      grants,
    );
    assertEquals([code, stdout], [1, ""]);
    assertMatch(
      stderr,
      new RegExp(
        `^hactl: cannot ${
          command === "up" ? "remove" : "write"
        } the record of web: .*: this hactl was installed without --allow-write for it\n$`,
      ),
    );
  }
  for (
    const [command, message] of [
      [["status", "web"], "cannot read the record of web"],
      [["downed"], `cannot read spool ${host.spool}`],
    ] as const
  ) {
    const { code, stdout, stderr } = await runUnder([], host.spool, command, {}, ["--no-prompt"]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(
      stderr,
      new RegExp(`^hactl: ${message}: .*: this hactl was installed without --allow-read for it\n$`),
    );
  }
  assertEquals(host.read("web"), "maint");
});

Deno.test("hactl names the output if it cannot be written", async () => {
  using host = await Host.make();
  host.write("web", "maint");
  for (const args of [["downed"], ["downed", "--json"], ["status", "web"], ["help"]]) {
    const outcome = await runUnder(["sh", "-c", 'exec "$@" >/dev/full', "sh"], host.spool, args);
    assertEquals(outcome, {
      code: 1,
      stdout: "",
      stderr: "hactl: cannot write the output: No space left on device (os error 28)\n",
    }, args.join(" "));
  }
});

serverTest("hactl reports a spool that it cannot read or write, and changes nothing", [
  "setpriv",
], async () => {
  using host = await Host.make();
  host.write("web", "maint");
  const there = (...args: string[]) =>
    runUnder(RESPECTING_FILE_MODES, host.spool, [...args, "-p", host.port], { SUDO_USER: "alice" });
  try {
    for (
      const [mode, args, message] of [
        [0o500, ["down", "web"], "cannot write the record of web: Permission denied"],
        [0o500, ["down", "db"], "cannot write the record of db: Permission denied"],
        [0o500, ["up", "web"], "cannot remove the record of web: Permission denied"],
        [0o000, ["status", "web"], "cannot read the record of web: Permission denied"],
        [0o000, ["downed"], `cannot read spool ${host.spool}: Permission denied`],
      ] as const
    ) {
      Deno.chmodSync(host.spool, mode);
      const { code, stdout, stderr } = await there(...args);
      assertEquals([code, stdout], [1, ""], args.join(" "));
      assert(stderr.startsWith(`hactl: ${message} (os error 13)`), stderr);
      assertEquals(stderr.split("\n").length, 2, stderr);
    }
  } finally {
    Deno.chmodSync(host.spool, 0o700);
  }
  assertEquals([host.names, host.read("web")], [["web"], "maint"]);
});

Deno.test("hactl reports a daemon that serves another spool", async () => {
  using host = await Host.make();
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  const contradiction = (expected: string, received: string) =>
    new RegExp(
      `^hactl: the daemon on port ${port} does not report the change: web: expected ${expected}: received ${received}\n$`,
    );
  const downed = await hactl(host.spool, ["down", "web", "-r", "maint", "-p", port]);
  assertEquals([downed.code, downed.stdout], [1, ""]);
  assertMatch(
    downed.stderr,
    contradiction(String.raw`down by the record web since [\d.]+ \("maint"\)`, "up"),
  );
  // The record was written all the same.
  assertEquals(host.names, ["web"]);

  assertEquals(await hactl(daemon.spool, ["down", "web", "-r", "there", "-p", port]), SILENT);
  const upped = await hactl(host.spool, ["up", "web", "-p", port]);
  assertEquals([upped.code, upped.stdout], [1, ""]);
  assertMatch(
    upped.stderr,
    contradiction("up", String.raw`down by the record web since [\d.]+ \("there"\)`),
  );
});

Deno.test("hactl reports another program on the daemon's port", async () => {
  for (
    const [behaviour, why] of [
      [
        sending("SSH-2.0-OpenSSH_9.2\r\n\r\n", (socket) => socket.end()),
        /: expected HTTP\/1, found another protocol\n$/,
      ],
      [
        afterRequest(
          sending("HTTP/1.1 404 Not Found\r\n\r\nno such page", (socket) => socket.end()),
        ),
        /: expected down by the record web since [\d.]+ \("maint"\): received 404 no such page\n$/,
      ],
      [silent, /: no response within 1000 ms\n$/],
    ] as const
  ) {
    using folder = new TempFolder();
    await using other = await FaultyServer.start(behaviour);
    const { code, stdout, stderr } = await inProcess(
      ["down", "web", "-r", "maint", "-p", String(other.port), "--spool-root", folder.path],
    );
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^hactl: the daemon on port \d+ does not report the change: web: /);
    assertMatch(stderr, why);
  }
});

Deno.test("hactl down and up return once the daemon reports the change, for every kind of record", async () => {
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  const cases: [where: string[], path: string, headers: Record<string, string>][] = [
    [[], "/spool/web/0", {}],
    [["-P", "8080"], "/spool/web/8080", {}],
    [["-P", "8080", "-H", "127.0.0.2"], "/spool/web/8080", { "x-nerve-check-ip": "127.0.0.2" }],
    [["-P", "8080", "-H", "2001:db8::1"], "/spool/web/8080", { "x-nerve-check-ip": "2001:db8::1" }],
  ];
  for (const [where, path, headers] of cases) {
    for (let times = 1; times <= 3; times++) {
      const args = ["web", ...where, "-p", port, "--spool-root", daemon.spool];
      assertEquals(await inProcess(["down", ...args, "-r", `for the ${times}. time`]), SILENT);
      const down = await daemon.get(path, headers);
      assertEquals(down.status, 503);
      assertStringIncludes(down.body, `: for the ${times}. time`);
      assertEquals(await inProcess(["up", ...args]), SILENT);
      assertEquals(await daemon.get(path, headers), { status: 200, body: "" });
    }
  }
});

Deno.test("hactl drain and weight return once the daemon reports the change, whatever was in force", async () => {
  await using daemon = await Daemon.start();
  const hactlOn = (...args: string[]) =>
    inProcess([...args, "-p", String(daemon.port), "--spool-root", daemon.spool]);
  const kinds: readonly [where: string[], path: string, headers: Record<string, string>][] = [
    [[], "/web/0", {}],
    [["-P", "0"], "/web/0", {}],
    [["-P", "8080"], "/web/8080", {}],
    [["-P", "8080", "-H", "127.0.0.2"], "/web/8080", { "x-nerve-check-ip": "127.0.0.2" }],
  ];
  for (const [where, path, headers] of kinds) {
    const get = async (page: string) => await daemon.get(page + path, headers);
    for (let times = 1; times <= 3; times++) {
      const why = ["-r", `for the ${times}. time`];
      assertEquals(await hactlOn("drain", "web", ...where, ...why), SILENT);
      const drains = await get("/spool");
      assertEquals(drains.status, 404);
      assertMatch(drains.body, new RegExp(`^Service web in drain state since .*: ${why[1]}$`));
      assertEquals(await hactlOn("down", "web", ...where, ...why), SILENT);
      assertEquals((await get("/spool")).status, 503);
      assertEquals(await hactlOn("drain", "web", ...where, ...why), SILENT);
      assertEquals((await get("/spool")).status, 404);
      for (const weight of [50 + times, 0, 100]) {
        assertEquals(await hactlOn("weight", "web", String(weight), ...where, ...why), SILENT);
        assertEquals(JSON.parse((await get("/status/services")).body).agent_weight, weight);
      }
      assertEquals(await hactlOn("up", "web", ...where), SILENT);
      assertEquals(await get("/spool"), { status: 200, body: "" });
    }
  }
  // A wider weight counts too.
  assertEquals(await hactlOn("weight", "all", "10"), SILENT);
  assertEquals(await hactlOn("weight", "web", "20"), SILENT);
  assertEquals(await hactlOn("weight", "web", "100"), SILENT);
  const { body } = await daemon.get("/status/services/web/8080");
  assertEquals(JSON.parse(body).agent_weight, 10);
});

Deno.test("hactl weight reports a daemon that serves another spool", async () => {
  using host = await Host.make();
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  assertEquals(await hactl(host.spool, ["weight", "web", "50", "-p", port]), {
    code: 1,
    stdout: "",
    stderr: `hactl: the daemon on port ${port} does not report the change: web: ` +
      "expected the weight 50: received the weight 100\n",
  });
  assertEquals(host.names, [".weight:web"]);
});

Deno.test("hactl runs a command by the name of an older tool", async () => {
  using host = await Host.make();
  await using daemon = await Daemon.start();
  assertEquals(await host.calledAs("hadown", "web", "-r", "maint"), SILENT);
  const down = { code: 1, stdout: "DOWN\tinf\tweb\tmaint\n", stderr: "" };
  assertEquals(await host.calledAs("hastatus", "web"), down);
  assertEquals(await host.calledAs("hashowdowned"), { ...down, code: 0 });
  assertEquals(await host.calledAs("haup", "web"), SILENT);
  assertEquals(await host.calledAs("hastatus", "web"), { ...SILENT, stdout: "UP\tweb\n" });
  await daemon.get("/spool/web/0");
  const { code, stdout } = await inProcess(["-p", String(daemon.port)], "halist");
  assertEquals([code, stdout.split("=")[0]], [0, "web last_response"]);
  // Any other name is hactl. By an older name, the first operand is a service.
  assertEquals((await host.calledAs("hactl-1.0", "status", "web")).stdout, "UP\tweb\n");
  assertEquals((await host.calledAs("hastatus", "down")).stdout, "UP\tdown\n");
});

Deno.test("hactl -a runs a command by any name of the program", async () => {
  using host = await Host.make();
  await using daemon = await Daemon.start();
  await daemon.get("/spool/web/0");
  for (const name of ["hactl", "haup"]) {
    assertEquals(await host.calledAs(name, "-a", "down", "web", "-r", "maint"), SILENT);
    const down = { code: 1, stdout: "DOWN\tinf\tweb\tmaint\n", stderr: "" };
    assertEquals(await host.calledAs(name, "web", "-a", "status"), down);
    assertEquals(await host.calledAs(name, "--action=status_downed"), { ...down, code: 0 });
    assertEquals(await host.calledAs(name, "-a", "up", "web"), SILENT);
    assertEquals(host.names, []);
    const list = await inProcess(["-a", "list", "-p", String(daemon.port)], name);
    assertEquals([list.code, list.stdout.split("=")[0]], [0, "web last_response"]);
  }
});

Deno.test("hactl status by an older name prints the lines of the older tools", async () => {
  using host = await Host.make();
  host.write("web:8080", "why");
  host.write("web", "maint");
  const cases: [args: string[], stdout: string, code: number][] = [
    [["api"], "UP\tapi\n", 0],
    [["api", "-P", "8080"], "UP\tapi\n", 0],
    [["api", "api", "-P", "8080", "-H", "10.1.1.1"], "UP\tapi\nUP\tapi\n", 0],
    [["web", "-P", "8080"], "DOWN\tinf\tweb::8080\twhy\n", 1],
    [["web", "-P", "8080", "-H", "127.0.0.1"], "DOWN\tinf\tweb:127.0.0.1:8080\twhy\n", 1],
    [["web", "-P", "8080", "-H", "localhost"], "DOWN\tinf\tweb:localhost:8080\twhy\n", 1],
    [["web"], "DOWN\tinf\tweb\tmaint\n", 1],
  ];
  for (const [args, stdout, code] of cases) {
    const outcome = await host.calledAs("hastatus", ...args);
    assertEquals([outcome.stdout, outcome.code], [stdout, code], args.join(" "));
    assertEquals((await host.calledAs("hactl", "-a", "status", ...args)).stdout, stdout);
  }
  assertEquals((await host.calledAs("hactl", "status", "api", "-P", "80")).stdout, "UP\tapi::80\n");
});

Deno.test("hactl -P 0 means port 0, and -H takes a host's name", async () => {
  using host = await Host.make();
  assertEquals(await host.hactl("down", "web", "-P", "0", "-r", "x"), SILENT);
  assertEquals(host.names, ["web:0"]);
  assertEquals((await host.hactl("status", "web", "-P", "0")).stdout, "DOWN\tinf\tweb::0\tx\n");
  assertEquals((await host.hactl("status", "web")).stdout, "UP\tweb\n");
  assertEquals((await host.hactl("downed")).stdout, "DOWN\tinf\tweb::0\tx\n");
  assertEquals((await host.hactl("status")).stdout, "DOWN\tinf\tweb::0\tx\n");
  assertEquals((await host.hactl("up", "web")).stderr.includes("web:0 is down"), true);
  assertEquals(await host.hactl("up", "web", "-P", "0"), SILENT);
  assertEquals(host.names, []);

  const down = ["down", "web", "-P", "80", "-r", "x", "-H", "localhost"];
  assertEquals(await host.hactl(...down), SILENT);
  assert(host.names.includes("web:80"), host.names.join());
  assertEquals(await host.hactl("up", "web", "-P", "80", "-H", "localhost"), SILENT);
  assertEquals(host.names, []);
});

Deno.test("hactl parses flags like optparse: abbreviated, repeated, values with a dash", async () => {
  using host = await Host.make();
  const cases: [args: string[], name: string, reason: string][] = [
    [["web", "-r", "-x"], "web", "-x"],
    [["web", "--reason=-x"], "web", "-x"],
    [["web", "--reas", "maint"], "web", "maint"],
    [["web", "-r", "first", "--reason", "last"], "web", "last"],
    [["web", "-P", "80", "-P", "81", "-r", "x"], "web:81", "x"],
    [["-a", "up", "-a", "down", "web", "-r", "x"], "web", "x"],
    [["web", "--service-p", "8080", "-r-", "--spool-r", host.spool], "web:8080", "-"],
  ];
  for (const [args, name, reason] of cases) {
    assertEquals(await host.calledAs("hadown", ...args), SILENT, args.join(" "));
    assertEquals(JSON.parse(host.read(name)!).reason, reason);
    Deno.removeSync(`${host.spool}/${name}`);
    assertEquals(host.names, []);
  }
});

const SERVICE = 'expected at most 200 letters, digits, ".", "_" and "-", not beginning with a dot';
const HOST = "expected an IPv4 or IPv6 address, or a host's name";
const PORT = "expected a number from 0 to 65535";
const DAEMON_PORT = "expected a number from 1 to 65535";
const COMMANDS =
  "expected one of up, down, drain, weight, status, why, history, downed, list, watch, wait, " +
  "completions, help";
const DURATION = "expected weeks, days, hours, minutes or seconds such as 30m, 1h30m or 2d";
const ACTIONS = "expected one of up, down, status, list, status_downed";

const WRONG_USAGE: readonly [args: string[], message: string][] = [
  [["--json"], `Bad command: ${COMMANDS}: received ""`],
  [["web"], `Bad command: ${COMMANDS}: received "web"`],
  [["Down", "web"], `Bad command: ${COMMANDS}: received "Down"; did you mean down?`],
  [["donw", "web"], `Bad command: ${COMMANDS}: received "donw"; did you mean down?`],
  [["staus"], `Bad command: ${COMMANDS}: received "staus"; did you mean status?`],
  [["help", "dwon"], `Bad command: ${COMMANDS}: received "dwon"; did you mean down?`],
  [["lst", "--help"], `Bad command: ${COMMANDS}: received "lst"; did you mean list?`],
  [["help", "down", "up"], "Unexpected argument: up"],
  [["completions"], 'Bad shell: expected one of bash, zsh, fish: received ""'],
  [["completions", "tcsh"], 'Bad shell: expected one of bash, zsh, fish: received "tcsh"'],
  [["constructor"], `Bad command: ${COMMANDS}: received "constructor"`],
  [["down"], "down needs the name of a service"],
  [["up"], "up needs the name of a service"],
  [["drain"], "drain needs the name of a service"],
  [["weight"], "weight needs the name of a service, and a weight from 0 to 100"],
  [["weight", "web"], "weight needs the name of a service, and a weight from 0 to 100"],
  [["weight", "50"], "weight needs the name of a service, and a weight from 0 to 100"],
  ...["101", "50%", "half", "5.5", "", "api"].map((weight): [string[], string] => [
    ["weight", "web", weight],
    `Bad weight: expected a number from 0 to 100: received ${JSON.stringify(weight)}`,
  ]),
  [["-a", "drain", "web"], `Bad -a: ${ACTIONS}: received "drain"`],
  [["status", "-P", "80"], "status needs the name of a service"],
  [["status", "-H", "10.1.1.1"], "-H needs -P: which port of that host"],
  [["wait"], "wait needs the name of a service"],
  [["wait", "web"], "wait needs one of --up, --down and --healthy"],
  [
    ["wait", "web", "--up", "--down"],
    "wait needs one of --up, --down and --healthy",
  ],
  [
    ["wait", "web", "--up", "--healthy"],
    "wait needs one of --up, --down and --healthy",
  ],
  [["up", "web", "--healthy"], "up --healthy needs a duration, such as 5m"],
  [["up", "web", "--healthy=soon"], `Bad --healthy: ${DURATION}: received "soon"`],
  [["down", "web", "--healthy", "5m"], "down takes no --healthy"],
  ...["down", "drain"].map((command): [string[], string] => [
    [command, "all", "-P", "8081"],
    `${command} all takes no -P: all is every service of this host. Name the services on port 8081`,
  ]),
  [
    ["weight", "all", "50", "-P", "8081"],
    "weight all takes no -P: all is every service of this host. Name the services on port 8081",
  ],
  ...([
    ["web:8080", "web -P 8080"],
    ["web::8080", "web -P 8080"],
    ["web:10.1.1.1:8080", "web -P 8080 -H 10.1.1.1"],
  ] as const).map(([record, meant]): [string[], string] => [
    ["down", record],
    `Bad service: ${SERVICE}: received "${record}"; did you mean ${meant}?`,
  ]),
  [["wait", "web", "--up", "--timeout", "5"], `Bad --timeout: ${DURATION}: received "5"`],
  [["up", "web", "--for", "30m"], "up takes no --for"],
  [["status", "--until", "08:00"], "status takes no --until"],
  [["down", "web", "--up"], "down takes no --up"],
  [["status", "--timeout", "5s"], "--timeout needs --daemon"],
  [["wait", "web", "--up", "--ca-file", "/dev/null"], "--ca-file needs --daemon"],
  [["wait", "web", "--up", "--json"], "wait takes no --json"],
  [["status", "web", "--now"], "status takes no --now"],
  [["why", "--now"], "why --now needs the name of a service"],
  [["down", "web", "--for", "soon"], `Bad --for: ${DURATION}: received "soon"`],
  [
    ["down", "web", "--until", "2020-01-01"],
    'Bad --until: expected a time to come: received "2020-01-01", which is over',
  ],
  ...[["-e", "4000000000", "--for", "30m"], ["--for", "30m", "--until", "08:00"], [
    ...["-e", "4000000000"],
    ...["--until", "08:00"],
  ]].map((ends): [string[], string] => [
    ["down", "web", ...ends],
    "Only one of -e, --for and --until can set the expiration",
  ]),
  ...[
    "web1:3333",
    "ftp://web1",
    "http://",
    "http://web1/x",
    "http://a b",
    "http://web1:0",
    "http://[::g]",
  ]
    .map((url): [string[], string] => [
      ["status", "--daemon", url],
      `Bad --daemon: expected http://HOST[:PORT] or https://HOST[:PORT]: received ${
        JSON.stringify(url)
      }`,
    ]),
  [
    ["down", "web", "-P", "80", "-H", "10.1.1.1", "--daemon", "http://web1"],
    "-H cannot be used with --daemon",
  ],
  [
    ["status", "-p", "3334", "--daemon", "http://web1"],
    "-p cannot be used with --daemon",
  ],
  [["down", "-r", "maint"], "down needs the name of a service"],
  [["downed", "web"], "downed takes no service: web"],
  [["list", "web"], "list takes no service: web"],
  [["-a", "remove", "web"], `Bad -a: ${ACTIONS}: received "remove"`],
  [["-a", "downed"], `Bad -a: ${ACTIONS}: received "downed"`],
  [["-a", "status"], "status needs the name of a service"],
  [["down", "web", "-H", "10.1.1.1"], "-H needs -P: which port of that host"],
  [
    ["down", "web", "-P", "80", "-H", "no-such-host.invalid"],
    `Bad -H: ${HOST}: "no-such-host.invalid" has no address`,
  ],
  [
    ["down", "web", "-P", "80", "-H", "0x7f.1"],
    `Bad -H: ${HOST}: received "0x7f.1"`,
  ],
  [
    ["down", "web", "-P", "80", "-H", "../x"],
    `Bad -H: ${HOST}: received "../x"`,
  ],
  [
    ["down", "web", "-P", "0", "--daemon", "http://web1"],
    "-P 0 cannot be used with --daemon",
  ],
  [["down", "web", "-P", "65536"], `Bad -P: ${PORT}: received "65536"`],
  [["down", "web", "-P", "http"], `Bad -P: ${PORT}: received "http"`],
  [["down", "web", "-P", "80/../x"], `Bad -P: ${PORT}: received "80/../x"`],
  [["status", "web", "-p", "0"], `Bad -p: ${DAEMON_PORT}: received "0"`],
  [["list", "-p", "x"], `Bad -p: ${DAEMON_PORT}: received "x"`],
  [
    ["down", "web", "-e", "tomorrow"],
    'Bad -e: expected a time in unix seconds: received "tomorrow"',
  ],
  [["down", "web", "-e", " "], 'Bad -e: expected a time in unix seconds: received " "'],
  [["down", "web", "-e", "NaN"], 'Bad -e: expected a time in unix seconds: received "NaN"'],
  [["down", "web", "--expiration=-1"], 'Bad -e: expected a time in unix seconds: received "-1"'],
  [["down", "web", "-e"], "Flag -e needs a value"],
  [["down", "web", "-r"], "Flag -r needs a value"],
  [["down", "web", "--spool-root"], "Flag --spool-root needs a value"],
  [["down", "web", "--force"], "Unknown flag: --force"],
  [["weight", "web", "-1"], "Unknown flag: -1"],
  [["down", "web", "-P", "-1"], `Bad -P: ${PORT}: received "-1"`],
  [["down", "web", "--da", "x"], "Ambiguous flag: --da: could be --daemon, --daemon-file"],
  [["down", "web", "-x"], "Unknown flag: -x"],
  ...[
    "../etc/passwd",
    "a/b",
    ".x",
    ".",
    "..",
    "",
    "a b",
    "wéb",
    "a\nb",
    "w".repeat(201),
  ]
    .map((name): [string[], string] => [
      ["down", "web", name],
      `Bad service: ${SERVICE}: received ${JSON.stringify(name)}`,
    ]),
];

Deno.test("hactl rejects an invalid command line in one line, and changes nothing", async () => {
  using host = await Host.make();
  for (const [args, message] of WRONG_USAGE) {
    const root = args.includes("--spool-root") ? [] : ["--spool-root", host.spool];
    assertEquals(await inProcess([...root, ...args]), {
      code: 2,
      stdout: "",
      stderr: `hactl: ${message} (see hactl --help)\n`,
    }, args.join(" "));
  }
  assertEquals(host.names, []);
});

Deno.test("hactl rejects an invalid command line before it needs a permission", async () => {
  using host = await Host.make();
  for (
    const args of [["--json"], ["down", "../x"], ["down", "web", "-H", "10.1.1.1"], ["--nope"]]
  ) {
    const { code, stdout, stderr } = await runUnder([], host.spool, args, {}, ["--no-prompt"]);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /^hactl: .+ \(see hactl --help\)\n$/);
  }
});

Deno.test("hactl without arguments prints its help", async () => {
  assertEquals(await inProcess([]), await inProcess(["--help"]));
  assertEquals((await inProcess([], "hadown")).code, 2);
});

Deno.test("hactl --version ignores the command", async () => {
  assertEquals(await inProcess(["--version", "down"]), { ...SILENT, stdout: `hactl ${VERSION}\n` });
});

Deno.test("hactl help has every command and flag, and examples for each command", async () => {
  const help = async (...args: string[]) => {
    const { code, stdout, stderr } = await inProcess(args);
    assertEquals([code, stderr], [0, ""]);
    return stdout;
  };
  const usage = await help("--help");
  assertEquals(await help("help"), usage);
  for (const name of Object.keys(COMMAND_TABLE)) {
    assertMatch(usage, new RegExp(`^  ${name}\\b`, "m"));
  }
  for (const name of Object.keys(FLAGS)) assertMatch(usage, new RegExp(` --${name}\\b`));
  for (const line of usage.split("\n")) assert(line.length <= 80, line);

  for (const [name, { flags, examples }] of Object.entries(COMMAND_TABLE)) {
    const text = await help("help", name);
    assertEquals(await help(name, "--help"), text);
    assertEquals(await help("-h", name, "web"), text);
    assert(text.startsWith(`hactl ${name}`), text);
    for (const flag of flags) assertMatch(text, new RegExp(` --${flag}\\b`));
    assert(examples.length > 0, name);
    for (const [line, what] of examples) assertStringIncludes(text, `  ${line}\n      ${what}\n`);
    for (const line of text.split("\n")) assert(line.length <= 80, line);
  }
  assertEquals((await inProcess(["--help"], "hadown")).stdout, await help("help", "down"));
  assertEquals((await inProcess(["-a", "list", "-h"])).stdout, await help("help", "list"));
});

Deno.test("hactl escapes control characters in JSON, and strips them from text", async () => {
  using spool = new TempFolder();
  spool.write("web", '{"reason": "a\\u202eb\\u009bc"}');
  const escaped = ["status", "web", "--json"];
  const { stdout } = await hactl(spool.path, escaped);
  assertStringIncludes(stdout, '"reason":"a\\u202eb\\u009bc"');
  const text = await hactl(spool.path, ["status", "web"]);
  assertEquals(text.stdout, "DOWN\tinf\tweb\ta b c\n");
  const { stderr } = await hactl(spool.path, ["status", "we\u202eb"]);
  assertStringIncludes(stderr, 'received "we\\u202eb"');
});
