import { VERSION } from "../version.ts";
import type { Counters } from "./counters.ts";
import { BOUNDS } from "./durations.ts";
import type { WorkerMetrics, WorkerState } from "./worker_metrics.ts";

/** The media type of Prometheus' text format. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** How the samples of several workers become one. */
type Aggregator = "sum" | "first" | "min" | "max";

/** A sample of a metric. */
interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** What follows the metric's name: `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix?: string;
}

/** A metric that the daemon exports. */
export interface Metric {
  /** Its name. */
  readonly name: string;
  /** Its type. */
  readonly type: "counter" | "gauge" | "histogram";
  /** The names of its labels. */
  readonly labels: readonly string[];
  /** Its description. */
  readonly help: string;
  /** How the samples of several workers become one. */
  readonly aggregator: Aggregator;
  /** Returns the samples of one worker. */
  readonly of: (worker: WorkerMetrics) => readonly Sample[];
}

/** All metrics, in the order of the page. */
export const METRICS: readonly Metric[] = [
  {
    name: "hacheck_requests_total",
    type: "counter",
    labels: ["protocol", "code"],
    help: "Responses to checks, by protocol and HTTP status.",
    aggregator: "sum",
    of: ({ counts }) =>
      Object.entries(counts.responses).flatMap(([protocol, responses]) =>
        Object.entries(responses).map(([code, value]) => ({ labels: { protocol, code }, value }))
      ),
  },
  {
    name: "hacheck_check_duration_seconds",
    type: "histogram",
    labels: ["protocol"],
    help: "Duration of checks of services, without their time in the queue.",
    aggregator: "sum",
    of: ({ counts }) => histogram(counts.durations),
  },
  gauge("hacheck_checks_in_flight", "Checks of services in flight.", "sum", (now) => now.inFlight),
  gauge("hacheck_checks_queued", "Queued checks.", "sum", (now) => now.queued),
  counter("hacheck_cache_hits_total", "Checks answered from the cache.", ({ cache }) => cache.hits),
  counter(
    "hacheck_cache_misses_total",
    "Checks that found no result to reuse in the cache.",
    ({ cache }) => cache.misses,
  ),
  {
    name: "hacheck_spool_records",
    type: "gauge",
    labels: ["state"],
    help:
      "Records and weights in the spool. An invalid record (faulty) counts as down; a file whose name is not valid counts as faulty and has no effect.",
    aggregator: "first",
    of: ({ now }) => now === null ? [] : labelled("state", now.spool.records),
  },
  gauge(
    "hacheck_spool_healthy",
    "1 if the spool can be read, 0 if its last known state is in use.",
    "min",
    (now) => Number(now.spool.isHealthy),
  ),
  counter(
    "hacheck_refused_targets_total",
    "Checks rejected because check_hosts or check_ports does not allow their target.",
    ({ refused }) => refused.targets,
  ),
  counter(
    "hacheck_refused_clients_total",
    "Requests rejected because allowed_clients does not list the client.",
    ({ refused }) => refused.clients,
  ),
  counter(
    "hacheck_refused_spool_changes_total",
    "Spool changes rejected because the client is not allowed to make them.",
    ({ refused }) => refused.spool_changes,
  ),
  counter(
    "hacheck_refused_large_pages_total",
    "Large pages rejected because too many bytes wait for clients.",
    ({ refused }) => refused.large_pages,
  ),
  {
    name: "hacheck_faults_total",
    type: "counter",
    labels: ["kind"],
    help: "Internal errors of hacheck.",
    aggregator: "sum",
    of: ({ counts }) => labelled("kind", counts.errors),
  },
  counter(
    "hacheck_listener_renewals_total",
    "Rotations: servers replaced to cut hanging connections.",
    ({ listeners }) => listeners.renewals,
  ),
  counter(
    "hacheck_listener_falls_total",
    "Servers that crashed and were replaced.",
    ({ listeners }) => listeners.falls,
  ),
  counter(
    "hacheck_listener_cut_requests_total",
    "Requests in progress that a rotation or a crash cut off.",
    ({ listeners }) => listeners.cut_requests,
  ),
  gauge("hacheck_event_loops", "Workers that answer.", "sum", () => 1),
  counter(
    "hacheck_event_loop_deaths_total",
    "Workers that crashed and were replaced.",
    ({ deaths }) => deaths,
  ),
  gauge(
    "hacheck_uptime_seconds",
    "Time since the daemon started, by a monotonic clock.",
    "max",
    (now) => now.uptime,
  ),
  gauge(
    "hacheck_heap_used_bytes",
    "Memory in use in the heaps of all workers.",
    "sum",
    ({ memory }) => memory.heapUsed,
  ),
  gauge(
    "hacheck_heap_size_bytes",
    "Memory reserved for the heaps of all workers.",
    "sum",
    ({ memory }) => memory.heapTotal,
  ),
  gauge(
    "process_resident_memory_bytes",
    "Resident memory of the process.",
    "first",
    ({ memory }) => memory.rss,
  ),
  gauge(
    "process_start_time_seconds",
    "Start time of the daemon, in unix seconds.",
    "first",
    (now) => now.startedAt,
  ),
  {
    name: "hacheck_build_info",
    type: "gauge",
    labels: ["version", "deno"],
    help: "Always 1; the labels are the versions in use.",
    aggregator: "first",
    of: () => [{ labels: { version: VERSION, deno: Deno.version.deno }, value: 1 }],
  },
];

