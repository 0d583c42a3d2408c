import { hactlFlags } from "../../../src/daemon/permissions.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { commandOf } from "../../support/forms.ts";
import { Daemon, hactl, type Result, TempFolder } from "../../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../../servers/certificates.ts";
import { afterRequest, ClosedPort, FaultyServer, sending, silent } from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";

const CHANGEABLE = "allow_remote_spool_changes: true\n";
const TOKEN = "0123456789abcdef";

/** The report of a daemon on a service that is up. */
const UP = {
  ...{ service: "web", port: 0, host: "127.0.0.1", record: null, kept_out_by: null },
  ...{ weight: null, last_asked: null },
};

/** Its report on a service that is down. */
const DOWN = {
  ...UP,
  record: { mode: "down", reason: "x", expiration: null, creation: 5 },
};

/** An operator with a spool, which no change of other daemons may touch. */
class Operator implements Disposable {
  readonly #folder = new TempFolder();

  /** Runs the installed hactl. */
  hactl(
    args: readonly string[],
    files: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<Result> {
    const more = files.length === 0 ? [] : [`--allow-read=${files.join()}`];
    return hactl(this.#folder.path, args, env, more);
  }

  /** Writes a file. */
  write(name: string, content: string): string {
    return this.#folder.write(name, content);
  }

  get names(): string[] {
    return [...Deno.readDirSync(this.#folder.path)].map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/** Starts a daemon whose spool every client may change. */
function changeable(config = "", ports: readonly number[] = []): Promise<Daemon> {
  const args = ports.flatMap((port) => ["-p", String(port)]);
  return Daemon.start({
    config: `${CHANGEABLE}${config}`,
    allGrants: (spool) => [
      "--no-prompt",
      `--allow-read=${spool}`,
      `--allow-write=${spool}`,
      "--allow-net",
    ],
    args,
  });
}

/** The weight that a daemon reports to agent checks. */
async function agentWeight(daemon: Daemon, service: string): Promise<number | null> {
  return JSON.parse((await daemon.get(`/status/services/${service}/0`)).body).agent_weight;
}

const lines = (text: string) => text.trimEnd().split("\n");

Deno.test("hactl changes services on all daemons that are named, and reports which succeeded", async () => {
  using operator = new Operator();
  await using one = await changeable();
  await using other = await changeable();
  await using locked = await Daemon.start();
  using closed = await ClosedPort.open();
  const urls = [one.port, other.port].map((port) => `http://127.0.0.1:${port}`);
  const [first, second] = urls as [string, string];
  const both = ["--daemon", first, "--daemon", `${second}/`, "--daemon", first];

  const down = ["down", "web", "db", "-P", "80", "-r", "wörk & more", "-e", "4000000000.5"];
  assertEquals(await operator.hactl([...down, ...both]), {
    code: 0,
    stdout: `${first}\tOK\n${second}\tOK\n`,
    stderr: "",
  });
  for (const daemon of [one, other]) {
    const { status, body } = await daemon.get("/spool/db/80");
    assertEquals(status, 503);
    assertStringIncludes(body, " until 4000000000.500000: wörk & more");
  }
  const refusing = `http://localhost:${locked.port}`;
  const gone = `http://127.0.0.1:${closed.port}`;
  const all = [...both, "--daemon", refusing, "--daemon", gone];
  assertEquals(await operator.hactl(["up", "web", "db", "-P", "80", ...all]), {
    code: 1,
    stdout: `${first}\tOK\n${second}\tOK\n`,
    stderr:
      `hactl: ${refusing}: cannot remove the record of web:80: 403 remote spool changes are not enabled\n` +
      `hactl: ${gone}: Connection refused (os error 111)\n` +
      "hactl: 2 of 4 daemons failed\n",
  });
  for (const daemon of [one, other]) assertEquals((await daemon.get("/spool/db/80")).status, 200);
  assertEquals(operator.names, []);

  const { code, stdout } = await operator.hactl(["down", "web", "--json", ...all]);
  assertEquals(code, 1);
  const { daemons } = JSON.parse(stdout);
  const service = {
    ...{ name: "web", service: "web", port: 0, host: "127.0.0.1", state: "down" },
    // The default reason is the login name of the operator, not that of the daemon's user.
    ...{ reason: "operator", expiration: null, creation: null },
  };
  assertEquals(daemons, [
    { url: first, error: null, services: [service] },
    { url: second, error: null, services: [service] },
    {
      url: refusing,
      error: "cannot write the record of web: 403 remote spool changes are not enabled",
    },
    { url: gone, error: "Connection refused (os error 111)" },
  ]);
});

Deno.test("hactl prints the reports of daemons like the spool of this host, with their URLs", async () => {
  using operator = new Operator();
  await using one = await changeable();
  await using other = await Daemon.start();
  const [first, second] = [one.port, other.port].map((port) => `http://127.0.0.1:${port}`);
  const to = ["--daemon", first!, "--daemon", second!];
  for (const args of [["drain", "web", "-r", "deploy"], ["weight", "db", "50", "-r", "canary"]]) {
    const { code, stdout } = await operator.hactl([...args, "--daemon", first!]);
    assertEquals([code, stdout], [0, `${first}\tOK\n`]);
  }
  assertEquals((await one.get("/spool/web/0")).status, 404);
  assertEquals(await agentWeight(one, "db"), 50);
  other.writeRecord("all", '{"expiration": 4000000000}');
  await one.get("/spool/api/0");

  assertEquals(await operator.hactl(["downed", ...to]), {
    code: 0,
    stdout: `${first}\tDRAIN\tinf\tweb\tdeploy\n${second}\tDOWN\t4000000000.000000\tall\t\n`,
    stderr: "",
  });
  assertEquals(await operator.hactl(["status", "web", "db", ...to]), {
    code: 1,
    stdout: `${first}\tDRAIN\tinf\tweb\tdeploy\n${first}\tUP\tdb\n` +
      `${second}\tUP\tweb\n${second}\tUP\tdb\n`,
    stderr: "",
  });
  assertEquals(
    (await operator.hactl(["status", ...to])).stdout,
    `${first}\tDRAIN\tinf\tweb\tdeploy
${first}\tUP\tapi
${first}\tUP\tdb
${second}\tDOWN\t4000000000.000000\tall\t
`,
  );
  const { daemons } = JSON.parse((await operator.hactl(["status", "db", "--json", ...to])).stdout);
  const up = {
    ...{ name: "db", service: "db", port: 0, host: "127.0.0.1", state: "up" },
    ...{ reason: null, expiration: null, creation: null, kept_out_by: null, last: null },
  };
  assertEquals(daemons, [
    { url: first, error: null, services: [{ ...up, weight: 50 }] },
    {
      url: second,
      error: null,
      services: [{ ...up, weight: null, kept_out_by: { name: "all", state: "down" } }],
    },
  ]);
  assertEquals((await operator.hactl(["weight", "db", "100", "--daemon", first!])).code, 0);
  assertEquals(await agentWeight(one, "db"), 100);
});

Deno.test("hactl wait waits for all daemons that are named", async () => {
  using operator = new Operator();
  await using one = await changeable();
  await using other = await changeable();
  const [first, second] = [one.port, other.port].map((port) => `http://127.0.0.1:${port}`);
  const to = ["--daemon", first!, "--daemon", second!];
  const wait = () => operator.hactl(["wait", "web", "--down", "--timeout", "3s", ...to]);
  assertEquals((await operator.hactl(["drain", "web", "--daemon", first!])).code, 0);
  assertEquals(await wait(), {
    code: 1,
    stdout: "",
    stderr: `hactl: web is not down after 3 s: ${second} reports up\n`,
  });
  assertEquals((await operator.hactl(["down", "web", "--daemon", second!])).code, 0);
  assertEquals(await wait(), { code: 0, stdout: "", stderr: "" });
});

Deno.test("hactl status --daemon requests a page again that the daemon rejects while others wait", async () => {
  using operator = new Operator();
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  // Each page has more than a megabyte: after some of them the daemon rejects the next ones for seconds.
  for (let i = 0; i < 8000; i++) Deno.writeTextFileSync(`${spool}/service-${i}`, "maint");
  await using daemon = await Daemon.start({ spool });
  const url = `http://127.0.0.1:${daemon.port}`;
  await until("the daemon rejects the page", async () => {
    return (await daemon.get("/status/downtimes")).status === 503;
  });
  assertEquals(await operator.hactl(["status", "web", "--timeout", "60s", "--daemon", url]), {
    code: 0,
    stdout: `${url}\tUP\tweb\n`,
    stderr: "",
  });
  // A rejection that outlasts the timeout is reported.
  await using rejecting = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 503 x\r\ncontent-length: 4\r\n\r\nbusy")),
  );
  const other = `http://127.0.0.1:${rejecting.port}`;
  const { code, stderr } = await operator.hactl(["status", "--timeout", "1s", "--daemon", other]);
  assertEquals([code, stderr], [1, `hactl: ${other}: expected status 200: received 503 busy\n`]);
});

Deno.test("hactl list prints the services of each daemon", async () => {
  using operator = new Operator();
  await using one = await Daemon.start();
  await using other = await Daemon.start();
  await one.get("/spool/web/0");
  const file = operator.write(
    "hosts",
    `# the balancers\nhttp://127.0.0.1:${one.port} # the first\n\n http://127.0.0.1:${other.port}\n`,
  );
  const { code, stdout, stderr } = await operator.hactl(["list", "--daemon-file", file]);
  assertEquals([code, stderr, lines(stdout).length], [0, "", 1]);
  assertStringIncludes(
    stdout,
    `http://127.0.0.1:${one.port}\tweb last_response={"code": 200, "remote_ip": "127.0.0.1", "ts": `,
  );
});

Deno.test("hactl sends the token only to daemons that demand it", async () => {
  using operator = new Operator();
  await using wanting = await changeable(`remote_spool_token: "${TOKEN}"\n`);
  const tokens: (string | null)[] = [];
  await using other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    tokens.push(request.headers.get("authorization"));
    return request.method === "POST" ? new Response("") : Response.json(DOWN);
  });
  const token = operator.write(".token", TOKEN);
  const to = [wanting.port, other.addr.port]
    .flatMap((port) => ["--daemon", `http://127.0.0.1:${port}`]);
  const down = (...args: string[]) => operator.hactl(["down", "web", "-r", "x", ...to, ...args]);
  assertEquals((await down("--token-file", token)).code, 0);
  assertEquals((await wanting.get("/spool/web/0")).status, 503);
  assertEquals(tokens.length > 1 && tokens.every((token) => token === null), true);
  const { code, stderr } = await down();
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    `:${wanting.port}: cannot write the record of web: 401 Unauthorized: name`,
  );
});

serverTest(
  "hactl sends nothing to a daemon by https whose certificate is not valid",
  CERTIFICATE_PROGRAMS,
  async () => {
    using operator = new Operator();
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "authority");
    const other = await Authority.create(folder, "other");
    const { certificate, key } = await authority.issue("web1", { for: "DNS:localhost" });
    const received: string[] = [];
    await using server = Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      onListen() {},
      cert: Deno.readTextFileSync(certificate),
      key: Deno.readTextFileSync(key),
    }, async (request) => {
      if (request.method === "GET") return Response.json(UP);
      received.push(await request.text());
      return new Response("");
    });
    const { port } = server.addr;
    const up = async (host: string, args: readonly string[], env: Record<string, string> = {}) => {
      const url = `https://${host}:${port}`;
      const files = args.filter((arg) => arg.startsWith("/"));
      const { code, stderr } = await operator.hactl(
        ["up", "web", "--daemon", url, ...args],
        files,
        env,
      );
      return { code, why: stderr.replace(`hactl: ${url}: `, "").trimEnd() };
    };
    assertEquals(await up("localhost", ["--ca-file", authority.certificate]), { code: 0, why: "" });
    assertEquals(received, ["status=up"]);
    for (
      const [host, args, why] of [
        ["127.0.0.1", ["--ca-file", authority.certificate], "the certificate is not for 127.0.0.1"],
        ["localhost", ["--ca-file", other.certificate], "the certificate's issuer is unknown"],
        ["localhost", [], "invalid peer certificate: UnknownIssuer"],
      ] as const
    ) {
      const { code, why: message } = await up(host, args);
      assertEquals(code, 1);
      assertStringIncludes(message, why);
    }
    // By the authorities that this host trusts.
    const system = { DENO_TLS_CA_STORE: "system", SSL_CERT_FILE: authority.certificate };
    assertEquals(await up("localhost", [], system), { code: 0, why: "" });
    assertEquals(received.length, 2, "a server without a valid certificate receives nothing");
  },
);

