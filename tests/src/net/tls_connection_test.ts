import { openTls, UNVERIFIED } from "../../../src/net/tls_connection.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import { randomBytes } from "../../support/random_bytes.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../../servers/certificates.ts";
import {
  afterData,
  type Behaviour,
  ClosedPort,
  closing,
  connectionsTo,
  dripping,
  FAULTS,
  FaultyServer,
  flooding,
  FullPort,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { HAProxy } from "../../servers/haproxy.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { OPENSSL_PROGRAMS, OpensslServer } from "../../servers/openssl.ts";

function longDeadline(): AbortSignal {
  return AbortSignal.timeout(60_000);
}

/** A TLS server: HAProxy in front of a server that misbehaves. */
class TlsServer implements AsyncDisposable {
  readonly #folder: TempFolder;
  readonly #haproxy: HAProxy;
  readonly #server: FaultyServer;

  /** The authority of its certificate, in PEM. */
  readonly issuer: string;

  private constructor(folder: TempFolder, haproxy: HAProxy, server: FaultyServer, issuer: string) {
    this.#folder = folder;
    this.#haproxy = haproxy;
    this.#server = server;
    this.issuer = issuer;
  }

  /**
   * Starts a server with a certificate for 127.0.0.1.
   *
   * @param behaviour The behaviour of the server behind HAProxy.
   * @param option Another line of its configuration.
   */
  static async start(behaviour: Behaviour, option = ""): Promise<TlsServer> {
    const folder = new TempFolder();
    const server = await FaultyServer.start(behaviour);
    try {
      const authority = await Authority.create(folder, "authority");
      const { certificate, key } = await authority.issue("server", { for: "IP:127.0.0.1" });
      const both = [certificate, key].map((path) => Deno.readTextFileSync(path)).join("");
      const path = folder.write("both.pem", both);
      const haproxy = await HAProxy.start((port) => `
listen tls
    mode tcp
    timeout connect 10s
    timeout client 60s
    ${option}
    timeout server 60s
    bind 127.0.0.1:${port} ssl crt ${path}
    server behind 127.0.0.1:${server.port}
`);
      return new TlsServer(folder, haproxy, server, Deno.readTextFileSync(authority.certificate));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
      throw error;
    }
  }

  /** Its port. */
  get port(): number {
    return this.#haproxy.port;
  }

  /** What the server received. */
  get received(): string {
    return this.#server.received;
  }

  /** How many connections of clients are open. */
  connected(): Promise<number> {
    return connectionsTo(this.port);
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#haproxy[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

const PROGRAMS = ["haproxy", ...CERTIFICATE_PROGRAMS];

/** Returns bytes as text, one character for each byte. No decoder keeps them all. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Reads all that a server sends, in pieces of a size, one character for each byte. */
async function readAll(
  connection: { read(buffer: Uint8Array): Promise<number | null> },
  size: number,
): Promise<string> {
  const buffer = new Uint8Array(size);
  let text = "";
  for (;;) {
    const length = await connection.read(buffer);
    if (length === null) return text;
    assert(length > 0 && length <= size, `read ${length} bytes`);
    text += latin1(buffer.subarray(0, length));
  }
}

for (const size of [1, 1000, 1_000_000]) {
  serverTest(`openTls() reads pieces of ${size} bytes`, PROGRAMS, async () => {
    // No check reads so much.
    const expected = randomBytes(size)(size === 1 ? 2000 : 400_000);
    await using server = await TlsServer.start(afterData(sending(expected, closing), "over"));
    const tls = { ...UNVERIFIED, trusted: server.issuer };
    using connection = await openTls("127.0.0.1", server.port, tls, longDeadline());
    await connection.write(new TextEncoder().encode("over"));
    const read = await readAll(connection, size);
    // Not assertEquals: it would print a megabyte.
    assert(read === expected, `${read.length} of ${expected.length} bytes`);
    assertEquals(await connection.read(new Uint8Array(1)), null);
  });
}

serverTest("openTls() sends all bytes", PROGRAMS, async () => {
  const content = "abc".repeat(1_000_000);
  await using server = await TlsServer.start(afterData(closing, "over"));
  using connection = await openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline());
  await connection.write(new TextEncoder().encode(content));
  await connection.write(new TextEncoder().encode("over"));
  assertEquals(await connection.read(new Uint8Array(1)), null);
  assert(server.received === `${content}over`, `${server.received.length} bytes were received`);
});

serverTest("openTls() returns a connection that disposal closes", PROGRAMS, async () => {
  await using server = await TlsServer.start(silent);
  {
    using _connection = await openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline());
  }
  await until("no connection is open", async () => await server.connected() === 0);
});

for (
  const [what, wait] of [
    ["waits for a byte", (connection) => connection.read(new Uint8Array(1))],
    ["waits for more room", async (connection) => {
      for (;;) await connection.write(new Uint8Array(1_000_000));
    }],
  ] as readonly [string, (connection: Awaited<ReturnType<typeof openTls>>) => Promise<unknown>][]
) {
  serverTest(
    `openTls() returns a connection that its deadline closes while it ${what}`,
    PROGRAMS,
    async () => {
      // A socket that is paused receives only what its buffers hold.
      await using server = await TlsServer.start((socket) => socket.pause());
      const deadline = new AbortController();
      using connection = await openTls("127.0.0.1", server.port, UNVERIFIED, deadline.signal);
      const waiting = wait(connection);
      const timer = setTimeout(() => deadline.abort(new RangeError("too late")), 300);
      await assertRejects(() => waiting, RangeError, "too late");
      clearTimeout(timer);
      await until("no connection is open", async () => await server.connected() === 0);
    },
  );
}

for (const [how, behaviour] of [["closes", closing], ["resets", resetting]] as const) {
  serverTest(
    `openTls() reads to the end of a server that ${how} within a line`,
    PROGRAMS,
    async () => {
      await using server = await TlsServer.start(afterData(sending("HTTP/1.1 2", behaviour)));
      using connection = await openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline());
      await connection.write(new TextEncoder().encode("hello"));
      assertEquals(await readAll(connection, 100), "HTTP/1.1 2");
    },
  );
}

