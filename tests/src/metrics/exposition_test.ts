import {
  BOUNDS,
  countersOf,
  countFailure,
  newCounters,
  observeDuration,
} from "../../../src/metrics/counters.ts";
import {
  type CheckStatus,
  CONTENT_TYPE,
  exposition,
  type Metric,
  METRICS,
  type WorkerMetrics,
} from "../../../src/metrics/exposition.ts";
import { VERSION } from "../../../src/runtime/version.ts";
import { assertEquals } from "../../support/assert.ts";
import { samplesOf } from "../../support/metrics.ts";

function check(service: string, at: number, isUp: boolean): CheckStatus {
  return { service, protocol: "http", host: "127.0.0.1", port: 80, path: "/", isUp, at };
}

function worker(factor: number): WorkerMetrics {
  const counters = newCounters();
  const [tcp, spool] = ["tcp", "spool"].map((protocol) => countersOf(counters, protocol));
  Object.assign(tcp!.responses, { "200": 10 * factor, "503": factor });
  Object.assign(spool!.responses, { "200": factor });
  for (let i = 0; i < factor; i++) observeDuration(tcp!, 0.25);
  for (let i = 0; i < factor; i++) countFailure(tcp!, "refused");
  counters.agent_checks.ready = factor;
  return {
    counters: {
      ...counters,
      cache: { expirations: 0, sets: 0, gets: 9, hits: 4 * factor, misses: 5 * factor },
    },
    now: {
      inFlight: factor,
      queued: 2 * factor,
      spool: { healthy: factor === 1 },
      records: { down: 3, drain: 1, weight: 4, expired: 2, faulty: 0 },
      checks: [check("web", 1000 + factor, factor === 2), check("db", 1000 - factor, factor === 2)],
      downtimes: [
        { name: "web", mode: "down", creation: 1_700_000_000 },
        { name: "by-hand", mode: "drain", creation: null },
      ],
      leftOut: { services: factor, records: 5 },
      ...{ hasReloaded: factor === 1, certificateExpiry: 1_900_000_000 + factor },
      memory: { rss: 1000 + factor, heapTotal: 200 * factor, heapUsed: 100 * factor, external: 0 },
      startedAt: 1_700_000_000.25,
      uptime: 10 + factor,
    },
  };
}

Deno.test("exposition() combines the samples of workers as each metric declares", () => {
  const samples = samplesOf(exposition([worker(1), worker(2)]));
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
      ['hacheck_check_failures_total{protocol="tcp",reason="refused"}', 3],
      // The worker that ran a check last decides.
      ['hacheck_check_up{service="web",port="80",protocol="http"}', 1],
      ['hacheck_check_up{service="db",port="80",protocol="http"}', 0],
      ["hacheck_services_left_out", 2],
      ['hacheck_downtime_start_seconds{name="web",mode="down"}', 1_700_000_000],
      ['hacheck_downtime_start_seconds{name="by-hand",mode="drain"}', undefined],
      ["hacheck_downtimes_left_out", 5],
      ["hacheck_config_last_reload_successful", 0],
      ["hacheck_tls_certificate_expiry_seconds", 1_900_000_001],
      ['hacheck_agent_checks_total{answer="ready"}', 3],
      ['hacheck_agent_checks_total{answer="none"}', 0],
      ["hacheck_cache_hits_total", 12],
      ["hacheck_cache_misses_total", 15],
      ["hacheck_checks_in_flight", 3],
      ["hacheck_checks_queued", 6],
      // All workers read the same spool.
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

Deno.test("exposition() exports only the counters of a worker that did not answer", () => {
  const samples = samplesOf(exposition([{ ...worker(2), now: null }, worker(1)]));
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

Deno.test("exposition() includes the smaller buckets in each bucket of a histogram", () => {
  const counters = newCounters();
  const http = countersOf(counters, "http");
  for (const seconds of [...BOUNDS, 100]) observeDuration(http, seconds);
  const samples = samplesOf(exposition([{ counters, now: null }]));
  const buckets = [...samples].filter(([series]) => series.includes("_bucket"));
  assertEquals(buckets.map(([, value]) => value), BOUNDS.map((_, i) => i + 1).concat(14));
});

Deno.test("METRICS has unique names, and CONTENT_TYPE is that of the text format", () => {
  const names = METRICS.map(({ name }) => name);
  assertEquals(names.length, new Set(names).size);
  assertEquals(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
});

Deno.test("exposition() escapes help and label values", () => {
  const metric = (aggregator: Metric["aggregator"]): Metric => ({
    ...{ name: "m", type: "gauge", labels: ["path"], aggregator },
    help: 'a \\ "quoted"\nhelp',
    of: ({ counters: { workers } }) => [
      { labels: { path: 'C:\\ "x"\ny' }, value: workers.deaths },
    ],
  });
  const workers = [2, Infinity, 1].map((deaths) => ({
    counters: { ...newCounters(), workers: { deaths } },
    now: null,
  }));
  const head = '# HELP m a \\\\ "quoted"\\nhelp\n# TYPE m gauge\n';
  const series = 'm{path="C:\\\\ \\"x\\"\\ny"}';
  assertEquals(exposition([], [metric("sum")]), head);
  for (
    const [aggregator, value] of [["first", "2"], ["min", "1"], ["max", "+Inf"], ["sum", "+Inf"]]
  ) {
    const text = exposition(workers, [metric(aggregator as Metric["aggregator"])]);
    assertEquals(text, `${head}${series} ${value}\n`);
  }
});
