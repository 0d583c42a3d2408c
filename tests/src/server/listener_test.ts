import { type ListenerCounters, newCounters } from "../../../src/metrics/counters.ts";
import { Listener, SERVERS_PER_PORT } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { RawConnection, speak } from "../../support/raw_http.ts";
import { until } from "../../servers/mod.ts";

const REQUEST = "GET /x HTTP/1.0\r\n\r\n";

/** Listens on any port that is free. */
function listening(
  router: Router,
  recorded = new RecordedLog(),
  port = 0,
  counters: ListenerCounters = newCounters().listeners,
): Listener {
  return new Listener({
    hostname: "127.0.0.1",
    port,
    shared: false,
    identity: null,
    router,
    counters,
    log: recorded.log,
  });
}

Deno.test("a listener tells the router what is asked, and who asks", async () => {
  const listener = listening((request, { remoteAddr }) =>
    new Response(`${request.method} ${request.url} ${remoteAddr.hostname}`)
  );
  const { hostname, port } = listener.addr;
  assertEquals(hostname, "127.0.0.1");
  const { status, body } = await speak(port, "PUT /a/../b?c#d HTTP/1.0\r\nHost: x y\r\n\r\n");
  assertEquals([status, body], [200, "PUT http://x y/a/../b?c#d 127.0.0.1"]);
  await listener.stop(20_000);
});

Deno.test("a listener answers a fault of the router with 503, tells of it, and goes on", async () => {
  const recorded = new RecordedLog();
  const faults: Router[] = [
    () => {
      throw new Error("a slip");
    },
    () => Promise.reject(new Error("a slip")),
  ];
  let router = faults[0]!;
  const listener = listening((request, info) => router(request, info), recorded);
  const { port } = listener.addr;
  for (router of faults) {
    const { status, body } = await speak(port, REQUEST);
    assertEquals([status, body], [503, "Internal error"]);
  }
  assertEquals(recorded.lines, [
    "ERROR cannot answer a request: Error: a slip",
    "ERROR cannot answer a request: Error: a slip",
  ]);
  router = () => new Response("fine");
  assertEquals((await speak(port, REQUEST)).body, "fine");
  await listener.stop(20_000);
});

Deno.test("a listener that cannot have its port says so at once", async () => {
  const recorded = new RecordedLog();
  const listener = listening(() => new Response("first"));
  const { port } = listener.addr;
  assertThrows(
    () => listening(() => new Response("second"), recorded, port),
    Deno.errors.AddrInUse,
  );
  assertEquals((await speak(port, REQUEST)).body, "first");
  await listener.stop(20_000);
  // It is free again, and nobody else wants it.
  const second = listening(() => new Response("second"), recorded, port);
  assertEquals((await speak(port, REQUEST)).body, "second");
  await second.stop(20_000);
  assertEquals(recorded.lines, []);
});

/** What a client may send before its request is answered, and how long that may be. */
const LIMITS: readonly [what: string, most: number, request: (length: number) => string][] = [
  ["headers", 128, (count) => `GET /x HTTP/1.0\r\n${"a: b\r\n".repeat(count)}\r\n`],
  // Without the empty line that ends them.
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
  Deno.test(`a listener takes ${most} ${what}, and answers more with 400`, async () => {
    let asked = 0;
    const listener = listening(() => {
      asked++;
      return new Response("fine");
    });
    const { port } = listener.addr;
    assertEquals((await speak(port, request(most))).body, "fine");
    const { status, body } = await speak(port, request(most + 1));
    assertEquals([status, body, asked], [400, "", 1]);
    await listener.stop(20_000);
  });
}

