import { VERSION } from "../runtime/version.ts";
import { BOUNDS, COUNTERS, type Counters } from "./counters.ts";

/** What one worker reports to `/metrics`. */
export interface WorkerMetrics {
  /** What it has counted since it started. */
  readonly counters: Counters;
  /** Its state; null for a worker that did not answer or has crashed. */
  readonly now: WorkerState | null;
}

/** The state of a worker. Times are in seconds, sizes in bytes. */
export interface WorkerState {
  /** Checks of services in flight. */
  readonly inFlight: number;
  /** Queued checks. */
  readonly queued: number;
  /** Whether the spool can be read. */
  readonly spool: { readonly healthy: boolean };
  /** Number of records and weights, by state. */
  readonly records: Readonly<Record<string, number>>;
  /** The states of checks, of the first services. */
  readonly checks: readonly CheckStatus[];
  /** The first records in force. */
  readonly downtimes: readonly { name: string; mode: string; creation: number | null }[];
  /** How many services and records are in neither. */
  readonly leftOut: { readonly services: number; readonly records: number };
  /** Whether the last configuration was accepted. */
  readonly hasReloaded: boolean;
  /** When the certificate expires, in unix seconds; null without one. */
  readonly certificateExpiry: number | null;
  /** Memory in use; `rss` is that of the whole process. */
  readonly memory: Deno.MemoryUsage;
  /** When the daemon started, in unix seconds. */
  readonly startedAt: number;
  /** How long it has been running, by a monotonic clock. */
  readonly uptime: number;
}

/** The state of a check. */
export interface CheckStatus {
  readonly service: string;
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Whether the last run was good. */
  readonly isUp: boolean;
  /** When it ended, in unix seconds. */
  readonly at: number;
}

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
    ...counter("hacheck_requests_total", "Responses to checks, by protocol and HTTP status."),
    labels: ["protocol", "code"],
    of: ({ counters: { protocols } }) =>
      Object.entries(protocols).flatMap(([protocol, { responses }]) =>
        Object.entries(responses).map(([code, value]) => ({ labels: { protocol, code }, value }))
      ),
  },
  {
    name: "hacheck_check_duration_seconds",
    type: "histogram",
    labels: ["protocol"],
    help: "Duration of checks of services, without their time in the queue.",
    aggregator: "sum",
    of: ({ counters }) => histograms(counters),
  },
  {
    ...counter("hacheck_check_failures_total", "Failed checks of services, by reason."),
    labels: ["protocol", "reason"],
    of: ({ counters: { protocols } }) =>
      Object.entries(protocols).flatMap(([protocol, { failures = {} }]) =>
        Object.entries(failures).map(([reason, value]) => ({ labels: { protocol, reason }, value }))
      ),
  },
  {
    name: "hacheck_check_up",
    type: "gauge",
    labels: ["service", "port", "protocol"],
    help: "1 if the last check of the service was good, whatever the spool says, else 0.",
    aggregator: "min",
    of: ({ now }) =>
      (now?.checks ?? []).map(({ service, port, protocol, isUp }) => ({
        labels: { service, port: String(port), protocol },
        value: Number(isUp),
      })),
  },
  gauge(
    "hacheck_services_left_out",
    "Services without hacheck_check_up, since metrics_services is lower.",
    "max",
    ({ leftOut }) => leftOut.services,
  ),
  {
    ...counter("hacheck_agent_checks_total", "Agent checks, by the first word of the response."),
    labels: ["answer"],
    of: ({ counters }) => labelled("answer", counters.agent_checks),
  },
  gauge("hacheck_checks_in_flight", "Checks of services in flight.", "sum", (now) => now.inFlight),
  gauge("hacheck_checks_queued", "Queued checks.", "sum", (now) => now.queued),
  {
    name: "hacheck_spool_records",
    type: "gauge",
    labels: ["state"],
    help:
      "Records and weights in the spool. An invalid record (faulty) counts as down; a file whose name is not valid counts as faulty and has no effect.",
    aggregator: "first",
    of: ({ now }) => now === null ? [] : labelled("state", now.records),
  },
  gauge(
    "hacheck_spool_healthy",
    "1 if the spool can be read, 0 if its last known state is in use.",
    "min",
    (now) => Number(now.spool.healthy),
  ),
  {
    name: "hacheck_downtime_start_seconds",
    type: "gauge",
    labels: ["name", "mode"],
    help: "When a record in force was created, in unix seconds.",
    aggregator: "first",
    of: ({ now }) =>
      (now?.downtimes ?? []).flatMap(({ name, mode, creation }) =>
        creation === null ? [] : [{ labels: { name, mode }, value: creation }]
      ),
  },
  gauge(
    "hacheck_downtimes_left_out",
    "Records in force without hacheck_downtime_start_seconds, since metrics_services is lower.",
    "first",
    ({ leftOut }) => leftOut.records,
  ),
  ...countersOfPart("cache", "hacheck_cache"),
  ...countersOfPart("refused", "hacheck_refused"),
  ...countersOfPart("listeners", "hacheck_listener"),
  ...countersOfPart("workers", "hacheck_event_loop"),
  {
    ...counter("hacheck_faults_total", "Internal errors of hacheck."),
    labels: ["kind"],
    of: ({ counters }) => labelled("kind", counters.errors),
  },
  gauge(
    "hacheck_config_last_reload_successful",
    "1 if the last configuration was accepted, 0 if the one before it is still in force.",
    "min",
    (now) => Number(now.hasReloaded),
  ),
  {
    name: "hacheck_tls_certificate_expiry_seconds",
    type: "gauge",
    labels: [],
    help: "When the certificate in tls_cert expires, in unix seconds.",
    aggregator: "min",
    of: ({ now }) =>
      now === null || now.certificateExpiry === null
        ? []
        : [{ labels: {}, value: now.certificateExpiry }],
  },
  gauge("hacheck_event_loops", "Workers that answer.", "sum", () => 1),
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

