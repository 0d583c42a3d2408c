import { BOUNDS, Durations } from "../../../src/metrics/durations.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("durations belong to the first bucket whose bound they do not exceed", () => {
  for (
    const [seconds, bucket] of [
      [0, 0],
      [0.001, 0],
      [0.0010001, 1],
      [0.3, BOUNDS.indexOf(0.5)],
      [10, BOUNDS.length - 1],
      [10.001, BOUNDS.length],
      [1e6, BOUNDS.length],
    ] as const
  ) {
    const durations = new Durations();
    durations.observe("http", seconds);
    const { buckets, sum } = durations.report().http!;
    const expected = Array(BOUNDS.length + 1).fill(0);
    expected[bucket] = 1;
    assertEquals([seconds, buckets, sum], [seconds, expected, seconds]);
  }
});

Deno.test("durations are counted by protocol, and what was told stays as it was told", () => {
  const durations = new Durations();
  durations.observe("http", 0.25);
  durations.observe("tcp", 20);
  const told = durations.report();
  durations.observe("http", 0.5);
  assertEquals(Object.keys(told), ["http", "tcp"]);
  assertEquals([told.http!.sum, told.tcp!.sum, durations.report().http!.sum], [0.25, 20, 0.75]);
  assertEquals(told.http!.buckets.reduce((sum, count) => sum + count), 1);
});
