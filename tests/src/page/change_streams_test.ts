import type { Change } from "../../../src/checks/history.ts";
import {
  ChangeStreams,
  type ChangeTimes,
  MAX_CHANGES_PER_MESSAGE,
} from "../../../src/page/change_streams.ts";
import { MAX_STREAMS } from "../../../src/page/event_streams.ts";
import { SlowReaderError } from "../../../src/server/responses.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

const STARTED = 1000.5;
const HOUR = 3_600_000;
const SOON: ChangeTimes = { interval: 5, silence: HOUR, readerTimeout: HOUR };

function changeOf(id: number): Change {
  return {
    ...{ id, kind: "record", at: id, name: "web", service: "web", to: "down", weight: null },
    ...{
      reason: "a\u202eb\nc",
      by: null,
      creation: null,
      until: null,
      source: "spool",
      client: null,
      why: null,
    },
  };
}

/** A history that keeps the last changes. */
class Changes {
  queries = 0;
  isBroken = false;
  #kept: Change[] = [];
  #lastId = 0;
  readonly #most: number;

  constructor(most = 1000) {
    this.#most = most;
  }

  streams(times = SOON): ChangeStreams {
    return new ChangeStreams({ started: STARTED, changesAfter: (id) => this.#after(id) }, times);
  }

  add(count: number): void {
    for (let i = 0; i < count; i++) this.#kept.push(changeOf(++this.#lastId));
    this.#kept = this.#kept.slice(-this.#most);
  }

  #after(after: number): Promise<Change[]> {
    this.queries++;
    if (this.isBroken) return Promise.reject(new Error("broken"));
    return Promise.resolve(this.#kept.filter(({ id }) => id > after).reverse());
  }
}

/** Reads the events of a stream. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";
  #hasEnded = false;

  constructor(stream: ReadableStream<Uint8Array> | undefined) {
    assert(stream !== undefined, "a stream can be opened");
    this.#reader = stream.getReader();
  }

  /** Returns the next block; null at the end. */
  async next(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return block;
      }
      if (this.#hasEnded) return null;
      const { value, done } = await this.#reader.read();
      if (done) this.#hasEnded = true;
      else this.#text += new TextDecoder().decode(value);
    }
  }

  /** Returns the numbers of the next changes. */
  async ids(count: number): Promise<number[]> {
    const ids: number[] = [];
    while (ids.length < count) {
      const [, id, data] = /^event: change\nid: 1000\.5-(\d+)\ndata: (.*)$/
        .exec((await this.next())!)!;
      assertEquals(JSON.parse(data!), changeOf(Number(id)));
      ids.push(Number(id));
    }
    return ids;
  }

  leave(): Promise<void> {
    return this.#reader.cancel();
  }
}

function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

Deno.test("ChangeStreams sends the changes from now on, with an id to resume from before the first", async () => {
  const changes = new Changes();
  changes.add(3);
  const streams = changes.streams();
  const reader = new Reader(await streams.open(null));
  assertEquals(await reader.next(), "retry: 1000\nid: 1000.5-3");
  changes.add(1);
  assertEquals(await reader.ids(1), [4]);
  changes.add(MAX_CHANGES_PER_MESSAGE * 3 + 1);
  assertEquals(
    await reader.ids(MAX_CHANGES_PER_MESSAGE * 3 + 1),
    numbers(5, MAX_CHANGES_PER_MESSAGE * 3 + 1),
  );
  streams.close();
  assertEquals(await reader.next(), null);
});

Deno.test("ChangeStreams escapes control characters without changing the JSON", async () => {
  const changes = new Changes();
  const streams = changes.streams();
  const reader = new Reader(await streams.open(null));
  await reader.next();
  changes.add(1);
  const event = (await reader.next())!;
  assert(event.includes("a\\u202eb\\nc"), event);
  streams.close();
});

Deno.test("ChangeStreams resumes after the last event", async () => {
  const changes = new Changes();
  changes.add(9);
  const streams = changes.streams();
  const reader = new Reader(await streams.open(`${STARTED}-5`));
  assertEquals(await reader.next(), "retry: 1000\nid: 1000.5-5");
  assertEquals(await reader.ids(4), [6, 7, 8, 9]);
  streams.close();
});

Deno.test("ChangeStreams reports a gap after a restart, then all changes since the start", async () => {
  const changes = new Changes();
  changes.add(2);
  const streams = changes.streams();
  const reader = new Reader(await streams.open("999-5"));
  assertEquals(await reader.next(), "retry: 1000\nid: 1000.5-0");
  assertEquals(await reader.next(), 'event: gap\ndata: {"missed":null}');
  assertEquals(await reader.ids(2), [1, 2]);
  streams.close();
});

Deno.test("ChangeStreams counts the changes that are no longer kept", async () => {
  const changes = new Changes(10);
  changes.add(30);
  const streams = changes.streams();
  const reader = new Reader(await streams.open(`${STARTED}-5`));
  await reader.next();
  assertEquals(await reader.next(), 'event: gap\ndata: {"missed":15}');
  assertEquals(await reader.ids(10), numbers(21, 10));
  streams.close();
});

Deno.test("ChangeStreams begins with the next change if the last event is no id", async () => {
  const changes = new Changes();
  changes.add(3);
  const streams = changes.streams();
  for (const bad of ["", "3", "x-3", "-3", "1000.5-", "1000.5--3", "1000.5-9999999999999999"]) {
    const reader = new Reader(await streams.open(bad));
    assertEquals(await reader.next(), "retry: 1000\nid: 1000.5-3", bad);
    await reader.leave();
  }
  streams.close();
});

Deno.test("ChangeStreams sends a comment to a silent stream", async () => {
  const changes = new Changes();
  const streams = changes.streams({ ...SOON, silence: 5 });
  const reader = new Reader(await streams.open(null));
  await reader.next();
  assertEquals([await reader.next(), await reader.next()], [":", ":"]);
  streams.close();
});

Deno.test("ChangeStreams ends only the stream of a reader that reads nothing", async () => {
  const changes = new Changes();
  const streams = changes.streams({ ...SOON, readerTimeout: 100 });
  const slow = (await streams.open(null))!.getReader();
  const fast = new Reader(await streams.open(null));
  await fast.next();
  changes.add(1);
  assertEquals(await fast.ids(1), [1]);
  await assertRejects(async () => {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      const { done } = await slow.read();
      if (done) return;
    }
  }, SlowReaderError);
  changes.add(1);
  assertEquals(await fast.ids(1), [2]);
  streams.close();
});

Deno.test("ChangeStreams asks for nothing while no stream is open", async () => {
  const changes = new Changes();
  const streams = changes.streams();
  const reader = new Reader(await streams.open(null));
  await reader.next();
  await reader.leave();
  const { queries } = changes;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert(changes.queries <= queries + 1, "a query in flight may end");
  streams.close();
});

Deno.test("ChangeStreams.open() returns undefined above MAX_STREAMS, until a stream ends", async () => {
  const changes = new Changes();
  const streams = changes.streams();
  const readers = await Promise.all(
    Array.from({ length: MAX_STREAMS }, async () => new Reader(await streams.open(null))),
  );
  assertEquals(await streams.open(null), undefined);
  await readers[0]!.leave();
  const another = new Reader(await streams.open(null));
  assertEquals(await another.next(), "retry: 1000\nid: 1000.5-0");
  streams.close();
  assertEquals(await streams.open(null), undefined);
});
