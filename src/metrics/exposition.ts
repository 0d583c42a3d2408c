import { VERSION } from "../version.ts";
import { BOUNDS } from "./durations.ts";
import type { Counters, WorkerMetrics, WorkerState } from "./worker_metrics.ts";

/** What Prometheus' text format is called over HTTP. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** How the figures of several event loops become one. */
type Aggregator = "sum" | "first" | "min" | "max";

/** A figure. */
interface Value {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** The series, where that is not the metric itself: a histogram's. */
  readonly metricName?: string;
}

/** A metric, and what one event loop says of it. */
interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: Metric["type"];
  readonly aggregator: Aggregator;
  readonly values: readonly Value[];
}

/** What is taken of prom-client, which has no types for this module of it alone. */
interface PromClient {
  aggregate(loops: readonly (readonly Family[])[]): { metrics(): Promise<string> };
}

/** A metric that the daemon tells. */
export interface Metric {
  /** Its name. */
  readonly name: string;
  /** What kind of figure it is. */
  readonly type: "counter" | "gauge" | "histogram";
  /** The names of its labels. */
  readonly labels: readonly string[];
  /** What it means. */
  readonly help: string;
  /** How the figures of several event loops become one. */
  readonly aggregator: Aggregator;
  /** What one event loop says of it. */
  readonly of: (loop: WorkerMetrics) => readonly Value[];
}

/** All metrics, in the order of the page. */
export const METRICS: readonly Metric[] = [
  {
    name: "hacheck_requests_total",
    type: "counter",
    labels: ["protocol", "code"],
    help: "Checks answered, by protocol and HTTP status.",
    aggregator: "sum",
    of: ({ counts }) =>
      Object.entries(counts.answers).flatMap(([protocol, answers]) =>
        Object.entries(answers).map(([code, value]) => ({ labels: { protocol, code }, value }))
      ),
  },
  {
    name: "hacheck_check_duration_seconds",
    type: "histogram",
    labels: ["protocol"],
    help: "How long services were asked, without the wait for a place.",
    aggregator: "sum",
    of: ({ counts }) => histogram("hacheck_check_duration_seconds", counts.durations),
  },
  gauge("hacheck_checks_in_flight", "Checks of services under way.", "sum", (now) => now.underWay),
  gauge("hacheck_checks_queued", "Checks that wait for a place.", "sum", (now) => now.queued),
  counter("hacheck_cache_hits_total", "Checks answered from the cache.", ({ cache }) => cache.hits),
  counter(
    "hacheck_cache_misses_total",
    "Checks that found nothing to reuse in the cache.",
    ({ cache }) => cache.misses,
  ),
  {
    name: "hacheck_spool_records",
    type: "gauge",
    labels: ["state"],
    help:
      "Records and weights in the spool; a record that is faulty is down, a file whose name is no record's counts as faulty and has no effect.",
    aggregator: "first",
    of: ({ now }) => now === null ? [] : labelled("state", now.spool.records),
  },
  gauge(
    "hacheck_spool_healthy",
    "1 if the spool can be read, 0 if what was known last stays in force.",
    "min",
    (now) => Number(now.spool.isHealthy),
  ),
  counter(
    "hacheck_refused_targets_total",
    "Checks refused for what they were to connect to.",
    ({ refused }) => refused.targets,
  ),
  counter(
    "hacheck_refused_clients_total",
    "Requests refused for who asked.",
    ({ refused }) => refused.clients,
  ),
  counter(
    "hacheck_refused_spool_changes_total",
    "Changes of the spool refused for who asked.",
    ({ refused }) => refused.spool_changes,
  ),
  {
    name: "hacheck_faults_total",
    type: "counter",
    labels: ["kind"],
    help: "How often hacheck itself was at fault.",
    aggregator: "sum",
    of: ({ counts }) => labelled("kind", counts.faults),
  },
  counter(
    "hacheck_listener_renewals_total",
    "Servers replaced to cut connections that hung on them.",
    ({ listeners }) => listeners.renewals,
  ),
  counter(
    "hacheck_listener_falls_total",
    "Servers that fell and were served anew.",
    ({ listeners }) => listeners.falls,
  ),
  counter(
    "hacheck_listener_cut_requests_total",
    "Requests cut off while they were being answered.",
    ({ listeners }) => listeners.cut_requests,
  ),
  gauge("hacheck_event_loops", "Event loops that answer.", "sum", () => 1),
  counter(
    "hacheck_event_loop_deaths_total",
    "Event loops that died and were replaced.",
    ({ deaths }) => deaths,
  ),
  gauge(
    "hacheck_uptime_seconds",
    "How long the daemon has been running, by a clock that nobody sets.",
    "max",
    (now) => now.uptime,
  ),
  gauge(
    "hacheck_heap_used_bytes",
    "Memory in use by the heaps of the event loops.",
    "sum",
    ({ memory }) => memory.heapUsed,
  ),
  gauge(
    "hacheck_heap_size_bytes",
    "Memory held by the heaps of the event loops.",
    "sum",
    ({ memory }) => memory.heapTotal,
  ),
  gauge(
    "process_resident_memory_bytes",
    "Memory that the process holds of the machine.",
    "first",
    ({ memory }) => memory.rss,
  ),
  gauge(
    "process_start_time_seconds",
    "When the daemon was started, in unix seconds.",
    "first",
    (now) => now.startedAt,
  ),
  {
    name: "hacheck_build_info",
    type: "gauge",
    labels: ["version", "deno"],
    help: "1, labelled with what runs.",
    aggregator: "first",
    of: () => [{ labels: { version: VERSION, deno: Deno.version.deno }, value: 1 }],
  },
];

/**
 * Writes down what event loops tell, in Prometheus' text format.
 *
 * @param loops What each of them tells.
 * @returns The text.
 */
export async function exposition(loops: readonly WorkerMetrics[]): Promise<string> {
  const client: PromClient = (await import("prom-client")).default;
  return await client.aggregate(loops.map(familiesOf)).metrics();
}

function familiesOf(loop: WorkerMetrics): Family[] {
  return METRICS.map(({ name, help, type, aggregator, of }) => {
    return { name, help, type, aggregator, values: of(loop) };
  });
}

function counter(name: string, help: string, of: (counts: Counters) => number): Metric {
  return {
    ...{ name, type: "counter", labels: [], help, aggregator: "sum" },
    of: ({ counts }) => [{ labels: {}, value: of(counts) }],
  };
}

/** One that who does not answer says nothing of. */
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

function labelled(label: string, values: Readonly<Record<string, number>> | object): Value[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** The series of a histogram: how many took at most so long, how long all took, and how many there were. */
function histogram(name: string, durations: Counters["durations"]): Value[] {
  return Object.entries(durations).flatMap(([protocol, { buckets, sum }]) => {
    let count = 0;
    const upTo = buckets.map((belonging, i) => {
      const le = String(BOUNDS[i] ?? "+Inf");
      return { metricName: `${name}_bucket`, labels: { protocol, le }, value: count += belonging };
    });
    const labels = { protocol };
    return [
      ...upTo,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  });
}
