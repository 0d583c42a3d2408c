/**
 * What one event loop tells of itself to who measures.
 *
 * @module
 */

import { type CacheCounters, newCacheCounters } from "../checks/cache.ts";
import { type InternalErrorCounters, newInternalErrorCounters } from "./counters.ts";
import type { RefusalCounters } from "../server/refusals.ts";
import { type ListenerCounters, newListenerCounters } from "../server/listener.ts";
import type { RecordState } from "../spool/watcher.ts";
import type { DurationCounts } from "./durations.ts";

/** What an event loop tells. */
export interface WorkerMetrics {
  /** What it has counted since it began. */
  readonly counts: Counters;
  /** How it is; null for one that does not say any more, or not now. */
  readonly now: WorkerState | null;
}

/** What an event loop has counted. */
export interface Counters {
  /** Checks answered, by protocol and status code. */
  readonly answers: Record<string, Record<string, number>>;
  /** How long services were asked, by protocol. */
  readonly durations: Record<string, DurationCounts>;
  /** What its cache has done. */
  readonly cache: CacheCounters;
  /** What has become of its servers. */
  readonly listeners: ListenerCounters;
  /** How many requests it has refused. */
  readonly refused: RefusalCounters;
  /** How often it was at fault itself. */
  readonly faults: InternalErrorCounters;
  /** How many of it have died. */
  readonly deaths: number;
}

/** How an event loop is. Times are in seconds, sizes in bytes. */
export interface WorkerState {
  /** How many checks of services are under way. */
  readonly underWay: number;
  /** How many wait for a place. */
  readonly queued: number;
  /** What it knows of the spool. */
  readonly spool: {
    /** Whether that is what the files say. */
    readonly isHealthy: boolean;
    /** How many records there are, by what they do. */
    readonly records: Readonly<Record<RecordState, number>>;
  };
  /** What it uses; `rss` is that of the whole process. */
  readonly memory: Deno.MemoryUsage;
  /** When the daemon was started, in unix seconds. */
  readonly startedAt: number;
  /** For how long it has been running, by a clock that nobody sets. */
  readonly uptime: number;
}

/**
 * Begins to count.
 *
 * @returns Counts, all of them zero.
 */
export function newCounters(): Counters {
  return {
    answers: {},
    durations: {},
    cache: newCacheCounters(),
    listeners: newListenerCounters(),
    refused: { targets: 0, clients: 0, spool_changes: 0 },
    faults: newInternalErrorCounters(),
    deaths: 0,
  };
}
