import {
  EventStreams,
  type EventTimes,
  MAX_STREAMS,
  type Update,
} from "../../../src/page/event_streams.ts";
import { Listener, newListenerCounters, SERVERS_PER_PORT } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { SlowReaderError } from "../../../src/server/sized_response.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { until } from "../../servers/mod.ts";

/** Update that tell how often they were gathered, and what is marked. */
class Newsroom {
  gathered = 0;
  marked = "nothing";
  readonly streams: EventStreams;

  constructor(times: EventTimes) {
    this.streams = new EventStreams(() => {
      this.gathered++;
      return Promise.resolve(this.news);
    }, times);
  }

  get news(): Update {
    return { marked: this.marked, figures: String(this.gathered) };
  }
}

/** The figures are due at once, or never while a test runs. */
const SOON: EventTimes = { figures: 20, calm: 10 };
const NEVER: EventTimes = { figures: 3_600_000, calm: 10 };

/** Reads a stream as text, one message at a time. */
function readerOf(stream: ReadableStream<Uint8Array> | undefined) {
  assert(stream !== undefined, "there is room for a stream");
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

function figures(count: number): string {
  return `event: figures\ndata: ${count}\n\n`;
}

function marked(what: string): string {
  return `event: marked\ndata: ${what}\n\n`;
}

Deno.test("who looks is told everything at first, then the figures, and what is marked when it changes", async () => {
  const room = new Newsroom(SOON);
  const reader = readerOf(room.streams.open());
  assertEquals(await reader.next(), HELLO);
  assertEquals(await reader.next(), marked("nothing") + figures(1));
  assertEquals(await reader.next(), figures(2));
  room.marked = "web";
  assertEquals(await reader.next(), marked("web") + figures(3));
  assertEquals(await reader.next(), figures(4));
  room.streams.close();
  assertEquals(await reader.next(), null);
});

Deno.test("a change is told before the figures are due, and changes that follow each other together", async () => {
  const room = new Newsroom(NEVER);
  const reader = readerOf(room.streams.open());
  await reader.next();
  await reader.next();
  for (let i = 0; i < 3; i++) {
    for (const name of ["web", "db", `s${i}`]) {
      room.marked = name;
      room.streams.wake();
    }
    assertEquals(await reader.next(), marked(`s${i}`) + figures(i + 2));
  }
  room.streams.close();
});

Deno.test("what changes while the news are gathered is told after them", async () => {
  let gathered = 0;
  const streams: EventStreams = new EventStreams(() => {
    if (++gathered === 1) streams.wake();
    return Promise.resolve({ marked: String(gathered), figures: String(gathered) });
  }, NEVER);
  const reader = readerOf(streams.open());
  await reader.next();
  assertEquals(await reader.next(), marked("1") + figures(1));
  assertEquals(await reader.next(), marked("2") + figures(2));
  streams.close();
});

Deno.test("EventStreams ends the stream of a reader that takes nothing, and no other", async () => {
  const room = new Newsroom({ ...SOON, stall: 100 });
  const slow = readerOf(room.streams.open());
  const fast = readerOf(room.streams.open());
  const start = performance.now();
  while (performance.now() - start < 500) assert(await fast.next() !== null);
  await assertRejects(() => slow.next(), SlowReaderError);
  room.streams.close();
});

Deno.test("who reads slowly misses what was new meanwhile, and makes nobody keep it", async () => {
  const room = new Newsroom(NEVER);
  const slow = readerOf(room.streams.open());
  const fast = readerOf(room.streams.open());
  for (let i = 0; i < 6; i++) {
    room.marked = String(i);
    room.streams.wake();
    await fast.next();
  }
  const { gathered } = room;
  assert(gathered >= 4, `${gathered} news were gathered`);
  assertEquals(await slow.next(), HELLO);
  assertEquals(await slow.next(), marked("5") + figures(gathered));
  // Nothing else was waiting for them.
  const next = slow.next();
  room.marked = "new";
  room.streams.wake();
  assertEquals(await next, marked("new") + figures(gathered + 1));
  room.streams.close();
});

Deno.test("nothing is gathered while nobody looks", async () => {
  const room = new Newsroom(SOON);
  room.streams.wake();
  assertEquals(room.gathered, 0);
  const reader = readerOf(room.streams.open());
  await reader.next();
  await reader.next();
  await reader.leave();
  const { gathered } = room;
  room.streams.wake();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assertEquals(room.gathered, gathered);
  // Who comes then is told what is new.
  room.marked = "web";
  const other = readerOf(room.streams.open());
  await other.next();
  assertEquals(await other.next(), marked("web") + figures(gathered + 1));
  await other.leave();
});

Deno.test("so many may look at once, and one more when one has gone", async () => {
  const { streams } = new Newsroom(NEVER);
  const readers = Array.from({ length: MAX_STREAMS }, () => readerOf(streams.open()));
  assertEquals(streams.open(), undefined);
  await readers[7]!.leave();
  const late = readerOf(streams.open());
  assertEquals(streams.open(), undefined);
  assertEquals(await late.next(), HELLO);
  streams.end();
  assert(await late.next() !== HELLO);
  for (const { leave } of readers) await leave();
  // Once those have ended there is room again, until it is closed.
  await readerOf(streams.open()).leave();
  streams.close();
  assertEquals(streams.open(), undefined);
});

Deno.test("where the news cannot be had, streams end, and work again when they can be", async () => {
  let isWell = false;
  const faults: unknown[] = [];
  const onFault = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    faults.push((event.reason as Error).message);
  };
  addEventListener("unhandledrejection", onFault);
  try {
    const streams = new EventStreams(() =>
      isWell ? Promise.resolve({ marked: "m", figures: "f" }) : Promise.reject(new Error("no"))
    );
    const reader = readerOf(streams.open());
    assertEquals([await reader.next(), await reader.next()], [HELLO, null]);
    await until("the fault is told", () => faults.length === 1);
    isWell = true;
    const again = readerOf(streams.open());
    await again.next();
    assertEquals(await again.next(), marked("m") + "event: figures\ndata: f\n\n");
    streams.close();
    assertEquals(faults, ["no"]);
  } finally {
    removeEventListener("unhandledrejection", onFault);
  }
});

Deno.test("who looks holds no server that is replaced, and gives their place up when it is cut", async () => {
  const { streams } = new Newsroom(NEVER);
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
  // Whichever of the servers they have come to: all are replaced.
  for (let i = 0; i < SERVERS_PER_PORT; i++) {
    listener.rotate();
    listener.terminate();
  }
  await ends;
  await until("there is room", () => streams.open() !== undefined);
  streams.close();
});

function listening(router: Router): AsyncDisposable & { readonly listener: Listener } {
  const listener = new Listener({
    hostname: "127.0.0.1",
    port: 0,
    shared: false,
    identity: null,
    router,
    counters: newListenerCounters(),
    log: new RecordedLog().log,
  });
  return { listener, [Symbol.asyncDispose]: () => listener.stop(20_000) };
}
