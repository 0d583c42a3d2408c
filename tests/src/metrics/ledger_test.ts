import { newCounters } from "../../../src/metrics/counters.ts";
import type { WorkerMetrics } from "../../../src/metrics/exposition.ts";
import { Ledger } from "../../../src/metrics/ledger.ts";
import { sumCounters } from "../../../src/metrics/aggregate.ts";
import { assert, assertEquals } from "../../support/assert.ts";

/** The report of a worker that has sent so many responses. */
function reportOf(responses: number): WorkerMetrics {
  const now = {
    inFlight: 1,
    queued: 0,
    spool: { healthy: true },
    records: { down: 0, drain: 0, weight: 0, expired: 0, faulty: 0 },
    ...{ checks: [], downtimes: [], leftOut: { services: 0, records: 0 } },
    ...{ hasReloaded: true, certificateExpiry: null },
    memory: { rss: 1, heapTotal: 1, heapUsed: 1, external: 1 },
    startedAt: 1000,
    uptime: 1,
  };
  const http = {
    requests: responses,
    responses: { "200": responses },
    durations: { buckets: [responses, 0], sum: responses / 4 },
  };
  return { counters: { ...newCounters(), protocols: { http } }, now };
}

/** The sums of a ledger: responses, crashed workers, and workers that report their state. */
function sumsOf(ledger: Ledger<string>, answered: readonly string[]): number[] {
  const workers = ledger.complete(answered);
  const { protocols: { http }, workers: { deaths } } = sumCounters([
    newCounters(),
    ...workers.map(({ counters }) => counters),
  ]);
  const count = http?.responses["200"] ?? 0;
  assertEquals(http?.requests ?? 0, count);
  assertEquals(http?.durations ?? { buckets: [0, 0], sum: 0 }, {
    buckets: [count, 0],
    sum: count / 4,
  });
  return [count, deaths, workers.filter(({ now }) => now !== null).length];
}

Deno.test("Ledger.complete() returns the last report of each worker", () => {
  const ledger = new Ledger<string>();
  assertEquals(sumsOf(ledger, []), [0, 0, 0]);
  ledger.record("a", reportOf(7));
  ledger.record("b", reportOf(2));
  ledger.record("a", reportOf(9));
  assertEquals(sumsOf(ledger, ["a", "b"]), [11, 0, 2]);
});

Deno.test("Ledger.complete() returns only the counters of a worker that did not answer", () => {
  const ledger = new Ledger<string>();
  ledger.record("a", reportOf(7));
  ledger.record("b", reportOf(2));
  assertEquals(sumsOf(ledger, ["b"]), [9, 0, 1]);
  ledger.record("a", reportOf(8));
  assertEquals(sumsOf(ledger, ["a", "b"]), [10, 0, 2]);
});

Deno.test("Ledger.retire() keeps the counters of a crashed worker, and counts them once", () => {
  const ledger = new Ledger<string>();
  ledger.record("a", reportOf(7));
  ledger.record("b", reportOf(2));
  ledger.retire("a");
  assertEquals(sumsOf(ledger, ["a", "b"]), [9, 1, 1]);
  // A worker that has not reported yet.
  ledger.retire("c");
  assertEquals(sumsOf(ledger, ["b"]), [9, 2, 1]);
  ledger.record("d", reportOf(1));
  ledger.retire("b");
  assertEquals(sumsOf(ledger, ["d"]), [10, 3, 1]);
});

Deno.test("Ledger.retire() keeps one sum for all crashed workers", () => {
  const ledger = new Ledger<string>();
  for (let i = 0; i < 100; i++) {
    ledger.record(String(i), reportOf(1));
    ledger.retire(String(i));
  }
  assertEquals(sumsOf(ledger, []), [100, 100, 0]);
  assertEquals(ledger.complete([]).length, 1);
});

Deno.test("sumCounters() does not change its arguments", () => {
  const [a, b] = [reportOf(1).counters, reportOf(2).counters];
  const before = structuredClone([a, b]);
  const sum = sumCounters([a, b]);
  assert(sum !== a && sum !== b);
  assertEquals([a, b], before);
});
