import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { Daemon, hactl, hactlCommand, TempFolder } from "../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../servers/certificates.ts";
import { ClosedPort, FaultyServer, silent } from "../servers/faulty.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";

/** Returns a function that runs hactl on the spool of a daemon. */
function on(daemon: Daemon) {
  return (...args: string[]) => hactl(daemon.spool, [...args, "-p", String(daemon.port)]);
}

/** Starts a daemon that reuses no results. */
function start(): Promise<Daemon> {
  return Daemon.start({ config: "cache_time: 0\n" });
}

/** Replaces times by T. */
function timeless(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "T").replace(/\(\d+s ago\)/g, "(A ago)")
    .replace(/\d+\.\d\ds/g, "Ns").replace(/\d+\.\d ms|(?<= )0 ms/g, "N ms");
}

Deno.test("hactl why names the reason, the address and the failures of a service that is not well", async () => {
  using closed = await ClosedPort.open();
  await using daemon = await start();
  const run = on(daemon);
  const address = `127.0.0.1:${closed.port}`;
  await daemon.get(`/http/web/${closed.port}/health`);
  const one = await run("why", "web");
  assertEquals([one.code, one.stderr], [1, ""]);
  const [summary, failure, never, heading, change, ...others] = timeless(one.stdout).split("\n");
  assertEquals(
    summary,
    `web: FAILING its http check of ${address}/health since T (A ago): refused: nothing listens on the port`,
  );
  const message = `HTTP check of ${address} failed after Ns: Connection refused (os error 111)`;
  assertMatch(failure!, /^ {2}T {2}refused {2}.* ms {2}HTTP check of /);
  assertStringIncludes(failure!, message);
  assertEquals(never, "  it has not been good since the daemon knows it");
  assertEquals(heading, "last changes:");
  assertEquals(change, `  T  web  http check of ${address}/health: down (refused): ${message}`);
  assertEquals(others, [""]);
  const all = await run("why");
  assertEquals([all.code, timeless(all.stdout)], [1, `${summary}\n0 other checks are good\n`]);
});

Deno.test("hactl why names who took a service out, and why", async () => {
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("fine");
  });
  await using daemon = await start();
  const run = on(daemon);
  const { port } = web.addr;
  await daemon.get(`/http/web/${port}`);
  const good = await run("why", "web");
  const up = `web: UP by its http check of 127.0.0.1:${port}: 200 since T (A ago)\n`;
  assertEquals([good.code, timeless(good.stdout)], [0, up]);
  assertEquals((await run("why")).stdout, "1 check is good\n");

  assertEquals((await run("down", "web", "-r", "kernel", "--for", "1h")).code, 0);
  const down = await run("why", "web");
  assertEquals([down.code, timeless(down.stdout)], [
    1,
    "web: DOWN by record web since T (A ago), until T, by operator: kernel\n" + up +
    "last changes:\n  T  web  down by operator until T: kernel (spool)\n",
  ]);
  const { services } = JSON.parse((await run("why", "web", "--json")).stdout);
  assertEquals(
    [services[0].downtimes[0].reason, services[0].checks[0].state, services[0].changes.length],
    ["kernel", "up", 1],
  );
  assertEquals((await run("up", "web")).code, 0);
  const history = await run("history", "web");
  assertEquals([history.code, timeless(history.stdout)], [
    0,
    "T  web  down by operator until T: kernel (spool)\nT  web  record removed (spool)\n",
  ]);
});

Deno.test("hactl why tells failures during a downtime from others", async () => {
  using closed = await ClosedPort.open();
  await using daemon = await start();
  await daemon.get(`/tcp/db/${closed.port}`);
  await daemon.get(`/tcp/web/${closed.port}`);
  daemon.writeRecord("db", "maint");
  let lines: string[] = [];
  await until("the record is known", async () => {
    lines = timeless((await on(daemon)("why")).stdout).split("\n");
    return lines.some((line) => line.includes("DOWN"));
  });
  assertMatch(lines[0]!, /^web: FAILING its tcp check of /);
  assertEquals(lines[1], "db: DOWN by record db: maint");
  assertMatch(lines[2]!, /^db: FAILING .* \(a record keeps it out anyway\)$/);
});