Deno.test("a listener that is to stop accepts nothing more and finishes what is under way", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  let begun = 0;
  const listener = listening(() => {
    begun++;
    return promise;
  });
  const { port } = listener.addr;
  using idle = await RawConnection.open(port);
  const inFlight = speak(port, REQUEST);
  await until("the request is under way", () => begun === 1);
  let stopped = false;
  const stopping = listener.stop(20_000).then(() => stopped = true);
  assertEquals(await idle.rest(), "");
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

Deno.test("a listener that is to stop waits no longer than it is told", async () => {
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
  const hanging = speak(port, REQUEST);
  await until("the request is under way", () => begun === 1);
  await listener.stop(50);
  resolve(new Response("late"));
  assertEquals((await hanging).body, "late");
  assertEquals(await half.rest(), "");
  assertEquals(recorded.lines, []);
});

/** Sends half a request line on some connections, enough that every server gets some of them. */
async function half(port: number): Promise<RawConnection[]> {
  const connections: RawConnection[] = [];
  for (let i = 0; i < 8 * SERVERS_PER_PORT; i++) {
    const connection = await RawConnection.open(port);
    connections.push(connection);
    await connection.send("GET /spool/we");
  }
  // Answered on another connection: these have been accepted.
  assertEquals((await speak(port, REQUEST)).status, 200);
  return connections;
}

/** How many of some connections end, and lets go of them all. */
async function ended(connections: readonly RawConnection[], patience: number): Promise<number> {
  let count = 0;
  const ends = connections.map((connection) =>
    connection.rest().then(() => count++, (error) => {
      if (error instanceof Deno.errors.ConnectionReset) count++;
    })
  );
  await until("they have ended", () => count === connections.length, patience).catch(() => {});
  const before = count;
  for (const connection of connections) connection[Symbol.dispose]();
  await Promise.all(ends);
  return before;
}

Deno.test("a listener whose servers were all renewed and cut has no connection that hung on them, and goes on", async () => {
  const recorded = new RecordedLog();
  const counters = newCounters().listeners;
  const listener = listening(() => new Response("fine"), recorded, 0, counters);
  const { port } = listener.addr;
  const hanging = await half(port);
  for (let renewed = 0; renewed < SERVERS_PER_PORT; renewed++) {
    assert(listener.rotate());
    assert(!listener.rotate(), "another one waits to be cut");
    listener.terminate();
    assertEquals(listener.retiring, undefined);
  }
  assertEquals(await ended(hanging, 20_000), hanging.length);
  for (let asked = 0; asked < 20; asked++) assertEquals((await speak(port, REQUEST)).body, "fine");
  assertEquals(counters, { renewals: SERVERS_PER_PORT, falls: 0, cut_requests: 0 });
  await listener.stop(20_000);
  assertEquals(recorded.lines, []);
});

/** Has a listener answer many requests when it is told to. */
async function answering(counters: ListenerCounters) {
  const answers: ((response: Response) => void)[] = [];
  const router: Router = () => new Promise((resolve) => answers.push(resolve));
  const listener = listening(router, new RecordedLog(), 0, counters);
  const count = 8 * SERVERS_PER_PORT;
  const asked = Array.from(
    { length: count },
    () => speak(listener.addr.port, REQUEST).then(({ body }) => body, () => "cut"),
  );
  await until("all are under way", () => answers.length === count);
  assertEquals(listener.inFlight, count);
  return {
    listener,
    asked,
    answer: () => answers.forEach((answer) => answer(new Response("fine"))),
  };
}

Deno.test("a server that waits to be cut finishes what is under way", async () => {
  const counters = newCounters().listeners;
  const { listener, asked, answer } = await answering(counters);
  listener.rotate();
  const retiring = listener.retiring!;
  assert(retiring.inFlight > 0 && retiring.inFlight < asked.length);
  answer();
  assertEquals(new Set(await Promise.all(asked)), new Set(["fine"]));
  assertEquals([retiring.inFlight, listener.inFlight], [0, 0]);
  listener.terminate();
  assertEquals(counters, { renewals: 1, falls: 0, cut_requests: 0 });
  await listener.stop(20_000);
});

Deno.test("a server that is cut cuts off what is under way on it and nothing else, and counts it", async () => {
  const counters = newCounters().listeners;
  const { listener, asked, answer } = await answering(counters);
  listener.rotate();
  const { inFlight } = listener.retiring!;
  listener.terminate();
  answer();
  const answers = await Promise.all(asked);
  assertEquals(answers.filter((body) => body === "cut").length, inFlight);
  assertEquals(answers.filter((body) => body === "fine").length, asked.length - inFlight);
  assertEquals(counters, { renewals: 1, falls: 0, cut_requests: inFlight });
  await listener.stop(20_000);
});

Deno.test("a listener that stops while a server waits to be cut finishes what is under way on all of them", async () => {
  const { listener, asked, answer } = await answering(newCounters().listeners);
  listener.rotate();
  assert(listener.retiring!.inFlight > 0);
  const stopping = listener.stop(20_000);
  answer();
  assertEquals(new Set(await Promise.all(asked)), new Set(["fine"]));
  await stopping;
  assert(!listener.rotate());
});

/** A listener in a process of its own that may have 100 files open, and that nobody guards. */
const UNGUARDED = `
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

Deno.test("a listener that falls for want of file descriptors frees them, and serves again", async () => {
  await using process = new Deno.Command("sh", {
    args: [
      ...["-c", 'ulimit -n 100 && exec "$@"', "sh"],
      ...[Deno.execPath(), "eval", "--unstable-net", UNGUARDED],
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  const hanging: RawConnection[] = [];
  const told = async () => JSON.parse((await speak(port, REQUEST)).body);
  let falls = 0;
  await until("each server has fallen", async () => {
    try {
      const connection = await RawConnection.open(port);
      hanging.push(connection);
      await connection.send("GET /spool/we");
      if (hanging.length % 50 === 0) ({ falls } = await told());
    } catch {
      // Refused, or reset with those that wait to be accepted.
    }
    return falls > SERVERS_PER_PORT;
  });
  // All of them hang on, and so would have what a server that fell still had.
  for (let answered = 0; answered < 50; answered++) {
    await until("it answers", async () => (await told()).falls > 0, 2000);
  }
  for (const connection of hanging) connection[Symbol.dispose]();
  const { lines } = await told();
  assertMatch(lines[0], /again: .*Too many open files/);
  assert(lines.length < 5, `it tells too much: ${lines}`);
  process.kill("SIGKILL");
  await reader.cancel();
});
