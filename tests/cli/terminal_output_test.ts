import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { Daemon, hactl, hactlCommand, run, TempFolder } from "../support/programs.ts";
import { afterRequest, ClosedPort, FaultyServer } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";

Deno.test("hactl down sets the expiration by --for and --until", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  const down = (...args: string[]) =>
    hactl(folder.path, ["down", "web", "-r", "x", "-p", String(closed.port), ...args]);
  const expiration = () => JSON.parse(Deno.readTextFileSync(folder.file("web"))).expiration;

  const before = Date.now() / 1000;
  assertEquals((await down("--for", "1h30m")).code, 0);
  const after = Date.now() / 1000;
  assert(expiration() >= before + 5400 && expiration() <= after + 5400, String(expiration()));
  assertEquals((await down("--until", "2096-12-01T08:00Z")).code, 0);
  assertEquals(expiration(), Date.UTC(2096, 11, 1, 8) / 1000);
  assertEquals((await down()).code, 0);
  assertEquals(expiration(), null);
});

Deno.test("hactl status without a service prints a line for everything", async () => {
  await using daemon = await Daemon.start();
  const status = (...args: string[]) =>
    hactl(daemon.spool, ["status", "-p", String(daemon.port), ...args]);
  assertEquals(await status(), { code: 0, stdout: "", stderr: "" });
  for (const service of ["web", "db", "api"]) await daemon.get(`/spool/${service}/0`);
  assertEquals(await status(), { code: 0, stdout: "UP\tapi\nUP\tdb\nUP\tweb\n", stderr: "" });

  const write = (name: string, content: string) => daemon.writeRecord(name, content);
  write("web", '{"reason": "a\\tb", "expiration": 4000000000}');
  write("db:8080", "why");
  write("old", '{"expiration": 1}');
  assertEquals(await status(), {
    code: 1,
    stdout: "DOWN\tinf\tdb::8080\twhy\nDOWN\t4000000000.000000\tweb\ta b\nUP\tapi\nUP\tdb\n",
    stderr: "",
  });
});

Deno.test("hactl status without a daemon prints the records", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  folder.write("web", "maint");
  assertEquals(await hactl(folder.path, ["status", "-p", String(closed.port)]), {
    code: 1,
    stdout: "DOWN\tinf\tweb\tmaint\n",
    stderr: `hactl: the daemon on port ${closed.port}: Connection refused (os error 111)\n`,
  });
});

Deno.test("hactl --json prints one shape for each command", async () => {
  await using daemon = await Daemon.start();
  const json = async (code: number, ...args: string[]) => {
    const result = await hactl(daemon.spool, [...args, "--json", "-p", String(daemon.port)]);
    assertEquals([result.code, result.stderr], [code, ""]);
    assertMatch(result.stdout, /^\{.*\}\n$/);
    return JSON.parse(result.stdout);
  };
  const where = { service: "web", port: 8080, host: "127.0.0.1" };
  const up = {
    ...{ name: "web:8080", ...where, state: "up", reason: null, expiration: null, creation: null },
  };
  const beside = { kept_out_by: null, weight: null, last: null };

  const changed = await json(0, "down", "web", "-P", "8080", "-r", "x", "-e", "4000000000");
  const creation = changed.services[0].creation;
  const by = "operator";
  const down = { ...up, state: "down", reason: "x", expiration: 4000000000, creation, by };
  assert(Math.abs(creation - Date.now() / 1000) < 60);
  assertEquals(changed, { services: [down] });
  assertEquals(await json(1, "status", "web", "-P", "8080"), {
    services: [{ ...down, ...beside }],
  });
  assertEquals(await json(1, "status"), { services: [{ ...down, ...beside }] });
  const { state: _, ...record } = down;
  assertEquals(await json(0, "downed"), { downtimes: [{ ...record, mode: "down" }] });
  assertEquals(await json(0, "up", "web", "-P", "8080"), { services: [up] });
  assertEquals(await json(0, "downed"), { downtimes: [] });

  const weighed = await json(0, "weight", "db", "web", "50", "-r", "canary");
  const [ofDb, ofWeb] = ["db", "web"].map((name, i) => ({
    ...{ name, service: name, port: 0, host: "127.0.0.1", weight: 50, reason: "canary" },
    ...{ expiration: null, creation: weighed.weights[i].creation, by },
  }));
  assertEquals(weighed, { weights: [ofDb, ofWeb] });
  assertEquals(await json(0, "weight", "web", "100"), {
    weights: [without(ofWeb!, "by", { weight: 100, reason: "", creation: null })],
  });

  await daemon.get("/spool/api/0");
  assertEquals((await json(0, "drain", "all", "-r", "x")).services[0].state, "drain");
  const kept_out_by = { name: "all", state: "drain" };
  assertEquals((await json(0, "status", "web", "-P", "8080")).services, [
    { ...up, ...beside, kept_out_by },
  ]);
  assertEquals((await json(0, "status", "db")).services[0].weight, 50);
  const { services: [{ service, last }] } = await json(0, "list");
  assertEquals([service, last.code, last.remote_ip], ["api", 200, "127.0.0.1"]);
  const everything = await json(1, "status");
  assertEquals(
    everything.services.map(({ name, state, kept_out_by, weight, last }: never) => {
      return [name, state, kept_out_by, weight, last];
    }),
    [
      ["all", "drain", null, null, null],
      ["api", "up", kept_out_by, null, last],
      ["db", "up", kept_out_by, 50, null],
    ],
  );
});