/**
 * Formats the metrics of all workers in Prometheus' text format.
 *
 * @param workers The metrics of each worker.
 * @param metrics The metrics to export.
 * @returns The text.
 */
export function exposition(
  workers: readonly WorkerMetrics[],
  metrics: readonly Metric[] = METRICS,
): string {
  return metrics.map((metric) => family(metric, workers)).join("");
}

const COMBINE: Readonly<Record<Aggregator, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  first: (a) => a,
  min: Math.min,
  max: Math.max,
};

/** One metric: its help, its type and a line for each series. */
function family({ name, help, type, aggregator, of }: Metric, workers: readonly WorkerMetrics[]) {
  const series = new Map<string, number>();
  for (const { suffix = "", labels, value } of workers.flatMap(of)) {
    const key = `${name}${suffix}${labelSet(labels)}`;
    const known = series.get(key);
    series.set(key, known === undefined ? value : COMBINE[aggregator](known, value));
  }
  const lines = [...series].map(([key, value]) => `${key} ${shown(value)}\n`);
  return `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

/** Infinity is `+Inf` in this format, and `-Inf` below zero. */
function shown(value: number): string {
  return Math.abs(value) === Infinity ? (value > 0 ? "+Inf" : "-Inf") : String(value);
}

function labelSet(labels: Sample["labels"]): string {
  const pairs = Object.entries(labels)
    .map(([name, value]) => `${name}="${escape(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? "" : `{${pairs.join()}}`;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function counter(name: string, help: string, of: (counts: Counters) => number): Metric {
  return {
    ...{ name, type: "counter", labels: [], help, aggregator: "sum" },
    of: ({ counts }) => [{ labels: {}, value: of(counts) }],
  };
}

/** A gauge. Workers that did not answer contribute no sample. */
function gauge(
  name: string,
  help: string,
  aggregator: Aggregator,
  of: (now: WorkerState) => number,
): Metric {
  return {
    ...{ name, type: "gauge", labels: [], help, aggregator },
    of: ({ now }) => now === null ? [] : [{ labels: {}, value: of(now) }],
  };
}

function labelled(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** The series of a histogram. Each bucket includes the smaller ones. */
function histogram(durations: Counters["durations"]): Sample[] {
  return Object.entries(durations).flatMap(([protocol, { buckets, sum }]) => {
    let count = 0;
    const cumulative = buckets.map((checks, i) => {
      const le = String(BOUNDS[i] ?? "+Inf");
      return { suffix: "_bucket", labels: { protocol, le }, value: count += checks };
    });
    const labels = { protocol };
    return [
      ...cumulative,
      { suffix: "_sum", labels, value: sum },
      { suffix: "_count", labels, value: count },
    ];
  });
}