Deno.test("hactl names daemons whose responses are not as expected, and prints nothing of them", async () => {
  using operator = new Operator();
  const http = (status: string, body: string) =>
    afterRequest(sending(`HTTP/1.1 ${status}\r\n\r\n${body}`, (socket) => socket.end()));
  const record = {
    ...{ name: "web", service: "web", port: 0, host: "127.0.0.1", mode: "down" },
    ...{ reason: "x", expiration: null, creation: null },
  };
  const cases = [
    [
      sending("SSH-2.0-OpenSSH_9.2\r\n\r\n", (socket) => socket.end()),
      "expected HTTP/1, found another protocol",
    ],
    [http("200 OK", "<html>"), "expected JSON of a hacheck: received something else"],
    [http("200 OK", "{}"), "expected JSON of a hacheck: "],
    [http("200 OK", '{"downtimes": null}'), "expected JSON of a hacheck: "],
    [
      http("200 OK", JSON.stringify({ downtimes: [{ ...record, name: "\x1b[31m" }], weights: [] })),
      "expected JSON of a hacheck: ",
    ],
    [
      http("200 OK", JSON.stringify({ downtimes: [{ ...record, reason: 5 }], weights: [] })),
      "expected JSON of a hacheck: ",
    ],
    [http("500 No", "a\x1b[31mb\nc"), "expected status 200: received 500 a [31mb c\n"],
    [http("404 No", ""), "its hacheck is older than this hactl"],
    [silent, "no response within 8 s"],
  ] as const;
  const servers = await Promise.all(cases.map(([behaviour]) => FaultyServer.start(behaviour)));
  try {
    const urls = servers.map(({ port }) => `http://127.0.0.1:${port}`);
    const to = urls.flatMap((url) => ["--daemon", url]);
    const commands = [["status"], ["status", "web"], ["downed"]];
    const results = await Promise.all(
      commands.map((command) => operator.hactl([...command, ...to, "--timeout", "8s"])),
    );
    for (const { code, stdout, stderr } of results) {
      assertEquals([code, stdout], [1, ""]);
      for (const [i, [, why]] of cases.entries()) {
        assertStringIncludes(stderr, `hactl: ${urls[i]}: `);
        assertStringIncludes(stderr, why);
      }
      assertStringIncludes(stderr, `hactl: ${cases.length} of ${cases.length} daemons failed\n`);
    }
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
});

Deno.test("hactl verifies a change that was answered 200, by another program too", async () => {
  using operator = new Operator();
  let reported: unknown = "";
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (request.method === "POST" || reported === "") return new Response("");
    return reported === null ? new Response("no", { status: 404 }) : Response.json(reported);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const cases: [reported: unknown, why: string][] = [
    ["", "expected JSON of a hacheck: received something else"],
    [null, "received 404 no: another program, or an older hacheck"],
    [{}, "expected JSON of a hacheck: "],
    [{ ...UP, service: "db" }, "received 200 "],
  ];
  const commands: [args: string[], what: string, contradiction: unknown][] = [
    [["up", "web"], "remove the record of web", DOWN],
    [["down", "web", "-r", "x"], "write the record of web", UP],
    [["down", "web", "-r", "y"], "write the record of web", DOWN],
    [["down", "web", "-r", "x", "-e", "4000000000"], "write the record of web", DOWN],
    [["drain", "web", "-r", "x"], "write the record of web", DOWN],
    [["weight", "web", "50", "-r", "x"], "change the weight of web", UP],
  ];
  for (const [args, what, contradiction] of commands) {
    // Each kind of response once, and for each command the one that contradicts it.
    const some = what === "remove the record of web" ? cases : [];
    for (const [answer, why] of [...some, [contradiction, "received 200 "] as const]) {
      reported = answer;
      const { code, stdout, stderr } = await operator.hactl([...args, "--daemon", url]);
      assertEquals([code, stdout], [1, ""], `${args}: ${JSON.stringify(reported)}`);
      assertStringIncludes(
        stderr,
        `hactl: ${url}: cannot ${what}: the daemon accepted the change but does not report it: ${why}`,
      );
    }
  }
  reported = DOWN;
  const { code, stdout } = await operator.hactl(["down", "web", "-r", " x", "--daemon", url]);
  assertEquals([code, stdout], [0, `${url}\tOK\n`], "daemons strip blanks");
});

Deno.test("hactl sends the author to other daemons, and names that of a record of another operator", async () => {
  using operator = new Operator();
  await using daemon = await changeable();
  const url = `http://127.0.0.1:${daemon.port}`;
  const as = (SUDO_USER: string, ...args: string[]) =>
    operator.hactl([...args, "--daemon", url], [], { SUDO_USER });
  const ok = { code: 0, stdout: `${url}\tOK\n`, stderr: "" };
  assertEquals(await as("alice", "down", "web", "-r", "disk"), ok);
  assertEquals(JSON.parse(Deno.readTextFileSync(`${daemon.spool}/web`)).by, "alice");
  assertEquals(await as("alice", "down", "web", "-r", "disk"), ok);
  assertEquals(await as("bob", "drain", "web"), {
    ...ok,
    stderr: `hactl: ${url}: web: replaced the record of alice ("disk")\n`,
  });
  assertEquals(await as("alice", "up", "web"), {
    ...ok,
    stderr: `hactl: ${url}: web: removed the record of bob\n`,
  });
});

Deno.test("hactl changes services on a Python hacheck, and verifies the change", async () => {
  using operator = new Operator();
  let isDown = false;
  let ignoresChanges = false;
  await using older = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/status") return Response.json({ uptime: 5, cache: { hits: 1, sets: 0 } });
      if (!pathname.startsWith("/spool/web/0/")) return new Response("no", { status: 404 });
      if (request.method === "POST") {
        const form = new URLSearchParams(await request.text());
        if (!ignoresChanges) isDown = form.get("status") === "down";
      }
      return new Response("", { status: isDown && request.method === "GET" ? 503 : 200 });
    },
  );
  const url = `http://127.0.0.1:${older.addr.port}`;
  const run = (...args: string[]) => operator.hactl([...args, "--daemon", url]);
  const ok = { code: 0, stdout: `${url}\tOK\n`, stderr: "" };
  assertEquals(await run("down", "web"), ok);
  assertEquals(isDown, true);
  assertEquals(await run("up", "web"), ok);
  ignoresChanges = true;
  assertEquals((await run("down", "web")).code, 1);
});

