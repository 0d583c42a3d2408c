/**
 * All counters of a worker, by their names in `/status`: each with the help of its metric, or null if it has no metric
 * of its own. To add a counter, add it here, where it is incremented, and to docs/metrics.md.
 */
export const COUNTERS = {
  /** Lookups in the result cache. A failure that the client was sent before is a miss. */
  cache: {
    expirations: null,
    sets: null,
    gets: null,
    hits: "Checks answered from the cache.",
    misses: "Checks that found no result to reuse in the cache.",
  },
  /** Events of the listeners. */
  listeners: {
    renewals: "Rotations: servers replaced to cut hanging connections.",
    falls: "Servers that crashed and were replaced.",
    cut_requests: "Requests in progress that a rotation or a crash cut off.",
  },
  /** Rejected requests. */
  refused: {
    targets: "Checks rejected because check_hosts or check_ports does not allow their target.",
    clients: "Requests rejected because allowed_clients does not list the client.",
    spool_changes: "Spool changes rejected because the client is not allowed to make them.",
    large_pages: "Large pages rejected because too many bytes wait for clients.",
  },
  /** Internal errors: checkers that threw, failed changes by POST, uncaught errors, unwritten log lines. */
  errors: {
    checks: null,
    spool_changes: null,
    unforeseen: null,
    lost_log_lines: null,
  },
  /** Agent checks, by the first word of the response; none without a response. */
  agent_checks: {
    ready: null,
    drain: null,
    maint: null,
    down: null,
    none: null,
  },
  /** Workers, counted by the supervisor. */
  workers: {
    deaths: "Workers that crashed and were replaced.",
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string | null>>>>;

/** What one worker has counted since it started. */
export type Counters =
  & { readonly [Part in keyof typeof COUNTERS]: Record<keyof typeof COUNTERS[Part], number> }
  & { readonly protocols: Record<string, ProtocolCounters> };

/** The counters of one protocol. */
export interface ProtocolCounters {
  /** Accepted requests. */
  requests: number;
  /** Responses, rejected requests included, by status code. */
  readonly responses: Record<string, number>;
  /** Durations of checks of services; absent before the first. */
  durations?: DurationCounts;
  /** Failed checks of services, by reason; absent before the first. */
  failures?: Record<string, number>;
}

/** Durations of checks. */
export interface DurationCounts {
  /** The number of checks in each bucket of {@linkcode BOUNDS}, and above the last bound. */
  readonly buckets: number[];
  /** Their sum in seconds. */
  sum: number;
}

/** The upper bounds of the buckets, in seconds. A last bucket has none. */
export const BOUNDS: readonly number[] = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
];

/** Counts lookups in the result cache. */
export type CacheCounters = Counters["cache"];

/** Counts rotations and crashes of listeners. */
export type ListenerCounters = Counters["listeners"];

/** Counts rejected requests, by what was not allowed. */
export type RefusalCounters = Counters["refused"];

/** Counts agent checks by their responses. */
export type AgentCheckCounters = Counters["agent_checks"];

/** Counts internal errors. */
export type InternalErrorCounters = Counters["errors"];

/**
 * Creates all counters of one worker, at zero.
 *
 * @returns The counters. Each part is incremented in place by its owner.
 */
export function newCounters(): Counters {
  const parts = Object.entries(COUNTERS).map(([part, names]) => [
    part,
    Object.fromEntries(Object.keys(names).map((name) => [name, 0])),
  ]);
  return { ...Object.fromEntries(parts), protocols: {} };
}

/**
 * Finds the counters of a protocol.
 *
 * @param protocol The name of a known protocol.
 * @returns The same object for the same protocol.
 */
export function countersOf(
  { protocols }: Pick<Counters, "protocols">,
  protocol: string,
): ProtocolCounters {
  return protocols[protocol] ??= { requests: 0, responses: {} };
}

/** Counts a response. */
export function countResponse({ responses }: ProtocolCounters, code: number): void {
  responses[code] = (responses[code] ?? 0) + 1;
}

/** Counts a failed check. */
export function countFailure(counters: ProtocolCounters, reason: string = "status"): void {
  const failures = counters.failures ??= {};
  failures[reason] = (failures[reason] ?? 0) + 1;
}

/** Counts the duration of a check. */
export function observeDuration(counters: ProtocolCounters, seconds: number): void {
  const durations = counters.durations ??= { buckets: Array(BOUNDS.length + 1).fill(0), sum: 0 };
  const bucket = BOUNDS.findIndex((bound) => seconds <= bound);
  durations.buckets[bucket < 0 ? BOUNDS.length : bucket]!++;
  durations.sum += seconds;
}
