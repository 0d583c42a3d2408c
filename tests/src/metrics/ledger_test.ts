import { newCounters } from "../../../src/metrics/counters.ts";
import { Ledger } from "../../../src/metrics/ledger.ts";
import type { WorkerMetrics } from "../../../src/metrics/worker_metrics.ts";
import { sumCounters } from "../../../src/metrics/aggregate.ts";
import { assert, assertEquals } from "../../support/assert.ts";

/** What an event loop tells that has answered so many checks. */
function counted(responses: number): WorkerMetrics {
  const now = {
    inFlight: 1,
    queued: 0,
    spool: { isHealthy: true, records: { down: 0, drain: 0, weight: 0, expired: 0, faulty: 0 } },
    memory: { rss: 1, heapTotal: 1, heapUsed: 1, external: 1 },
    startedAt: 1000,
    uptime: 1,
  };
  const durations = { http: { buckets: [responses, 0], sum: responses / 4 } };
  return {
    counts: { ...newCounters(), responses: { http: { "200": responses } }, durations },
    now,
  };
}

/** What all have answered, how many have died, and how many say how they are. */
function told(ledger: Ledger<string>, answered: readonly string[]): number[] {
  const loops = ledger.complete(answered);
  const { responses, durations, deaths } = sumCounters([
    newCounters(),
    ...loops.map(({ counts }) => counts),
  ]);
  const count = responses.http?.["200"] ?? 0;
  assertEquals(durations.http?.buckets ?? [0, 0], [count, 0]);
  assertEquals(durations.http?.sum ?? 0, count / 4);
  return [count, deaths, loops.filter(({ now }) => now !== null).length];
}

Deno.test("a ledger tells the last that each event loop has told", () => {
  const ledger = new Ledger<string>();
  assertEquals(told(ledger, []), [0, 0, 0]);
  ledger.record("a", counted(7));
  ledger.record("b", counted(2));
  ledger.record("a", counted(9));
  assertEquals(told(ledger, ["a", "b"]), [11, 0, 2]);
});

Deno.test("who does not answer is told of by what it had counted, and not by how it was", () => {
  const ledger = new Ledger<string>();
  ledger.record("a", counted(7));
  ledger.record("b", counted(2));
  assertEquals(told(ledger, ["b"]), [9, 0, 1]);
  ledger.record("a", counted(8));
  assertEquals(told(ledger, ["a", "b"]), [10, 0, 2]);
});

Deno.test("what an event loop had counted stays when it dies, and once only", () => {
  const ledger = new Ledger<string>();
  ledger.record("a", counted(7));
  ledger.record("b", counted(2));
  ledger.retire("a");
  assertEquals(told(ledger, ["a", "b"]), [9, 1, 1]);
  // One that has told nothing yet.
  ledger.retire("c");
  assertEquals(told(ledger, ["b"]), [9, 2, 1]);
  ledger.record("d", counted(1));
  ledger.retire("b");
  assertEquals(told(ledger, ["d"]), [10, 3, 1]);
});

Deno.test("however many event loops die, they are remembered as one", () => {
  const ledger = new Ledger<string>();
  for (let i = 0; i < 100; i++) {
    ledger.record(String(i), counted(1));
    ledger.retire(String(i));
  }
  assertEquals(told(ledger, []), [100, 100, 0]);
  assertEquals(ledger.complete([]).length, 1);
});

Deno.test("sums change none of what is added up", () => {
  const [a, b] = [counted(1).counts, counted(2).counts];
  const before = structuredClone([a, b]);
  const sum = sumCounters([a, b]);
  assert(sum !== a && sum !== b);
  assertEquals([a, b], before);
});
