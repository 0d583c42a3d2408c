import { Listener } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { assert, assertEquals, assertThrows } from "../../assert.ts";
import { RecordedLog } from "../../log.ts";
import { RawConnection, speak } from "../../raw.ts";
import { until } from "../../servers/mod.ts";

const REQUEST = "GET /x HTTP/1.0\r\n\r\n";

/** Listens on any port that is free. */
function listening(router: Router, recorded = new RecordedLog(), port = 0): Listener {
  return new Listener({
    hostname: "127.0.0.1",
    port,
    shared: false,
    router,
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

Deno.test("a listener that is to stop accepts nothing more and finishes what is under way", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  let begun = 0;
  const listener = listening(() => {
    begun++;
    return promise;
  });
  const { port } = listener.addr;
  using idle = await RawConnection.open(port);
  const underWay = speak(port, REQUEST);
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
  assertEquals((await underWay).body, "fine");
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