Deno.test("hactl up on other daemons waits until a service is healthy, and warns of wider records", async () => {
  using operator = new Operator();
  await using daemon = await changeable();
  let isHealthy = false;
  await using web = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("", { status: isHealthy ? 200 : 500 }),
  );
  const url = `http://127.0.0.1:${daemon.port}`;
  const run = (...args: string[]) => operator.hactl([...args, "--daemon", url]);
  await daemon.get(`/http/web/${web.addr.port}/status`);
  assertEquals((await run("down", "all", "-r", "kernel")).code, 0);
  assertEquals((await run("down", "web", "-r", "deploy")).code, 0);
  const sick = await run("up", "web", "--healthy", "1s");
  assertEquals([sick.code, sick.stdout], [1, ""]);
  assertStringIncludes(
    sick.stderr,
    `hactl: ${url}: the record of web stays: not healthy after 1 s: `,
  );
  assertEquals((await daemon.get("/status/services/web/0")).body.includes("deploy"), true);
  isHealthy = true;
  assertEquals(await run("up", "web", "--healthy", "60s"), {
    code: 0,
    stdout: `${url}\tOK\n`,
    stderr: `hactl: ${url}: web is not fully in service: all is down\n`,
  });
  assertEquals((await run("wait", "web", "--healthy", "60s")).code, 0);
});

