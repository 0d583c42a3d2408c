import { newCounters } from "../../../src/metrics/counters.ts";
import {
  EventStreams,
  type EventTimes,
  MAX_STREAMS,
  type Update,
} from "../../../src/page/event_streams.ts";
import { Listener, SERVERS_PER_PORT } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { SlowReaderError } from "../../../src/server/responses.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { until } from "../../servers/mod.ts";

/** Streams of updates that contain a number and the present downtimes. */
class Updates {
  gathered = 0;
  downtimes = "nothing";
  readonly streams: EventStreams;

  constructor(times: EventTimes) {
    this.streams = new EventStreams(() => {
      this.gathered++;
      return Promise.resolve(this.update);
    }, times);
  }

  get update(): Update {
    return { downtimes: this.downtimes, status: String(this.gathered) };
  }
}

/** The status is sent at once, or never during a test. */
const SOON: EventTimes = { interval: 20, minGap: 10 };
const NEVER: EventTimes = { interval: 3_600_000, minGap: 10 };

/** Reads a stream as text, one message at a time. */
function readerOf(stream: ReadableStream<Uint8Array> | undefined) {
  assert(stream !== undefined, "a stream can be opened");
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  return {
    next: async () => {
      const { value, done } = await reader.read();
      return done ? null : decoder.decode(value);
    },
    leave: () => reader.cancel(),
  };
}

const HELLO = "retry: 1000\n\n";

function status(count: number): string {
  return `event: status\ndata: ${count}\n\n`;
}

function downtimes(what: string): string {
  return `event: downtimes\ndata: ${what}\n\n`;
}

Deno.test("EventStreams sends everything first, then the status, and the downtimes when they change", async () => {
  const updates = new Updates(SOON);
  const reader = readerOf(updates.streams.open());
  assertEquals(await reader.next(), HELLO);
  assertEquals(await reader.next(), downtimes("nothing") + status(1));
  assertEquals(await reader.next(), status(2));
  updates.downtimes = "web";
  assertEquals(await reader.next(), downtimes("web") + status(3));
  assertEquals(await reader.next(), status(4));
  updates.streams.close();
  assertEquals(await reader.next(), null);
});

Deno.test("EventStreams.notify() sends an update before the interval is over, and combines changes", async () => {
  const updates = new Updates(NEVER);
  const reader = readerOf(updates.streams.open());
  await reader.next();
  await reader.next();
  for (let i = 0; i < 3; i++) {
    for (const name of ["web", "db", `s${i}`]) {
      updates.downtimes = name;
      updates.streams.notify();
    }
    assertEquals(await reader.next(), downtimes(`s${i}`) + status(i + 2));
  }
  updates.streams.close();
});

Deno.test("EventStreams.notify() during an update causes another one", async () => {
  let gathered = 0;
  const streams: EventStreams = new EventStreams(() => {
    if (++gathered === 1) streams.notify();
    return Promise.resolve({ downtimes: String(gathered), status: String(gathered) });
  }, NEVER);
  const reader = readerOf(streams.open());
  await reader.next();
  assertEquals(await reader.next(), downtimes("1") + status(1));
  assertEquals(await reader.next(), downtimes("2") + status(2));
  streams.close();
});

Deno.test("EventStreams ends only the stream of a reader that reads nothing", async () => {
  const updates = new Updates({ ...SOON, readerTimeout: 100 });
  const slow = readerOf(updates.streams.open());
  const fast = readerOf(updates.streams.open());
  const start = performance.now();
  while (performance.now() - start < 500) assert(await fast.next() !== null);
  await assertRejects(() => slow.next(), SlowReaderError);
  updates.streams.close();
});

