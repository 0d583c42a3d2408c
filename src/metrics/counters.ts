import type { DurationCounts } from "./durations.ts";

/**
 * Creates all counters of one worker, at zero. To add a counter, add it here, where it is incremented, to
 * `METRICS` and to the docs.
 *
 * @returns The counters. Each part is incremented in place by its owner.
 */
export function newCounters() {
  return {
    /** Responses to checks, by protocol and status code; read from `Stats`. */
    responses: {} as Record<string, Record<string, number>>,
    /** How long checks of services took, by protocol; read from `Durations`. */
    durations: {} as Record<string, DurationCounts>,
    /** Lookups in the result cache. */
    cache: {
      /** Lookups that found an expired result. */
      expirations: 0,
      /** Results stored. */
      sets: 0,
      /** Lookups. */
      gets: 0,
      /** Lookups that found a result to reuse. */
      hits: 0,
      /** Lookups that did not. A failure that the client was sent before is a miss. */
      misses: 0,
    },
    /** Events of the listeners. */
    listeners: {
      /** Rotations: servers replaced to cut hanging connections. */
      renewals: 0,
      /** Crashed servers that were replaced. */
      falls: 0,
      /** Requests in progress that a rotation or crash cut off. */
      cut_requests: 0,
    },
    /** Rejected requests. */
    refused: {
      /** Checks of targets that `check_hosts` and `check_ports` do not allow. */
      targets: 0,
      /** Requests of clients that `allowed_clients` does not list. */
      clients: 0,
      /** Spool changes that the client was not allowed to make. */
      spool_changes: 0,
      /** Large pages, since too many bytes waited for clients. */
      large_pages: 0,
    },
    /** Internal errors of hacheck. */
    errors: {
      /** Checkers that threw. */
      checks: 0,
      /** Spool changes by POST that failed. */
      spool_changes: 0,
      /** Uncaught errors. */
      unforeseen: 0,
      /** Log lines that could not be written. */
      lost_log_lines: 0,
    },
    /** Workers that crashed; counted by the supervisor. */
    deaths: 0,
  };
}

/** What one worker has counted since it started. The names are those of `/status`, but for `errors`. */
export type Counters = ReturnType<typeof newCounters>;

/** Counts lookups in the result cache. */
export type CacheCounters = Counters["cache"];

/** Counts rotations and crashes of listeners. */
export type ListenerCounters = Counters["listeners"];

/** Counts rejected requests, by what was not allowed. */
export type RefusalCounters = Counters["refused"];

/** Counts internal errors. */
export type InternalErrorCounters = Counters["errors"];