serverTest(
  "hactl warns of a daemon's certificate that expires soon",
  CERTIFICATE_PROGRAMS,
  async () => {
    using operator = new Operator();
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "authority");
    for (
      const [days, warns] of [[13, true], [15, false]] as const
    ) {
      const { certificate, key } = await authority.issue(`web${days}`, {
        for: "DNS:localhost",
        until: days,
      });
      await using server = Deno.serve({
        hostname: "127.0.0.1",
        port: 0,
        onListen() {},
        cert: Deno.readTextFileSync(certificate),
        key: Deno.readTextFileSync(key),
      }, (request) => request.method === "GET" ? Response.json(UP) : new Response(""));
      const url = `https://localhost:${server.addr.port}`;
      const day = new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
      const expected = warns ? `hactl: ${url}: its certificate expires on ${day}: renew it\n` : "";
      const args = ["up", "web", "--daemon", url];
      const known = await operator.hactl([...args, "--ca-file", authority.certificate], [
        authority.certificate,
      ]);
      assertEquals(known, { code: 0, stdout: `${url}\tOK\n`, stderr: expected });
      const system = { DENO_TLS_CA_STORE: "system", SSL_CERT_FILE: authority.certificate };
      assertEquals((await operator.hactl(args, [], system)).stderr, expected);
    }
  },
);

