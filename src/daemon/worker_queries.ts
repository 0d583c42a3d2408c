/**
 * What the event loops of one daemon ask each other, so that any of them can speak for all.
 *
 * @module
 */

import type { CacheCounters } from "../checks/cache.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import type { InternalErrorCounters } from "../metrics/counters.ts";
import type { WorkerMetrics } from "../metrics/worker_metrics.ts";
import type { RuntimeReport } from "../metrics/runtime.ts";
import type { ListenerCounters } from "../server/listener.ts";
import type { RefusalCounters } from "../server/refusals.ts";
import type { ActiveEntries } from "../spool/active_entries.ts";
import type { Subject } from "../spool/names.ts";
import type { DowntimeRecord, WeightRecord } from "../spool/entry.ts";
import type { SpoolHealth } from "../spool/watcher.ts";
import type { RecentService, ServiceReport } from "../metrics/stats.ts";

/** What can be asked of an event loop, and what goes with the question. */
export interface WorkerQueries {
  /** How are you? */
  status: null;
  /** Who asked you for what? */
  counts: null;
  /** What were you asked for in the last so many seconds? */
  recent: number;
  /** What do you say of this? */
  spool: Subject;
  /** What weight is this to have? */
  weight: Subject;
  /** Which records does this have, and what keeps it out? */
  entry: Subject;
  /** Which checks of this service did balancers ask for lately? */
  checks: string;
  /** What has an operator marked, or given a weight? */
  downtimes: null;
  /** Read this record or weight again. */
  refresh: string;
  /** How is your runtime? */
  runtime: null;
  /** What have you counted, and what is there to measure? */
  metrics: null;
  /** What is there to see on the page, of this many services at most? */
  page: number;
}

/** What an event loop answers. */
export interface WorkerResults {
  /** To `status`. */
  status: WorkerStatus;
  /** To `counts`: how often, by service and client. */
  counts: Record<string, Record<string, number>>;
  /** To `recent`. */
  recent: RecentService[];
  /** To `spool`. */
  spool: Verdict;
  /** To `weight`: from 0 to 100; null where the file does not tell. */
  weight: number | null;
  /** To `entry`. */
  entry: EntryReport;
  /** To `checks`. */
  checks: readonly CheckRequest[];
  /** To `downtimes`. */
  downtimes: ActiveEntries;
  /** To `refresh`: whether what is known of the record is what its file says. */
  refresh: boolean;
  /** To `runtime`. */
  runtime: RuntimeReport;
  /** To `metrics`. */
  metrics: WorkerMetrics;
  /** To `page`. */
  page: WorkerOverview;
}

/** A record, and the name of its file. */
export interface NamedRecord extends DowntimeRecord {
  readonly name: string;
}

/** What the spool says of one thing. */
export interface EntryReport extends Subject {
  /** Its own record; null if it has none that is in force. */
  readonly record: DowntimeRecord | null;
  /** The record that keeps it out of service, its own or a wider one; null if none does. */
  readonly kept_out_by: NamedRecord | null;
  /** Its own weight; null if it has none that is in force. */
  readonly weight: WeightRecord | null;
  /** When a balancer last asked for the service, in unix seconds; null if none has. */
  readonly last_asked: number | null;
}

/** How an event loop is. */
export interface WorkerStatus {
  /** What its cache has done. */
  readonly cache: CacheCounters;
  /** How many checks wait for a place. */
  readonly queued: number;
  /** How well it knows the spool. */
  readonly spool: SpoolHealth;
  /** What has become of its servers. */
  readonly listeners: ListenerCounters;
  /** How many requests it has refused. */
  readonly refused: RefusalCounters;
  /** How often it was at fault itself. */
  readonly faults: InternalErrorCounters;
}

/** What the page shows of an event loop. */
export interface WorkerOverview {
  /** How it is. */
  readonly status: WorkerStatus;
  /** How many checks of services are under way. */
  readonly underWay: number;
  /** What it was asked for lately. */
  readonly services: readonly ServiceReport[];
}

/** One event loop's answers. */
export type QueryHandlers = {
  readonly [Kind in keyof WorkerQueries]: (detail: WorkerQueries[Kind]) => WorkerResults[Kind];
};

/** Asks all event loops, and gathers what they answer: at once, if there is only one. */
export type QueryWorkers = <Kind extends keyof WorkerQueries>(
  kind: Kind,
  detail: WorkerQueries[Kind],
) => WorkerResults[Kind][] | Promise<WorkerResults[Kind][]>;

/**
 * For an event loop without peers.
 *
 * @param respondent The event loop.
 */
export function querySingle(respondent: QueryHandlers): QueryWorkers {
  return (kind, detail) => [respondent[kind](detail)];
}

/**
 * Goes on with a value, at once if it is there already.
 *
 * @param value The value, or the promise of one.
 * @param next What to do with it.
 */
export function mapAwaitable<T, U>(
  value: T | Promise<T>,
  next: (value: T) => U | Promise<U>,
): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
