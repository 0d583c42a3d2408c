import {
  BOUNDS,
  COUNTERS,
  countersOf,
  countResponse,
  newCounters,
  observeDuration,
} from "../../../src/metrics/counters.ts";
import { assert, assertEquals } from "../../support/assert.ts";

Deno.test("newCounters() returns every counter at zero, in objects of its own", () => {
  const { protocols, ...parts } = newCounters();
  assertEquals(protocols, {});
  assertEquals(
    Object.entries(parts).map(([part, counts]) => [part, Object.keys(counts)]),
    Object.entries(COUNTERS).map(([part, names]) => [part, Object.keys(names)]),
  );
  assert(Object.values(parts).flatMap(Object.values).every((count) => count === 0));
  assert(newCounters().errors !== newCounters().errors);
});

Deno.test("countersOf() returns the same counters for the same protocol", () => {
  const counters = newCounters();
  countersOf(counters, "http").requests++;
  countersOf(counters, "http").requests++;
  countersOf(counters, "tcp").requests++;
  assertEquals(counters.protocols, {
    http: { requests: 2, responses: {} },
    tcp: { requests: 1, responses: {} },
  });
});

Deno.test("countResponse() counts by status code, and only codes that were sent", () => {
  const counters = countersOf(newCounters(), "http");
  countResponse(counters, 503);
  for (let i = 0; i < 3; i++) countResponse(counters, 200);
  assertEquals(counters.responses, { "200": 3, "503": 1 });
});

Deno.test("observeDuration() counts in the first bucket whose bound is not exceeded", () => {
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
    const counters = countersOf(newCounters(), "http");
    observeDuration(counters, seconds);
    const { buckets, sum } = counters.durations!;
    const expected = Array(BOUNDS.length + 1).fill(0);
    expected[bucket] = 1;
    assertEquals([seconds, buckets, sum], [seconds, expected, seconds]);
  }
});

Deno.test("observeDuration() counts each protocol separately", () => {
  const counters = newCounters();
  const [http, tcp] = ["http", "tcp"].map((protocol) => countersOf(counters, protocol));
  observeDuration(http!, 0.25);
  observeDuration(tcp!, 20);
  observeDuration(http!, 0.5);
  assertEquals([http!.durations!.sum, tcp!.durations!.sum], [0.75, 20]);
  assertEquals(http!.durations!.buckets.reduce((sum, count) => sum + count), 2);
});
