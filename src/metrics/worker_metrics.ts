import type { Counters } from "./counters.ts";

/** What one worker reports to `/metrics`. */
export interface WorkerMetrics {
  /** What it has counted since it started. */
  readonly counts: Counters;
  /** Its state; null for a worker that did not answer or has crashed. */
  readonly now: WorkerState | null;
}

/** The state of a worker. Times are in seconds, sizes in bytes. */
export interface WorkerState {
  /** Checks of services in flight. */
  readonly inFlight: number;
  /** Queued checks. */
  readonly queued: number;
  /** Its view of the spool. */
  readonly spool: {
    /** Whether the spool can be read. */
    readonly isHealthy: boolean;
    /** Number of records and weights, by state. */
    readonly records: Readonly<Record<string, number>>;
  };
  /** Memory in use; `rss` is that of the whole process. */
  readonly memory: Deno.MemoryUsage;
  /** When the daemon started, in unix seconds. */
  readonly startedAt: number;
  /** How long it has been running, by a monotonic clock. */
  readonly uptime: number;
}
