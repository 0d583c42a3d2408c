import { newCounters } from "../../../src/metrics/counters.ts";
import { CONTENT_TYPE, exposition, METRICS } from "../../../src/metrics/exposition.ts";
import { BOUNDS, Durations } from "../../../src/metrics/durations.ts";
import type { WorkerMetrics } from "../../../src/metrics/worker_metrics.ts";
import { VERSION } from "../../../src/version.ts";
import { assertEquals } from "../../support/assert.ts";
import { samplesOf } from "../../support/metrics.ts";

function loop(factor: number): WorkerMetrics {
  const durations = new Durations();
  for (let i = 0; i < factor; i++) durations.observe("tcp", 0.25);
  return {
    counts: {
      ...newCounters(),
      responses: { tcp: { "200": 10 * factor, "503": factor }, spool: { "200": factor } },
      durations: durations.report(),
      cache: { expirations: 0, sets: 0, gets: 9, hits: 4 * factor, misses: 5 * factor },
    },
    now: {
      inFlight: factor,
      queued: 2 * factor,
      spool: {
        isHealthy: factor === 1,
        records: { down: 3, drain: 1, weight: 4, expired: 2, faulty: 0 },
      },
      memory: { rss: 1000 + factor, heapTotal: 200 * factor, heapUsed: 100 * factor, external: 0 },
      startedAt: 1_700_000_000.25,
      uptime: 10 + factor,
    },
  };
}

Deno.test("event loops are added up where they count, and where each has a part", () => {
  const samples = samplesOf(exposition([loop(1), loop(2)]));
  for (
    const [series, value] of [
      ['hacheck_requests_total{protocol="tcp",code="200"}', 30],
      ['hacheck_requests_total{protocol="tcp",code="503"}', 3],
      ['hacheck_requests_total{protocol="spool",code="200"}', 3],
      ['hacheck_check_duration_seconds_bucket{protocol="tcp",le="0.1"}', 0],
      ['hacheck_check_duration_seconds_bucket{protocol="tcp",le="0.25"}', 3],
      ['hacheck_check_duration_seconds_bucket{protocol="tcp",le="10"}', 3],
      ['hacheck_check_duration_seconds_bucket{protocol="tcp",le="+Inf"}', 3],
      ['hacheck_check_duration_seconds_count{protocol="tcp"}', 3],
      ['hacheck_check_duration_seconds_sum{protocol="tcp"}', 0.75],
      ["hacheck_cache_hits_total", 12],
      ["hacheck_cache_misses_total", 15],
      ["hacheck_checks_in_flight", 3],
      ["hacheck_checks_queued", 6],
      // All look at the same spool.
      ['hacheck_spool_records{state="down"}', 3],
      ['hacheck_spool_records{state="drain"}', 1],
      ['hacheck_spool_records{state="weight"}', 4],
      ["hacheck_spool_healthy", 0],
      ["hacheck_event_loops", 2],
      ["hacheck_uptime_seconds", 12],
      ["hacheck_heap_used_bytes", 300],
      ["hacheck_heap_size_bytes", 600],
      ["process_resident_memory_bytes", 1001],
      ["process_start_time_seconds", 1_700_000_000.25],
      [`hacheck_build_info{version="${VERSION}",deno="${Deno.version.deno}"}`, 1],
    ] as const
  ) {
    assertEquals([series, samples.get(series)], [series, value]);
  }
});

Deno.test("who does not say how it is adds to what was counted, and to nothing else", () => {
  const samples = samplesOf(exposition([{ ...loop(2), now: null }, loop(1)]));
  for (
    const [series, value] of [
      ['hacheck_requests_total{protocol="tcp",code="200"}', 30],
      ["hacheck_checks_in_flight", 1],
      ["hacheck_spool_healthy", 1],
      ["hacheck_event_loops", 1],
      ["process_resident_memory_bytes", 1001],
    ] as const
  ) {
    assertEquals([series, samples.get(series)], [series, value]);
  }
});

Deno.test("the buckets of a histogram hold those of the buckets below them", () => {
  const durations = new Durations();
  for (const seconds of [...BOUNDS, 100]) durations.observe("http", seconds);
  const counts = { ...newCounters(), durations: durations.report() };
  const samples = samplesOf(exposition([{ counts, now: null }]));
  const buckets = [...samples].filter(([series]) => series.includes("_bucket"));
  assertEquals(buckets.map(([, value]) => value), BOUNDS.map((_, i) => i + 1).concat(14));
});

Deno.test("the metrics have names that are each used once, and the content type that they are known by", () => {
  const names = METRICS.map(({ name }) => name);
  assertEquals(names.length, new Set(names).size);
  assertEquals(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
});
