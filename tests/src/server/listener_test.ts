import { newCounters } from "../../../src/metrics/counters.ts";
import { Listener, SERVERS_PER_PORT } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { RawConnection, sendRaw } from "../../support/raw_http.ts";
import { until } from "../../servers/mod.ts";

const REQUEST = "GET /x HTTP/1.0\r\n\r\n";

/** Listens on a free port. */
function listening(
  router: Router,
  recorded = new RecordedLog(),
  port = 0,
  { listeners: counters, errors } = newCounters(),
): Listener {
  return new Listener({
    hostname: "127.0.0.1",
    port,
    shared: false,
    identity: null,
    router,
    counters,
    errors,
    log: recorded.log,
  });
}

Deno.test("Listener passes the request and the client's address to the router", async () => {
  const listener = listening((request, { remoteAddr }) =>
    new Response(`${request.method} ${request.url} ${remoteAddr.hostname}`)
  );
  const { hostname, port } = listener.addr;
  assertEquals(hostname, "127.0.0.1");
  const { status, body } = await sendRaw(port, "PUT /a/../b?c#d HTTP/1.0\r\nHost: x y\r\n\r\n");
  assertEquals([status, body], [200, "PUT http://x y/a/../b?c#d 127.0.0.1"]);
  await listener.stop(20_000);
});

Deno.test("Listener responds 503 to an error of the router, logs and counts it", async () => {
  const recorded = new RecordedLog();
  const counters = newCounters();
  const failing: Router[] = [
    () => {
      throw new Error("a bug");
    },
    () => Promise.reject(new Error("a bug")),
  ];
  let router = failing[0]!;
  const listener = listening((request, info) => router(request, info), recorded, 0, counters);
  const { port } = listener.addr;
  for (router of failing) {
    const { status, body } = await sendRaw(port, REQUEST);
    assertEquals([status, body], [503, "Internal error"]);
  }
  assertEquals(recorded.lines, [
    "ERROR internal error in a response: Error: a bug",
    "ERROR internal error in a response: Error: a bug",
  ]);
  assertEquals(counters.errors.unforeseen, 2);
  router = () => new Response("fine");
  assertEquals((await sendRaw(port, REQUEST)).body, "fine");
  await listener.stop(20_000);
});

Deno.test("new Listener() throws if the port is in use", async () => {
  const recorded = new RecordedLog();
  const listener = listening(() => new Response("first"));
  const { port } = listener.addr;
  assertThrows(
    () => listening(() => new Response("second"), recorded, port),
    Deno.errors.AddrInUse,
  );
  assertEquals((await sendRaw(port, REQUEST)).body, "first");
  await listener.stop(20_000);
  // The port is free again.
  const second = listening(() => new Response("second"), recorded, port);
  assertEquals((await sendRaw(port, REQUEST)).body, "second");
  await second.stop(20_000);
  assertEquals(recorded.lines, []);
});

/** The limits on requests. */
const LIMITS: readonly [what: string, most: number, request: (length: number) => string][] = [
  ["headers", 128, (count) => `GET /x HTTP/1.0\r\n${"a: b\r\n".repeat(count)}\r\n`],
  // Without the empty line at the end.
  [
    "bytes of request line",
    65_536 + 2,
    (length) => `GET /${"x".repeat(length - "GET / HTTP/1.0\r\n".length)} HTTP/1.0\r\n\r\n`,
  ],
  [
    "bytes of request line and headers",
    65_536 + 2,
    (length) => {
      const head = "GET /x HTTP/1.0\r\na: \r\n";
      return head.replace("a: ", `a: ${"x".repeat(length - head.length)}`) + "\r\n";
    },
  ],
];

for (const [what, most, request] of LIMITS) {
  Deno.test(`Listener accepts ${most} ${what} and responds 400 to more`, async () => {
    let requests = 0;
    const listener = listening(() => {
      requests++;
      return new Response("fine");
    });
    const { port } = listener.addr;
    assertEquals((await sendRaw(port, request(most))).body, "fine");
    const { status, body } = await sendRaw(port, request(most + 1));
    assertEquals([status, body, requests], [400, "", 1]);
    await listener.stop(20_000);
  });
}

