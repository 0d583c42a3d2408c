import { newCounters } from "../../src/metrics/counters.ts";
import { LogSink, type LogTarget, MAX_QUEUED_LOG_BYTES } from "../../src/log_sink.ts";
import { assertEquals } from "../support/assert.ts";

/** A target that takes bytes as a test says: none until it may. */
class SlowTarget implements LogTarget {
  readonly #decoder = new TextDecoder();
  #opened = Promise.withResolvers<void>();
  text = "";
  writes = 0;
  closed = 0;
  /** How many bytes it takes at once, and how many until it fails. */
  most = Infinity;
  room = Infinity;

  open(): void {
    this.#opened.resolve();
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#opened.promise;
    this.writes++;
    if (this.room === 0) throw new Error("no space");
    const count = Math.min(bytes.length, this.most, this.room);
    this.room -= count;
    this.text += this.#decoder.decode(bytes.subarray(0, count));
    return count;
  }

  close(): void {
    this.closed++;
  }
}

const encoder = new TextEncoder();

function sinkOf(target: LogTarget, faults = newCounters().errors) {
  const sink = new LogSink(target, faults, (count) => encoder.encode(`lost ${count}\n`));
  return { sink, faults, log: (line: string) => sink.write(encoder.encode(`${line}\n`)) };
}

Deno.test("LogSink writes lines in order and in few writes, however few bytes are taken at once", async () => {
  for (const most of [Infinity, 7]) {
    const target = new SlowTarget();
    target.most = most;
    const { sink, log, faults } = sinkOf(target);
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
    for (const line of lines) log(line);
    target.open();
    await sink.drained();
    assertEquals(target.text, lines.map((line) => `${line}\n`).join(""));
    if (most === Infinity) assertEquals(target.writes, 1 + Math.ceil(target.text.length / 4096));
    assertEquals(faults.lost_log_lines, 0);
  }
});

Deno.test("LogSink loses lines beyond its bound, counts them, and says so where they would stand", async () => {
  const target = new SlowTarget();
  const { sink, log, faults } = sinkOf(target);
  const long = "x".repeat(MAX_QUEUED_LOG_BYTES / 4 - 1);
  for (let i = 0; i < 4; i++) log(long);
  for (let i = 0; i < 3; i++) log("lost");
  assertEquals(faults.lost_log_lines, 3);
  target.open();
  await sink.drained();
  assertEquals(target.text, `${long}\n`.repeat(4) + "lost 3\n");
  log("found");
  await sink.drained();
  assertEquals(target.text.split("\n").slice(-3), ["lost 3", "found", ""]);
});

Deno.test("LogSink goes on after writes that fail, and begins a line again", async () => {
  const target = new SlowTarget();
  target.open();
  const { sink, log, faults } = sinkOf(target);
  const logged = async (line: string) => {
    log(line);
    await sink.drained();
  };
  target.room = 4;
  await logged("one");
  target.room = 2;
  await logged("two");
  await logged("three");
  assertEquals([target.text, faults.lost_log_lines], ["one\ntw", 2]);
  target.room = Infinity;
  await logged("four");
  assertEquals([target.text, faults.lost_log_lines], ["one\ntw\nlost 2\nfour\n", 2]);
});

Deno.test("LogSink closes its target once what is queued is written", async () => {
  const target = new SlowTarget();
  const { sink, log } = sinkOf(target);
  log("one");
  sink.close();
  assertEquals(target.closed, 0);
  target.open();
  await sink.drained();
  assertEquals([target.text, target.closed], ["one\n", 1]);
});
