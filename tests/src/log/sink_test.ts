import { newCounters } from "../../../src/metrics/counters.ts";
import { LogSink, type LogTarget, MAX_QUEUED_LOG_BYTES } from "../../../src/log/sink.ts";
import { assertEquals } from "../../support/assert.ts";

/** A target that accepts no bytes before open(), and then as many as a test allows. */
class SlowTarget implements LogTarget {
  readonly #decoder = new TextDecoder();
  #opened = Promise.withResolvers<void>();
  text = "";
  writes = 0;
  closed = 0;
  /** How many bytes it accepts at once. */
  most = Infinity;
  /** How many bytes it accepts before it fails. */
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

function sinkOf(target: LogTarget, errors = newCounters().errors) {
  const sink = new LogSink(target, errors, (count) => encoder.encode(`lost ${count}\n`));
  return { sink, errors, log: (line: string) => sink.write(encoder.encode(`${line}\n`)) };
}

Deno.test("LogSink writes lines in order and in few writes, even if a write is partial", async () => {
  for (const most of [Infinity, 7]) {
    const target = new SlowTarget();
    target.most = most;
    const { sink, log, errors } = sinkOf(target);
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
    for (const line of lines) log(line);
    target.open();
    await sink.drained();
    assertEquals(target.text, lines.map((line) => `${line}\n`).join(""));
    if (most === Infinity) assertEquals(target.writes, 1 + Math.ceil(target.text.length / 4096));
    assertEquals(errors.lost_log_lines, 0);
  }
});

Deno.test("LogSink drops lines beyond its bound, counts them, and writes a notice in their place", async () => {
  const target = new SlowTarget();
  const { sink, log, errors } = sinkOf(target);
  const long = "x".repeat(MAX_QUEUED_LOG_BYTES / 4 - 1);
  for (let i = 0; i < 4; i++) log(long);
  for (let i = 0; i < 3; i++) log("lost");
  assertEquals(errors.lost_log_lines, 3);
  target.open();
  await sink.drained();
  assertEquals(target.text, `${long}\n`.repeat(4) + "lost 3\n");
  log("found");
  await sink.drained();
  assertEquals(target.text.split("\n").slice(-3), ["lost 3", "found", ""]);
});

Deno.test("LogSink continues after failed writes, and ends a torn line", async () => {
  const target = new SlowTarget();
  target.open();
  const { sink, log, errors } = sinkOf(target);
  const logged = async (line: string) => {
    log(line);
    await sink.drained();
  };
  target.room = 4;
  await logged("one");
  target.room = 2;
  await logged("two");
  await logged("three");
  assertEquals([target.text, errors.lost_log_lines], ["one\ntw", 2]);
  target.room = Infinity;
  await logged("four");
  assertEquals([target.text, errors.lost_log_lines], ["one\ntw\nlost 2\nfour\n", 2]);
});

Deno.test("LogSink.close() closes the target once the queue is written", async () => {
  const target = new SlowTarget();
  const { sink, log } = sinkOf(target);
  log("one");
  sink.close();
  assertEquals(target.closed, 0);
  target.open();
  await sink.drained();
  assertEquals([target.text, target.closed], ["one\n", 1]);
});