Deno.test("Listener.stop() accepts nothing more and finishes requests in flight", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  let begun = 0;
  const listener = listening(() => {
    begun++;
    return promise;
  });
  const { port } = listener.addr;
  using idle = await RawConnection.open(port);
  const inFlight = sendRaw(port, REQUEST);
  await until("the request is in flight", () => begun === 1);
  let stopped = false;
  const stopping = listener.stop(20_000).then(() => stopped = true);
  assertEquals(await idle.readAll(), "");
  await until("connections are refused", async () => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return false;
    } catch (error) {
      return error instanceof Deno.errors.ConnectionRefused;
    }
  });
  assert(!stopped);
  resolve(new Response("fine"));
  assertEquals((await inFlight).body, "fine");
  await stopping;
  assertEquals(begun, 1);
});

Deno.test("Listener.stop() waits no longer than its timeout", async () => {
  const recorded = new RecordedLog();
  const { promise, resolve } = Promise.withResolvers<Response>();
  let begun = 0;
  const listener = listening(() => {
    begun++;
    return promise;
  }, recorded);
  const { port } = listener.addr;
  using half = await RawConnection.open(port);
  await half.send("GET /x HTTP/1.1\r\nHost:");
  const hanging = sendRaw(port, REQUEST);
  await until("the request is in flight", () => begun === 1);
  await listener.stop(50);
  resolve(new Response("late"));
  assertEquals((await hanging).body, "late");
  assertEquals(await half.readAll(), "");
  assertEquals(recorded.lines, []);
});

/** Sends half a request line on enough connections that every server gets some. */
async function half(port: number): Promise<RawConnection[]> {
  const connections: RawConnection[] = [];
  for (let i = 0; i < 8 * SERVERS_PER_PORT; i++) {
    const connection = await RawConnection.open(port);
    connections.push(connection);
    await connection.send("GET /spool/we");
  }
  // A response on another connection: these have been accepted.
  assertEquals((await sendRaw(port, REQUEST)).status, 200);
  return connections;
}

/** Counts the connections that end, and closes them all. */
async function ended(connections: readonly RawConnection[], timeout: number): Promise<number> {
  let count = 0;
  const ends = connections.map((connection) =>
    connection.readAll().then(() => count++, (error) => {
      if (error instanceof Deno.errors.ConnectionReset) count++;
    })
  );
  await until("they have ended", () => count === connections.length, timeout).catch(() => {});
  const before = count;
  for (const connection of connections) connection[Symbol.dispose]();
  await Promise.all(ends);
  return before;
}

Deno.test("Listener.terminate() closes the hanging connections of rotated servers", async () => {
  const recorded = new RecordedLog();
  const counters = newCounters();
  const listener = listening(() => new Response("fine"), recorded, 0, counters);
  const { port } = listener.addr;
  const hanging = await half(port);
  for (let i = 0; i < SERVERS_PER_PORT; i++) {
    assert(listener.rotate());
    assert(!listener.rotate(), "another server is retiring");
    listener.terminate();
    assertEquals(listener.retiring, undefined);
  }
  assertEquals(await ended(hanging, 20_000), hanging.length);
  for (let i = 0; i < 20; i++) {
    assertEquals((await sendRaw(port, REQUEST)).body, "fine");
  }
  assertEquals(counters.listeners, { ...newCounters().listeners, renewals: SERVERS_PER_PORT });
  await listener.stop(20_000);
  assertEquals(recorded.lines, []);
});