serverTest("openTls() survives a reset without a pending read", OPENSSL_PROGRAMS, async () => {
  await using server = await OpensslServer.start(["-newkey", "rsa:2048"]);
  using connection = await openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline());
  // A killed server resets connections that it has not read from.
  server.kill("SIGSTOP");
  await connection.write(new TextEncoder().encode("hello"));
  server.kill("SIGKILL");
  // After the reset the socket is gone. Its error would fail the test if it were not caught.
  await until("the reset was received", async () => await connectionsTo(server.port) === 0);
  await connection.read(new Uint8Array(1)).then(
    (length) => assertEquals(length, null),
    (error) => assert(error instanceof Error),
  );
});

/** Servers without TLS, and the errors for them. */
const servers: readonly [name: string, behaviour: Behaviour, why: RegExp][] = [
  ["closes at once", closing, /closed within the TLS handshake|reset/],
  ["resets the connection", resetting, /reset|disconnected|ECONNRESET/i],
  ["receives data and closes", afterData(closing), /closed within the TLS handshake/],
  [
    "receives data and resets",
    afterData(resetting),
    /closed within the TLS handshake|reset/i,
  ],
  [
    "closes within its greeting",
    afterData(sending("\x16\x03\x03\0\x7a\x02\0\0\x76", closing)),
    /closed within the TLS handshake/,
  ],
  [
    "speaks HTTP",
    afterData(sending("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    /expected TLS, found a server/,
  ],
  ["speaks SSH", sending("SSH-2.0-OpenSSH_9.2\r\n"), /expected TLS, found a server/],
  [
    "rejects the handshake",
    afterData(sending("\x15\x03\x03\0\x02\x02\x28")),
    /HandshakeFailure/,
  ],
  ["sends endless zeros", flooding("\0"), /expected TLS, found a server/],
  ["sends endless greetings", flooding("\x16\x03\x03\0\x04\x02\0\0\0"), /./],
];

for (const [name, behaviour, why] of servers) {
  Deno.test(`openTls() reports the problem of a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const error = await assertRejects(
      () => openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline()),
      Error,
    );
    assert(why.test(error.message), error.message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

for (
  const [name, behaviour] of [
    ["sends nothing", silent],
    ["stops within its greeting", afterData(sending("\x16\x03\x03\0\x7a\x02"))],
    ["sends a byte a second", afterData(dripping("\x16\x03\x03\0\x7a\x02\0\0\x76", 1000))],
  ] as const
) {
  Deno.test(`openTls() times out on a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(new RangeError("too late")), 300);
    await assertRejects(
      () => openTls("127.0.0.1", server.port, UNVERIFIED, deadline.signal),
      RangeError,
      "too late",
    );
    clearTimeout(timer);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("openTls() throws ECONNREFUSED for a closed port", async () => {
  using closed = await ClosedPort.open();
  await assertRejects(
    () => openTls("127.0.0.1", closed.port, UNVERIFIED, longDeadline()),
    Error,
    "ECONNREFUSED",
  );
});

Deno.test("openTls() times out while it connects", async () => {
  using full = await FullPort.open();
  const signal = AbortSignal.timeout(300);
  const error = await assertRejects(
    () => openTls("127.0.0.1", full.port, UNVERIFIED, signal),
    DOMException,
  );
  assertEquals(error, signal.reason);
});

Deno.test("openTls() does not connect after its deadline", async () => {
  await using server = await FaultyServer.start(silent);
  const signal = AbortSignal.abort(new RangeError("too late"));
  await assertRejects(
    () => openTls("127.0.0.1", server.port, UNVERIFIED, signal),
    RangeError,
    "too late",
  );
  assertEquals(server.accepted, 0);
});

Deno.test("openTls() survives 100 random responses", async () => {
  const next = randomBytes(20_150_706);
  let sent = "";
  await using server = await FaultyServer.start((socket) =>
    afterData(sending(sent, closing))(socket)
  );
  for (let turn = 0; turn < 100; turn++) {
    const bytes = next(1 + next(1).charCodeAt(0) * (turn % 10));
    const record = `\x16\x03\x03\0${String.fromCharCode(bytes.length & 255)}${bytes}`;
    sent = turn % 2 === 0 ? bytes : record;
    await assertRejects(() => openTls("127.0.0.1", server.port, UNVERIFIED, longDeadline()), Error);
  }
  await until("no connection is open", async () => await server.connected() === 0);
});

for (const [fault, behaviour] of Object.entries(FAULTS)) {
  Deno.test(`openTls() closes all connections to a server that ${fault}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    for (let done = 0; done < 200; done += 20) {
      await Promise.all(
        Array.from({ length: 20 }, () =>
          assertRejects(
            () => openTls("127.0.0.1", server.port, UNVERIFIED, AbortSignal.timeout(200)),
            Error,
          )),
      );
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}