/** An object without one of its keys, and with others. */
function without<T extends object>(object: T, key: keyof T, others: Partial<T>): Partial<T> {
  const { [key]: _, ...rest } = object;
  return { ...rest, ...others } as Partial<T>;
}

/** Runs a command on a terminal of so many columns, and returns what it shows. */
async function onTerminal(
  command: readonly string[],
  columns: number,
  env: Record<string, string>,
): Promise<{ code: number; shown: string }> {
  const line = command.map((arg) => `'${arg}'`).join(" ");
  const all = ["-qec", `stty cols ${columns} rows 50; ${line}`, "/dev/null"];
  const { code, stdout } = await run("script", all, { SHELL: "/bin/sh", ...env });
  // Removes the progress line that Deno itself may print and erase.
  return { code, shown: stdout.replaceAll("\r", "").replaceAll("\x1b[0G\x1b[2K\x1b[J", "") };
}

serverTest("hactl status prints columns on a terminal", ["script"], async () => {
  await using daemon = await Daemon.start({ config: "healthcheck_timeout: 1\n" });
  using closed = await ClosedPort.open();
  for (const path of ["/spool/web/0", "/spool/api/0", `/tcp/db/${closed.port}`]) {
    await daemon.get(path);
  }
  const write = (name: string, content: string) => daemon.writeRecord(name, content);
  write(
    "web",
    `{"reason": "${"kernel ".repeat(20)}", "expiration": 4000000000, "creation": 0, "by": "alice"}`,
  );
  write(".weight:api", '{"weight": 5}');
  write("mail", '{"mode": "drain"}');
  write("cron", "by\x1b\u202e[31m hand");
  const command = hactlCommand(daemon.spool, ["status", "-p", String(daemon.port)]);

  const plain = async (columns: number) => {
    const outcome = await onTerminal(command, columns, { NO_COLOR: "1", TZ: "UTC" });
    assertEquals(outcome.code, 1);
    const lines = outcome.shown.trimEnd().split("\n");
    for (const line of lines) assert([...line].length <= columns, line);
    return lines;
  };
  const age = String.raw`\d+s ago`;
  const matches = (lines: readonly string[], rows: readonly string[]) =>
    assertMatch(lines.join("\n"), new RegExp(`^${rows.join("\n")}$`));
  const wide = await plain(300);
  matches(wide, [
    "STATE        SERVICE  SINCE                UNTIL                WEIGHT  LAST RESPONSE  REASON",
    String.raw`DOWN         cron {60,}by \[31m hand`,
    "DRAIN        mail",
    "DOWN         web      1970-01-01 00:00:00  2096-10-02 07:06:40          " +
    String.raw`200, ${age} {3,4}(kernel ?){20} \(alice\)`,
    String.raw`UP           api {48}5%      200, ${age}`,
    String.raw`UP, failing  db {57}503, ${age}`,
  ]);
  const narrower = await plain(100);
  assertStringIncludes(narrower[0]!, "SINCE       UNTIL      WEIGHT  LAST RESPONSE  REASON");
  assertMatch(narrower[3]!, /^DOWN +web +\d+d ago +in \d+d +200, \d+s ago +kernel kernel/);
  const narrow = await plain(60);
  matches(narrow, [
    "STATE        SERVICE  SINCE +UNTIL +WEIGHT  LAST",
    "DOWN         cron",
    String.raw`  by \[31m hand`,
    "DRAIN        mail",
    String.raw`DOWN         web {6}\d+d +\d+d +200`,
    ...["  (kernel ?)+", "  (kernel ?)+", String.raw`  (kernel ?)+ \(alice\)`],
    "UP           api +5%      200",
    "UP, failing  db +503",
  ]);
  for (const lines of [wide, narrower, narrow, await plain(40)]) {
    assertEquals(lines.join(" ").match(/kernel/g)?.length, 20, "no reason is ever cut");
  }
  for (const line of await plain(40)) {
    assert(!/\b(?:50|5|20|2)$/.test(line), `cut without a sign: ${line}`);
  }

  const { shown } = await onTerminal(command, 300, { NO_COLOR: "", TZ: "UTC" });
  assertStringIncludes(shown, "\x1b[31mDOWN");
  assertStringIncludes(shown, "\x1b[33mDRAIN");
  assertStringIncludes(shown, "\x1b[32mUP");
  assertStringIncludes(shown, "\x1b[33mUP, failing");
  assertStringIncludes(shown, "\x1b[31m503");
  // deno-lint-ignore no-control-regex
  const bare = shown.replaceAll(/\x1b\[\d+m/g, "");
  assertEquals(
    bare.trimEnd().replaceAll(/\d+s ago/g, "ago"),
    wide.join("\n").replaceAll(/\d+s ago/g, "ago"),
  );
});

serverTest(
  "hactl status on a terminal warns of a service that is up but fails its check",
  ["script"],
  async () => {
    await using daemon = await Daemon.start();
    using closed = await ClosedPort.open();
    for (const path of ["/spool/web/0", `/tcp/db/${closed.port}`]) await daemon.get(path);
    const status = (...args: string[]) =>
      hactlCommand(daemon.spool, ["status", ...args, "-p", String(daemon.port)]);
    const { code, shown } = await onTerminal(status("web", "db"), 100, { NO_COLOR: "1" });
    assertEquals(code, 0);
    assertMatch(
      shown,
      /^UP\tweb\nUP\tdb\nhactl: db is up, but failing: its last check returned 503, \d+ s ago\n$/,
    );
    const [command, ...args] = status("db");
    assertEquals((await run(command!, args)).stderr, "", "scripts get no warning");
  },
);

/** hactl watch or wait, under way. */
class Running implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #read: Promise<void>[];
  #isTyped = false;

  stdout = "";
  stderr = "";

  constructor(command: readonly string[], env: Record<string, string> = {}) {
    const [program, ...args] = command;
    this.#process = new Deno.Command(program!, {
      args,
      env: { NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = async (name: "stdout" | "stderr") => {
      const stream = this.#process[name].pipeThrough(new TextDecoderStream());
      for await (const text of stream) this[name] += text;
    };
    this.#read = [read("stdout"), read("stderr")];
  }

  /** Types something, and nothing more. */
  async type(text: string): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    this.#isTyped = true;
  }

  kill(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  async ended(): Promise<number> {
    const { code } = await this.#process.status;
    if (!this.#isTyped) await this.#process.stdin.close();
    this.#isTyped = true;
    await Promise.all(this.#read);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended();
  }
}

Deno.test("hactl watch prints a line for each service, and another one when it changes", async () => {
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  await daemon.get("/spool/api/0");
  await using watching = new Running(hactlCommand(daemon.spool, ["watch", "-p", port]));
  const printed = (text: string) => until(text, () => watching.stdout === text);
  await printed("UP\tapi\n");
  await hactl(daemon.spool, ["down", "web", "-r", "maint", "-p", port]);
  await printed("UP\tapi\nDOWN\tinf\tweb\tmaint\n");
  await hactl(daemon.spool, ["down", "api", "-r", "too", "-p", port]);
  await printed("UP\tapi\nDOWN\tinf\tweb\tmaint\nDOWN\tinf\tapi\ttoo\n");
  await hactl(daemon.spool, ["up", "web", "-p", port]);
  await printed("UP\tapi\nDOWN\tinf\tweb\tmaint\nDOWN\tinf\tapi\ttoo\nUP\tweb\n");
  watching.kill("SIGINT");
  assertEquals([await watching.ended(), watching.stderr], [0, ""]);
});

Deno.test("hactl watch prints only the services that are named, and a missing daemon once", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  const command = (...args: string[]) =>
    hactlCommand(folder.path, ["watch", ...args, "-p", String(closed.port)]);
  await using all = new Running(command());
  await using named = new Running(command("web"));
  await until("the line is printed", () => named.stdout === "UP\tweb\n" && all.stderr !== "");
  folder.write("db", "maint");
  await until("the line is printed", () => all.stdout === "DOWN\tinf\tdb\tmaint\n");
  folder.write("web", "maint");
  await until("the line is printed", () => named.stdout === "UP\tweb\nDOWN\tinf\tweb\tmaint\n");
  assertEquals(
    all.stderr,
    `hactl: the daemon on port ${closed.port}: Connection refused (os error 111)\n`,
  );
  assertEquals(named.stderr, "");
});

Deno.test("hactl watch reads the spool again at once if it changed meanwhile", async () => {
  using folder = new TempFolder();
  const requests: number[] = [];
  // hactl asks the daemon after it has read the spool.
  await using daemon = await FaultyServer.start(afterRequest((socket) => {
    requests.push(performance.now());
    if (requests.length === 1) folder.write("web", "maint");
    setTimeout(() => socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 50);
  }));
  await using watching = new Running(
    hactlCommand(folder.path, ["watch", "-p", String(daemon.port)]),
  );
  await until("the record is printed", () => watching.stdout === "DOWN\tinf\tweb\tmaint\n");
  const [first, second] = requests;
  assert(second! - first! < 900, `${second! - first!} ms, and without an event 1000 ms`);
});

Deno.test("hactl watch ends when the reader of its output ends", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  // One service only: with a second line, the pipe could break before this test has read the first.
  const line = hactlCommand(folder.path, ["watch", "web", "-p", String(closed.port)]);
  const script = '"$@" | head -n 1; echo "${PIPESTATUS[0]}"';
  await using watching = new Running(["bash", "-c", script, "bash", ...line]);
  await until("the line is printed", () => watching.stdout === "UP\tweb\n");
  folder.write("web", "maint");
  assertEquals([await watching.ended(), watching.stderr], [0, ""]);
  assertEquals(watching.stdout, "UP\tweb\n0\n");
});

serverTest("hactl watch redraws the columns on a terminal", ["script"], async () => {
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  const line = hactlCommand(daemon.spool, ["watch", "-p", port]).map((arg) => `'${arg}'`).join(" ");
  await using watching = new Running(
    ["script", "-qec", `stty cols 100; exec ${line}`, "/dev/null"],
    { SHELL: "/bin/sh" },
  );
  const cleared = "\x1b[H\x1b[2J";
  await until("it shows that nothing is", () => {
    return watching.stdout.includes(`${cleared}Nothing is down.`);
  });
  await hactl(daemon.spool, ["down", "web", "-r", "maint", "-p", port]);
  await until("the downtime is shown", () => {
    return /STATE +SERVICE.*\r\nDOWN +web .*maint/.test(watching.stdout.split(cleared)[2] ?? "");
  });
  assert(watching.stdout.startsWith("\x1b[?1049h"), "it draws on a screen of its own");
  await watching.type("\x03");
  assertEquals(await watching.ended(), 0);
  assert(watching.stdout.endsWith("\x1b[?25h\x1b[?1049l"), "it gives the old screen back");
});

Deno.test("hactl wait returns once the daemon reports the state", async () => {
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  const wait = (...args: string[]) =>
    new Running(hactlCommand(daemon.spool, ["wait", ...args, "-p", port]));
  const write = (name: string) => daemon.writeRecord(name, "maint");
  assertEquals(await hactl(daemon.spool, ["wait", "web", "--up", "-p", port]), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  {
    await using waiting = wait("web", "db", "--down");
    write("web");
    let hasEnded = false;
    const ended = waiting.ended().then((code) => {
      hasEnded = true;
      return code;
    });
    await until("it is down", async () => (await daemon.get("/spool/web/0")).status === 503);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert(!hasEnded, "db is not down yet");
    write("db");
    assertEquals([await ended, waiting.stdout, waiting.stderr], [0, "", ""]);
  }
  // By whatever keeps it down.
  Deno.removeSync(`${daemon.spool}/web`);
  write("all");
  await using waiting = wait("web", "-P", "80", "--down", "--timeout", "1m");
  assertEquals(await waiting.ended(), 0);
});

Deno.test("hactl wait gives up after the timeout, with the daemon's last report", async () => {
  await using daemon = await Daemon.start();
  using closed = await ClosedPort.open();
  const wait = (port: number, ...args: string[]) =>
    hactl(daemon.spool, ["wait", "web", ...args, "--timeout", "1s", "-p", String(port)]);
  assertEquals(await wait(daemon.port, "--down"), {
    code: 1,
    stdout: "",
    stderr: `hactl: web is not down after 1 s: the daemon on port ${daemon.port} reports up\n`,
  });
  // A daemon that is not there may come.
  assertEquals(await wait(closed.port, "--up"), {
    code: 1,
    stdout: "",
    stderr: `hactl: web is not up after 1 s: the daemon on port ${closed.port}: ` +
      "Connection refused (os error 111)\n",
  });
});

Deno.test("hactl wait ends at once if the daemon rejects it", async () => {
  await using daemon = await Daemon.start({ config: "allowed_clients: [192.0.2.1]\n" });
  const port = String(daemon.port);
  assertEquals(await hactl(daemon.spool, ["wait", "web", "db", "--down", "-p", port]), {
    code: 1,
    stdout: "",
    stderr: `hactl: the daemon on port ${port} rejects hactl: 403 Forbidden\n`,
  });
});