/** Formats the metrics of all workers in Prometheus' text format. */
export function exposition(
  workers: readonly WorkerMetrics[],
  metrics: readonly Metric[] = METRICS,
): string {
  const merged = withNewestChecks(workers);
  return metrics.map((metric) => family(metric, merged)).join("");
}

/** Keeps the state of each check only for the worker that ran it last. */
function withNewestChecks(workers: readonly WorkerMetrics[]): readonly WorkerMetrics[] {
  if (workers.length === 1) return workers;
  const identify = ({ service, protocol, host, port, path }: CheckStatus) =>
    JSON.stringify([service, protocol, host, port, path]);
  const newest = new Map<string, CheckStatus>();
  for (const check of workers.flatMap(({ now }) => now?.checks ?? [])) {
    const key = identify(check);
    if (check.at > (newest.get(key)?.at ?? -Infinity)) newest.set(key, check);
  }
  const kept = new Set(newest.values());
  return workers.map(({ counters, now }) => ({
    counters,
    now: now === null ? null : { ...now, checks: now.checks.filter((check) => kept.has(check)) },
  }));
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

function counter(name: string, help: string): Omit<Metric, "labels" | "of"> {
  return { name, type: "counter", help, aggregator: "sum" };
}

/** The metrics of a part of the counters. */
function countersOfPart(
  part: Exclude<keyof typeof COUNTERS, "errors" | "agent_checks">,
  prefix: string,
): Metric[] {
  return Object.entries<string | null>(COUNTERS[part]).flatMap(([name, help]) =>
    help === null ? [] : {
      ...counter(`${prefix}_${name}_total`, help),
      labels: [],
      of: (
        { counters },
      ) => [{ labels: {}, value: (counters[part] as Record<string, number>)[name]! }],
    }
  );
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

/** The series of all histograms. Each bucket includes the smaller ones. */
function histograms({ protocols }: Counters): Sample[] {
  return Object.entries(protocols).flatMap(([protocol, { durations }]) => {
    if (durations === undefined) return [];
    const labels = { protocol };
    let count = 0;
    const cumulative = durations.buckets.map((checks, i) => ({
      suffix: "_bucket",
      labels: { protocol, le: String(BOUNDS[i] ?? "+Inf") },
      value: count += checks,
    }));
    return [
      ...cumulative,
      { suffix: "_sum", labels, value: durations.sum },
      { suffix: "_count", labels, value: count },
    ];
  });
}