serverTest("hactl reports when a daemon's certificate expired", CERTIFICATE_PROGRAMS, async () => {
  using operator = new Operator();
  using folder = new TempFolder();
  const authority = await Authority.create(folder, "authority");
  const { certificate, key } = await authority.issue("web1", {
    ...{ for: "DNS:localhost", from: -3, until: -2 },
  });
  await using server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
    cert: Deno.readTextFileSync(certificate),
    key: Deno.readTextFileSync(key),
  }, () => Response.json(UP));
  const url = `https://localhost:${server.addr.port}`;
  const system = { DENO_TLS_CA_STORE: "system", SSL_CERT_FILE: authority.certificate };
  const { code, stderr } = await operator.hactl(["up", "web", "--daemon", url], [], system);
  const day = new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 10);
  assertEquals([code, stderr], [1, `hactl: ${url}: the certificate expired on ${day}\n`]);
});

Deno.test("hactl names the missing permission if it may connect to this host only", async () => {
  using operator = new Operator();
  using folder = new TempFolder();
  await using daemon = await changeable();
  const grants = hactlFlags(folder.path).map((flag) =>
    flag === "--allow-net" ? `--allow-net=127.0.0.1:${daemon.port}` : flag
  );
  assert(grants.some((flag) => flag.startsWith("--allow-net=")));
  const [command, ...program] = commandOf("hactl", { allGrants: grants });
  const { code, stdout, stderr } = await new Deno.Command(command!, {
    args: [
      ...[...program, "down", "web", "-r", "x"],
      ...["--daemon", `http://127.0.0.1:${daemon.port}`, "--daemon", "http://192.0.2.1"],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals([code, decoder.decode(stdout)], [1, `http://127.0.0.1:${daemon.port}\tOK\n`]);
  assertStringIncludes(
    decoder.decode(stderr),
    'hactl: http://192.0.2.1: Requires net access to "192.0.2.1:3333"',
  );
  assertEquals(operator.names, []);
});
