import { Connection } from "../../../src/net/connection.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import {
  afterData,
  ClosedPort,
  connectionsTo,
  FaultyServer,
  FullPort,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";

/** A deadline that passes when the test ends it, and its reason. */
function deadline(): { signal: AbortSignal; reason: Error; end: () => void } {
  const controller = new AbortController();
  const reason = new Error("deadline exceeded");
  return { signal: controller.signal, reason, end: () => controller.abort(reason) };
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then((value) => `no rejection: ${value}`, (error) => error);
}

Deno.test("Connection sends and receives bytes, and reads null at the end", async () => {
  await using server = await FaultyServer.start(sending("hello", (socket) => socket.end()));
  using connection = await Connection.open("127.0.0.1", server.port, deadline().signal);
  await connection.write(new TextEncoder().encode("hi there"));
  const buffer = new Uint8Array(3);
  let read = "";
  for (let length; (length = await connection.read(buffer)) !== null;) {
    read += new TextDecoder().decode(buffer.subarray(0, length));
  }
  assertEquals(read, "hello");
  await until("the server has received all", () => server.received === "hi there");
});

Deno.test("Connection.open() throws ConnectionRefused for a closed port", async () => {
  using closed = await ClosedPort.open();
  await assertRejects(
    () => Connection.open("127.0.0.1", closed.port, deadline().signal),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("Connection.open() does not connect after its deadline", async () => {
  await using server = await FaultyServer.start(silent);
  const { signal, reason, end } = deadline();
  end();
  assertEquals(await rejection(Connection.open("127.0.0.1", server.port, signal)), reason);
  assertEquals(server.accepted, 0);
});

Deno.test("Connection.open() throws the deadline's reason while it connects", async () => {
  using full = await FullPort.open();
  const before = await connectionsTo(full.port);
  const { signal, reason, end } = deadline();
  const opening = rejection(Connection.open("127.0.0.1", full.port, signal));
  await until("it is connecting", async () => await connectionsTo(full.port) === before + 1);
  end();
  // Before the system's own timeout.
  let hasEnded = false;
  opening.then(() => hasEnded = true);
  await until("it has ended", () => hasEnded);
  assertEquals(await opening, reason);
  // Connections that fill the port may have timed out meanwhile.
  assert(await connectionsTo(full.port) <= before);
});

Deno.test("Connection.open() leaves no connection open, whenever the deadline passes", async () => {
  await using server = await FaultyServer.start(silent);
  for (let turn = 0; turn < 40; turn++) {
    // With many at once, the deadline of some passes at the moment of connecting.
    const ends = Array.from({ length: 50 }, async () => {
      const { signal, end } = deadline();
      const timer = setTimeout(end, turn % 4);
      try {
        using _connection = await Connection.open("127.0.0.1", server.port, signal);
      } catch {
        // The deadline passed first.
      } finally {
        clearTimeout(timer);
      }
    });
    await Promise.all(ends);
  }
  await until("no connection is open", async () => await server.connected() === 0);
});

Deno.test("Connection.read() throws the deadline's reason if the peer sends nothing", async () => {
  await using server = await FaultyServer.start(silent);
  const { signal, reason, end } = deadline();
  using connection = await Connection.open("127.0.0.1", server.port, signal);
  const reading = rejection(connection.read(new Uint8Array(1)));
  end();
  assertEquals(await reading, reason);
  assertEquals(await rejection(connection.read(new Uint8Array(1))), reason);
  assertEquals(await server.connected(), 0);
});

Deno.test("Connection.write() throws the deadline's reason if the peer reads nothing", async () => {
  // The listener accepts no connection, so that no bytes are read.
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { signal, reason, end } = deadline();
  using connection = await Connection.open("127.0.0.1", listener.addr.port, signal);
  let written = 0;
  const writing = rejection((async () => {
    for (;; written++) await connection.write(new Uint8Array(1_000_000));
  })());
  let before = -1;
  await until("no more bytes are taken", async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const stuck = written === before;
    before = written;
    return stuck;
  });
  end();
  assertEquals(await writing, reason);
  assertEquals(await connectionsTo(listener.addr.port), 0);
});

Deno.test("Connection.read() throws ConnectionReset after a reset", async () => {
  await using server = await FaultyServer.start(afterData(resetting));
  using connection = await Connection.open("127.0.0.1", server.port, deadline().signal);
  await connection.write(new Uint8Array(1));
  await assertRejects(() => connection.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
});

Deno.test("Connection is closed once, by several calls and its deadline", async () => {
  await using server = await FaultyServer.start(silent);
  const { signal, end } = deadline();
  const connection = await Connection.open("127.0.0.1", server.port, signal);
  assertEquals(await server.connected(), 1);
  connection[Symbol.dispose]();
  connection[Symbol.dispose]();
  end();
  connection[Symbol.dispose]();
  assertEquals(await server.connected(), 0);
});