Deno.test("EventStreams keeps at most one message for a slow reader", async () => {
  const updates = new Updates(NEVER);
  const slow = readerOf(updates.streams.open());
  const fast = readerOf(updates.streams.open());
  for (let i = 0; i < 6; i++) {
    updates.downtimes = String(i);
    updates.streams.notify();
    await fast.next();
  }
  const { gathered } = updates;
  assert(gathered >= 4, `${gathered} updates were gathered`);
  assertEquals(await slow.next(), HELLO);
  assertEquals(await slow.next(), downtimes("5") + status(gathered));
  // No other message was waiting.
  const next = slow.next();
  updates.downtimes = "new";
  updates.streams.notify();
  assertEquals(await next, downtimes("new") + status(gathered + 1));
  updates.streams.close();
});

Deno.test("EventStreams gathers nothing while no stream is open", async () => {
  const updates = new Updates(SOON);
  updates.streams.notify();
  assertEquals(updates.gathered, 0);
  const reader = readerOf(updates.streams.open());
  await reader.next();
  await reader.next();
  await reader.leave();
  const { gathered } = updates;
  updates.streams.notify();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assertEquals(updates.gathered, gathered);
  // A new stream gets the latest state.
  updates.downtimes = "web";
  const other = readerOf(updates.streams.open());
  await other.next();
  assertEquals(await other.next(), downtimes("web") + status(gathered + 1));
  await other.leave();
});

Deno.test("EventStreams.open() returns undefined above MAX_STREAMS, until a stream ends", async () => {
  const { streams } = new Updates(NEVER);
  const readers = Array.from({ length: MAX_STREAMS }, () => readerOf(streams.open()));
  assertEquals(streams.open(), undefined);
  await readers[7]!.leave();
  const late = readerOf(streams.open());
  assertEquals(streams.open(), undefined);
  assertEquals(await late.next(), HELLO);
  streams.end();
  assert(await late.next() !== HELLO);
  for (const { leave } of readers) await leave();
  // close() is final, end() is not.
  await readerOf(streams.open()).leave();
  streams.close();
  assertEquals(streams.open(), undefined);
});

Deno.test("EventStreams ends its streams when gathering fails, and works again later", async () => {
  let works = false;
  const errors: unknown[] = [];
  const onError = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    errors.push((event.reason as Error).message);
  };
  addEventListener("unhandledrejection", onError);
  try {
    const streams = new EventStreams(() =>
      works ? Promise.resolve({ downtimes: "m", status: "f" }) : Promise.reject(new Error("no"))
    );
    const reader = readerOf(streams.open());
    assertEquals([await reader.next(), await reader.next()], [HELLO, null]);
    await until("the error is reported", () => errors.length === 1);
    works = true;
    const again = readerOf(streams.open());
    await again.next();
    assertEquals(await again.next(), downtimes("m") + "event: status\ndata: f\n\n");
    streams.close();
    assertEquals(errors, ["no"]);
  } finally {
    removeEventListener("unhandledrejection", onError);
  }
});

Deno.test("an open event stream does not hold a retiring server, and ends with it", async () => {
  const { streams } = new Updates(NEVER);
  await using serving = listening(() => Promise.resolve(new Response(streams.open())));
  const { listener } = serving;
  const clients = await Promise.all(Array.from({ length: MAX_STREAMS }, async () => {
    const { body } = await fetch(`http://127.0.0.1:${listener.addr.port}/`);
    return readerOf(body!);
  }));
  for (const client of clients) await client.next();
  assertEquals([listener.inFlight, streams.open()], [0, undefined]);
  const ends = Promise.allSettled(clients.map(async ({ next }) => {
    while (await next() !== null);
  }));
  // The streams may be on any of the servers, so all are rotated.
  for (let i = 0; i < SERVERS_PER_PORT; i++) {
    listener.rotate();
    listener.terminate();
  }
  await ends;
  await until("a stream can be opened", () => streams.open() !== undefined);
  streams.close();
});

function listening(router: Router): AsyncDisposable & { readonly listener: Listener } {
  const { listeners: counters, errors } = newCounters();
  const listener = new Listener({
    hostname: "127.0.0.1",
    port: 0,
    shared: false,
    identity: null,
    router,
    counters,
    errors,
    log: new RecordedLog().log,
  });
  return { listener, [Symbol.asyncDispose]: () => listener.stop(20_000) };
}
