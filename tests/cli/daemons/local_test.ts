import { LocalDaemon } from "../../../cli/daemons/local.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { FORM } from "../../support/forms.ts";
import { Daemon, hactl, TempFolder } from "../../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../../servers/certificates.ts";
import { FaultyServer, sending } from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";

const TOKEN = "0123456789abcdef";

/** A server that keeps what it is shown, and may want a token. */
class Wanting implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** The `Authorization` of each request. */
  readonly shown: (string | null)[] = [];

  constructor(wants: string | null, tls: { cert: string; key: string } | null = null) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {}, ...tls },
      ({ headers }) => {
        const shown = headers.get("authorization");
        this.shown.push(shown);
        return wants === null || shown === wants
          ? new Response('{"seen_services": [], "threshold_seconds": 600}')
          : new Response("Unauthorized", { status: 401 });
      },
    );
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

Deno.test("the token is shown to a daemon that wants one, and to no other", async () => {
  const right = `Bearer ${TOKEN}`;
  const cases: [wants: string | null, token: string | null, status: number, shown: unknown[]][] = [
    [null, TOKEN, 200, [null]],
    [null, null, 200, [null]],
    [right, TOKEN, 200, [null, right]],
    [right, "another", 401, [null, "Bearer another"]],
    [right, null, 401, [null]],
  ];
  for (const [wants, token, status, shown] of cases) {
    await using server = new Wanting(wants);
    const daemon = new LocalDaemon(server.port, token);
    const answer = await daemon.ask("/x", AbortSignal.timeout(10_000));
    assertEquals([answer.status, server.shown], [status, shown]);
  }
});

serverTest("a daemon that speaks TLS is asked by TLS", CERTIFICATE_PROGRAMS, async () => {
  using folder = new TempFolder();
  const made = await issueSelfSigned(folder, "host", "DNS:web1.example");
  const [cert, key] = [made.certificate, made.key].map((path) => Deno.readTextFileSync(path));
  await using server = new Wanting(`Bearer ${TOKEN}`, { cert: cert!, key: key! });
  const daemon = new LocalDaemon(server.port, TOKEN);
  for (let times = 0; times < 2; times++) {
    const { status } = await daemon.ask("/x", AbortSignal.timeout(10_000));
    assertEquals(status, 200);
  }
  assertEquals(server.shown, [null, `Bearer ${TOKEN}`, null, `Bearer ${TOKEN}`]);
});

Deno.test("what speaks neither HTTP nor TLS is told as what is no HTTP", async () => {
  await using server = await FaultyServer.start(sending("-ERR\r\n\r\n", (socket) => socket.end()));
  const daemon = new LocalDaemon(server.port, null);
  const error = await assertRejects(() => daemon.ask("/x", AbortSignal.timeout(10_000)), Error);
  assertEquals(error.message, "expected HTTP/1, found another protocol");
});

Deno.test("hactl takes the token from a file, with the permission that is written down", async () => {
  using folder = new TempFolder();
  const file = folder.write("token", `${TOKEN}\n`);
  const grants = [`--allow-read=${file}`];
  await using server = new Wanting(`Bearer ${TOKEN}`);
  const list = ["list", "-p", String(server.port)];
  assertEquals(await hactl(folder.path, [...list, "--token-file", file], {}, grants), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  const { code, stderr } = await hactl(folder.path, list);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "expected status 200: received 401");
});

Deno.test("hactl refuses a token that is none before it does anything", async () => {
  using folder = new TempFolder();
  using elsewhere = new TempFolder();
  const two = folder.write(".two", "one\r\nX-Other: two\n");
  const cases: [file: string, message: string][] = [
    [two, `Bad --token-file ${two}: expected one word: found something else`],
    [folder.write(".empty", "\n"), `Bad --token-file ${folder.file(".empty")}: expected one word`],
    [folder.file(".none"), `Cannot read --token-file ${folder.file(".none")}: `],
    // Scripts are granted what is named.
    ...FORM === "installed" || FORM === "package" ? [] : [[
      elsewhere.write("token", TOKEN),
      "hactl is not permitted to: move the file to /etc/hacheck, or use - for the standard input",
    ] as [string, string]],
  ];
  for (const [file, message] of cases) {
    const { code, stdout, stderr } = await hactl(
      folder.path,
      ["down", "web", "-r", "x", "-p", "1", "--token-file", file],
    );
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
  }
  assert(![...Deno.readDirSync(folder.path)].some(({ name }) => name === "web"));
});

Deno.test("hactl says at once if the daemon does not let it ask", async () => {
  await using daemon = await Daemon.start({ config: "allowed_clients: [192.0.2.1]\n" });
  const port = String(daemon.port);
  const { code, stderr } = await hactl(daemon.spool, ["down", "web", "-r", "x", "-p", port]);
  assertEquals([code, stderr], [
    1,
    `hactl: the daemon on port ${port} does not report the change: web: it rejects hactl: 403 Forbidden\n`,
  ]);
  assertStringIncludes(Deno.readTextFileSync(`${daemon.spool}/web`), '"reason": "x"');
});

/** Proxies to a daemon of another release, whose messages have other wording. */
function reworded(daemon: Daemon): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const headers = { "x-nerve-check-ip": request.headers.get("x-nerve-check-ip") ?? "" };
    const { status, body } = await daemon.get(new URL(request.url).pathname, headers);
    const words = { "Service": "Dienst", "the record cannot be read": "nicht lesbar", state: "Z" };
    const text = Object.entries(words).reduce((text, [a, b]) => text.replaceAll(a, b), body);
    return new Response(text, { status });
  });
}

Deno.test("hactl agrees with a daemon whose messages have other wording", async () => {
  await using daemon = await Daemon.start();
  await using proxy = reworded(daemon);
  const on = (...args: string[]) =>
    hactl(daemon.spool, [...args, "web", "-p", String(proxy.addr.port)]);
  const silent = { code: 0, stdout: "", stderr: "" };
  for (const where of [[], ["-P", "0"], ["-P", "80"], ["-P", "80", "-H", "127.0.0.2"]]) {
    for (const command of ["drain", "down", "up"]) {
      assertEquals(await on(command, ...where), silent, command);
    }
  }
  assertEquals(await on("down"), silent);
  assertEquals(await on("wait", "--down", "--timeout", "10s"), silent);
  assertEquals(await on("up"), silent);
  assertEquals(await on("wait", "--up", "--timeout", "10s"), silent);
  // The reason of a record that cannot be read is a message, too.
  Deno.mkdirSync(`${daemon.spool}/all`);
  await until("all cannot be read", async () => {
    return (await daemon.get("/spool/web/0")).body.includes("the record cannot be read");
  });
  assertEquals(await on("up"), {
    ...silent,
    stderr: "hactl: web is not fully in service: all is down\n",
  });
});

Deno.test("hactl weight agrees with a daemon whose messages have other wording", async () => {
  await using daemon = await Daemon.start();
  await using proxy = reworded(daemon);
  for (const weight of ["50", "0", "100"]) {
    const args = ["weight", "web", weight, "-p", String(proxy.addr.port)];
    assertEquals(await hactl(daemon.spool, args), { code: 0, stdout: "", stderr: "" });
  }
});