/** A listener with many requests in flight. */
async function busyListener(counters = newCounters()) {
  const resolvers: ((response: Response) => void)[] = [];
  const router: Router = () => new Promise((resolve) => resolvers.push(resolve));
  const listener = listening(router, new RecordedLog(), 0, counters);
  const count = 8 * SERVERS_PER_PORT;
  const bodies = Array.from(
    { length: count },
    () => sendRaw(listener.addr.port, REQUEST).then(({ body }) => body, () => "cut"),
  );
  await until("all are in flight", () => resolvers.length === count);
  assertEquals(listener.inFlight, count);
  return {
    listener,
    bodies,
    respond: () => resolvers.forEach((resolve) => resolve(new Response("fine"))),
  };
}

Deno.test("Listener.rotate() lets the retiring server finish its requests in flight", async () => {
  const counters = newCounters();
  const { listener, bodies, respond } = await busyListener(counters);
  listener.rotate();
  const retiring = listener.retiring!;
  assert(retiring.inFlight > 0 && retiring.inFlight < bodies.length);
  respond();
  assertEquals(new Set(await Promise.all(bodies)), new Set(["fine"]));
  assertEquals([retiring.inFlight, listener.inFlight], [0, 0]);
  listener.terminate();
  assertEquals(counters.listeners, { ...newCounters().listeners, renewals: 1 });
  await listener.stop(20_000);
});

Deno.test("Listener.terminate() cuts the requests of that server only, and counts them", async () => {
  const counters = newCounters();
  const { listener, bodies, respond } = await busyListener(counters);
  listener.rotate();
  const { inFlight } = listener.retiring!;
  listener.terminate();
  respond();
  const received = await Promise.all(bodies);
  assertEquals(received.filter((body) => body === "cut").length, inFlight);
  assertEquals(received.filter((body) => body === "fine").length, bodies.length - inFlight);
  assertEquals(counters.listeners, { renewals: 1, falls: 0, cut_requests: inFlight });
  await listener.stop(20_000);
});

Deno.test("Listener.stop() finishes the requests of a retiring server, too", async () => {
  const { listener, bodies, respond } = await busyListener();
  listener.rotate();
  assert(listener.retiring!.inFlight > 0);
  const stopping = listener.stop(20_000);
  respond();
  assertEquals(new Set(await Promise.all(bodies)), new Set(["fine"]));
  await stopping;
  assert(!listener.rotate());
});

/** A listener without a reaper, in a process with at most 100 file descriptors. */
const WITHOUT_REAPER = `
  import { newCounters } from "${
  new URL("../../../src/metrics/counters.ts", import.meta.url).href
}";
  import { Listener } from "${new URL("../../../src/server/listener.ts", import.meta.url).href}";
  const lines = [];
  const error = (message, { why = "", error = "" }) => lines.push(message + why + error);
  const counters = newCounters().listeners;
  const router = () => Response.json({ ...counters, lines });
  const listener = new Listener({
    ...{ hostname: "127.0.0.1", port: 0, shared: false, router, counters, log: { error } },
  });
  console.log(listener.addr.port);
`;

Deno.test("Listener restarts servers that crash without file descriptors", async () => {
  await using process = new Deno.Command("sh", {
    args: [
      ...["-c", 'ulimit -n 100 && exec "$@"', "sh"],
      ...[Deno.execPath(), "eval", "--unstable-net", WITHOUT_REAPER],
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  const hanging: RawConnection[] = [];
  const report = async () => JSON.parse((await sendRaw(port, REQUEST)).body);
  let falls = 0;
  await until("each server has crashed", async () => {
    for (let i = 0; i < 50; i++) {
      try {
        const connection = await RawConnection.open(port);
        hanging.push(connection);
        await connection.send("GET /spool/we");
      } catch {
        // Refused, or reset before it was accepted.
      }
    }
    ({ falls } = await report());
    return falls > SERVERS_PER_PORT;
  });
  // The connections still hang, as would those of a crashed server.
  for (let i = 0; i < 50; i++) {
    await until("it responds", async () => (await report()).falls > 0);
  }
  for (const connection of hanging) connection[Symbol.dispose]();
  const { lines } = await report();
  assertMatch(lines[0], /again: .*Too many open files/);
  assert(lines.length < 5, `too many lines: ${lines}`);
  process.kill("SIGKILL");
  await reader.cancel();
});