serverTest(
  "hactl why --now runs the checks anew, and prints each step",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const { certificate, key } = await issueSelfSigned(folder, "web.example", "DNS:web.example");
    let status = 200;
    await using server = Deno.serve({
      ...{ hostname: "127.0.0.1", port: 0, onListen() {} },
      cert: Deno.readTextFileSync(certificate),
      key: Deno.readTextFileSync(key),
    }, () => new Response("first\nsecond", { status }));
    await using daemon = await Daemon.start();
    const { port } = server.addr;
    await daemon.get(`/https/web/${port}/deep`);
    status = 503;
    const { code, stdout } = await on(daemon)("why", "web", "--now");
    assertEquals(code, 1);
    const [check, ...steps] = stdout.split("\n").slice(0, 11);
    assertEquals(check, `web: https check of 127.0.0.1:${port}/deep`);
    const names = steps.map((line) => line.slice(2, 14).trim());
    assertEquals(names, [
      ...["record", "cache", "queue", "connect", "TLS", "first byte", "rest", "total"],
      ...["status", "first line"],
    ]);
    const text = Object.fromEntries(
      steps.map((line) => [line.slice(2, 14).trim(), line.slice(14)]),
    );
    assertEquals([text["record"], text["first line"]], ["none", "first"]);
    assertMatch(text["cache"]!, /^200 from \d+s ago, for another \d+s$/);
    assertMatch(
      text["TLS"]!,
      /^[\d.]+ ms, TLSv1\.[23], certificate of web\.example, expires \S+ \S+ \(\d+ days\)$/,
    );
    assertMatch(text["status"]!, /^503: status: the service responded with an HTTP status/);
    assertMatch(
      (await on(daemon)("why", "--now")).stderr,
      /^hactl: why --now needs the name of a service /,
    );
  },
);

Deno.test("hactl why --now waits for a service that does not respond", async () => {
  await using silentServer = await FaultyServer.start(silent);
  // Longer than hactl waits for other responses.
  await using daemon = await Daemon.start({ config: "healthcheck_timeout: 6\n" });
  const { port } = silentServer;
  const checking = daemon.get(`/http/web/${port}`);
  await until("the service is asked", () => silentServer.accepted === 1);
  const { code, stdout, stderr } = await on(daemon)("why", "web", "--now");
  assertEquals([code, stderr], [1, ""]);
  const [check, ...steps] = stdout.split("\n");
  assertEquals(check, `web: http check of 127.0.0.1:${port}`);
  const names = steps.slice(0, 8).map((line) => line.slice(2, 14).trim());
  assertEquals(names, [
    ...["record", "cache", "queue", "connect", "first byte", "total", "status", "first line"],
  ]);
  assertMatch(steps[6]!, /^ {2}status {6}503: response_timeout: /);
  await checking;
});

Deno.test("hactl why --now runs at most 16 checks, and names how many it left out", async () => {
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("fine");
  });
  await using daemon = await start();
  for (let i = 0; i < 18; i++) await daemon.get(`/http/web/${web.addr.port}/${i}`);
  const { code, stdout } = await on(daemon)("why", "web", "--now");
  assertEquals(code, 0);
  const lines = stdout.split("\n");
  assertEquals(lines.filter((line) => line.startsWith("web: http check of ")).length, 16);
  assert(lines.includes("2 more checks were not run"), stdout);
});

Deno.test("hactl why names how many checks the daemon did not list", async () => {
  await using daemon = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/status/downtimes") return Response.json({ downtimes: [], weights: [] });
    if (pathname === "/status/checks") return Response.json({ checks: [], checks_left_out: 1 });
    return new Response("Not found", { status: 404 });
  });
  using folder = new TempFolder();
  const { stdout } = await hactl(folder.path, ["why", "-p", String(daemon.addr.port)]);
  assertEquals(stdout, "0 checks are good\n1 more check was not listed\n");
});

Deno.test("hactl why without a daemon prints the records of the spool, and exits 1", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  folder.write("web", "maint");
  const { code, stdout, stderr } = await hactl(folder.path, [
    ...["why", "web", "-p", String(closed.port)],
  ]);
  assertEquals([code, stdout], [1, "DOWN\tinf\tweb\tmaint\n"]);
  assert(stderr.includes(String(closed.port)), stderr);
});

