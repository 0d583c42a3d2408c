import { ForbiddenError } from "../../../cli/daemons/daemon.ts";
import { LocalDaemon } from "../../../cli/daemons/local.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { FORM } from "../../support/forms.ts";
import { hactl, TempFolder } from "../../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../../servers/certificates.ts";
import { FaultyServer, sending } from "../../servers/faulty.ts";
import { serverTest } from "../../servers/mod.ts";

const TOKEN = "0123456789abcdef";

/** A server that keeps the tokens that it receives, and may demand one. */
class TokenServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** The `Authorization` of each request. */
  readonly received: (string | null)[] = [];

  constructor(demanded: string | null, tls: { cert: string; key: string } | null = null) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {}, ...tls },
      ({ headers }) => {
        const token = headers.get("authorization");
        this.received.push(token);
        return demanded === null || token === demanded
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

Deno.test("LocalDaemon.ask() sends the token only to a daemon that demands it", async () => {
  const right = `Bearer ${TOKEN}`;
  const cases: [
    demanded: string | null,
    token: string | null,
    expected: number | string,
    received: unknown[],
  ][] = [
    [null, TOKEN, 200, [null]],
    [null, null, 200, [null]],
    [right, TOKEN, 200, [null, right]],
    [right, "another", "rejects the token of --token-file", [null, "Bearer another"]],
    [right, null, 401, [null]],
  ];
  for (const [demanded, token, expected, received] of cases) {
    await using server = new TokenServer(demanded);
    const daemon = new LocalDaemon(server.port, token);
    const outcome = await daemon.ask("/x", AbortSignal.timeout(10_000)).then(
      ({ status }) => status,
      (error) => {
        assert(error instanceof ForbiddenError);
        return error.message;
      },
    );
    assertEquals([outcome, server.received], [expected, received]);
  }
});

serverTest("LocalDaemon.ask() uses TLS if the daemon does", CERTIFICATE_PROGRAMS, async () => {
  using folder = new TempFolder();
  const made = await issueSelfSigned(folder, "host", "DNS:web1.example");
  const [cert, key] = [made.certificate, made.key].map((path) => Deno.readTextFileSync(path));
  await using server = new TokenServer(`Bearer ${TOKEN}`, { cert: cert!, key: key! });
  const daemon = new LocalDaemon(server.port, TOKEN);
  for (let times = 0; times < 2; times++) {
    const { status } = await daemon.ask("/x", AbortSignal.timeout(10_000));
    assertEquals(status, 200);
  }
  assertEquals(server.received, [null, `Bearer ${TOKEN}`, null, `Bearer ${TOKEN}`]);
});

Deno.test("LocalDaemon.ask() reports a server that speaks neither HTTP nor TLS", async () => {
  await using server = await FaultyServer.start(sending("-ERR\r\n\r\n", (socket) => socket.end()));
  const daemon = new LocalDaemon(server.port, null);
  const error = await assertRejects(() => daemon.ask("/x", AbortSignal.timeout(10_000)), Error);
  assertEquals(error.message, "expected HTTP/1, found another protocol");
});

Deno.test("hactl reads the token from a file, with the documented permission", async () => {
  using folder = new TempFolder();
  const file = folder.write("token", `${TOKEN}\n`);
  const grants = [`--allow-read=${file}`];
  await using server = new TokenServer(`Bearer ${TOKEN}`);
  const list = ["list", "-p", String(server.port)];
  assertEquals(await hactl(folder.path, [...list, "--token-file", file], {}, grants), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  const { code, stderr } = await hactl(folder.path, list);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "expected status 200: received 401");
  Deno.writeTextFileSync(file, "other");
  const wrong = await hactl(folder.path, [...list, "--token-file", file], {}, grants);
  assertEquals([wrong.code, wrong.stderr], [
    1,
    `hactl: the daemon on port ${server.port}: rejects the token of --token-file\n`,
  ]);
});

Deno.test("hactl rejects an invalid token before it changes anything", async () => {
  using folder = new TempFolder();
  using elsewhere = new TempFolder();
  const two = folder.write(".two", "one\r\nX-Other: two\n");
  const cases: [file: string, message: string][] = [
    [two, `Bad --token-file ${two}: expected one word: found something else`],
    [folder.write(".empty", "\n"), `Bad --token-file ${folder.file(".empty")}: expected one word`],
    [folder.file(".none"), `Cannot read --token-file ${folder.file(".none")}: `],
    // The installed scripts grant the files that the command line names.
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

Deno.test("hactl status names how long it waited for a daemon that does not respond", async () => {
  using folder = new TempFolder();
  using hanging = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = hanging.addr;
  assertEquals(await hactl(folder.path, ["status", "-p", String(port)]), {
    code: 1,
    stdout: "",
    stderr: `hactl: the daemon on port ${port}: no response within 5 s\n`,
  });
});