Deno.test("hactl why escapes control characters of services and records", async () => {
  await using service = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("\x1b[2Jbad", { status: 500 });
  });
  await using daemon = await start();
  await daemon.get(`/http/web/${service.addr.port}`);
  daemon.writeRecord("web", '{"reason":"\\u001b[31mred"}');
  for (const args of [["why", "web"], ["history"], ["why", "web", "--now"]]) {
    const { stdout } = await on(daemon)(...args);
    assert(!stdout.includes("\x1b"), JSON.stringify(stdout));
  }
});

Deno.test("hactl watch --json prints the changes of a daemon that starts later", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const port = freePort();
  const [command, ...args] = hactlCommand(spool, ["watch", "--json", "-p", String(port)], []);
  const watching = new Deno.Command(command!, { args, stdout: "piped", stderr: "piped" }).spawn();
  const read = async (stream: ReadableStream<Uint8Array>, onText: (text: string) => void) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) onText(text);
  };
  let [output, errors] = ["", ""];
  const reading = Promise.all([
    read(watching.stdout, (text) => output += text),
    read(watching.stderr, (text) => errors += text),
  ]);
  try {
    await until("hactl has asked in vain", () => errors.includes("Connection refused"));
    await using daemon = await Daemon.start({ spool, args: ["-p", String(port)] });
    await hactl(spool, ["down", "web", "-p", String(daemon.port)]);
    await until("the change was printed", () => output.includes("\n"));
    const { id, name, to } = JSON.parse(output);
    assertEquals([id, name, to], [1, "web", "down"]);
  } finally {
    watching.kill("SIGTERM");
    await watching.status;
    await reading;
  }
});

Deno.test("hactl watch --json prints each change once, also after the daemon has started anew", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const port = freePort();
  const startAgain = () => Daemon.start({ spool, args: ["-p", String(port)] });
  let daemon = await startAgain();
  const [command, ...args] = hactlCommand(spool, ["watch", "--json", "-p", String(port)], []);
  const watching = new Deno.Command(command!, { args, stdout: "piped", stderr: "null" }).spawn();
  const names: string[] = [];
  const reading = (async () => {
    let text = "";
    for await (const piece of watching.stdout.pipeThrough(new TextDecoderStream())) {
      text += piece;
      for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
        const { id, kind, name, to } = JSON.parse(text.slice(0, end));
        names.push(`${id} ${kind} ${name} ${to}`);
      }
    }
  })();
  try {
    // Nothing shows when hactl has asked for the first time: it prints changes from then on.
    await until(
      "hactl has begun to watch",
      async () => {
        await hactl(spool, ["down", "begin", "-p", String(port)]);
        await hactl(spool, ["up", "begin", "-p", String(port)]);
        return names.length > 0;
      },
      60_000,
      300,
    );
    const before = JSON.parse((await daemon.get("/status/history")).body).changes[0].id;
    await hactl(spool, ["down", "web", "-p", String(port)]);
    await until("the change was printed", () => names.includes(`${before + 1} record web down`));
    await daemon[Symbol.asyncDispose]();
    daemon = await startAgain();
    await hactl(spool, ["up", "web", "-p", String(port)]);
    await hactl(spool, ["down", "db", "-p", String(port)]);
    await until("the changes were printed", () => names.includes("2 record db down"));
    assertEquals(names.slice(-3), [
      `${before + 1} record web down`,
      "1 record web up",
      "2 record db down",
    ]);
  } finally {
    watching.kill("SIGTERM");
    await watching.status;
    await reading;
    await daemon[Symbol.asyncDispose]();
  }
});

Deno.test("hactl why prints no control character of a path", async () => {
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("fine");
  });
  await using daemon = await start();
  const run = on(daemon);
  // The CSI of terminals, as the UTF-8 that a client may send in a request line.
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: daemon.port });
  await connection.write(new TextEncoder().encode(
    `GET /http/web/${web.addr.port}/a\u009b31m HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  ));
  assertMatch(await new Response(connection.readable).text(), /^HTTP\/1.1 200 /);
  for (const flags of [[], ["--now"]]) {
    const { stdout } = await run("why", "web", ...flags);
    assertStringIncludes(stdout, "/a");
    assert(!stdout.includes("\u009b"), JSON.stringify(stdout));
  }
});
