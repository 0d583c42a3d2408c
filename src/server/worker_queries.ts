/**
 * The queries that workers of one daemon send each other, so that any of them can report on all.
 *
 * @module
 */

import type { CheckRequest } from "../checks/check.ts";
import type { Change, ChangeSink, History } from "../checks/history.ts";
import type { CheckIdentity, CheckReport, CheckSummary } from "../checks/outcomes.ts";
import type { Counters } from "../metrics/counters.ts";
import type { RuntimeReport } from "../metrics/runtime.ts";
import type { RecentService, ServiceReport } from "../metrics/stats.ts";
import type { WorkerMetrics } from "../metrics/exposition.ts";
import type { DowntimeRecord, WeightRecord } from "../spool/entry.ts";
import type { Subject } from "../spool/names.ts";
import type { SpoolHealth } from "../spool/watcher.ts";

/** The kinds of query, and the parameter of each. */
export interface WorkerQueries {
  /** The worker's status. */
  status: null;
  /** How often each client requested each service. */
  counts: null;
  /** The services requested within the last so many seconds. */
  recent: number;
  /** The records and the weight of a subject. */
  entry: Subject;
  /** The checks of this service that balancers requested lately. */
  checks: string;
  /** The last results of these checks; null for those of all services. */
  outcomes: string | null;
  /** The changes after that number, of a service or of all. The supervisor has those of all workers. */
  history: { readonly after: number; readonly service: string | null };
  /** Reads the file of this name again. */
  refresh: string;
  /** The state of the runtime. */
  runtime: null;
  /** What `/metrics` exports. */
  metrics: null;
  /** What the page shows, of at most so many services and failing checks. */
  page: { readonly services: number; readonly checks: number };
  /** The last runs of these checks. */
  latest: readonly CheckIdentity[];
}

/** The result of each kind of query. */
export interface WorkerResults {
  status: WorkerStatus;
  /** Requests, by service and client. */
  counts: Record<string, Record<string, number>>;
  recent: RecentService[];
  entry: EntryReport;
  checks: readonly CheckRequest[];
  outcomes: readonly CheckReport[];
  history: readonly Change[];
  /** Whether the worker now knows what the file contains. */
  refresh: boolean;
  runtime: RuntimeReport;
  metrics: WorkerMetrics;
  page: WorkerOverview;
  latest: readonly CheckSummary[];
}

/** A record, and the name of its file. */
export interface NamedRecord extends DowntimeRecord {
  readonly name: string;
}

/** The records and the weight of a subject. */
export interface EntryReport extends Subject {
  /** Its own record; null if it has none, or an expired one. */
  readonly record: DowntimeRecord | null;
  /** The record that takes it down, its own or one of more services; null if it is up. */
  readonly kept_out_by: NamedRecord | null;
  /** Its own weight; null if it has none, or an expired one. */
  readonly weight: WeightRecord | null;
  /** The weight that agent checks report, its own or one of more services; null for an invalid one. */
  readonly agent_weight: number | null;
  /** When a balancer last requested a check of the service, in unix seconds; null if none has. */
  readonly last_asked: number | null;
}

/** The status of a worker. */
export interface WorkerStatus {
  /** What it has counted. */
  readonly counters: Counters;
  /** Number of checks of services in flight. */
  readonly inFlight: number;
  /** Number of queued checks. */
  readonly queued: number;
  /** Health of its view of the spool. */
  readonly spool: SpoolHealth;
}

/** What the page shows of a worker. */
export interface WorkerOverview extends WorkerStatus {
  /** The services requested lately. */
  readonly services: readonly ServiceReport[];
  /** How many more services were requested lately. */
  readonly servicesLeftOut: number;
  /** Failing checks that balancers requested lately. */
  readonly failing: readonly CheckSummary[];
  /** How many more checks fail. */
  readonly failingLeftOut: number;
}

/** The kinds of query that each worker answers. */
export type WorkerQuery = Exclude<keyof WorkerQueries, "history">;

/** Answers some kinds of query. */
type Handlers<Kinds extends keyof WorkerQueries> = {
  readonly [Kind in Kinds]: (detail: WorkerQueries[Kind]) => WorkerResults[Kind];
};

/** Answers each kind of query for one worker. */
export type QueryHandlers = Handlers<WorkerQuery>;

/** Sends a query to all workers and returns their results: at once, if there is only one worker. */
export type QueryWorkers = <Kind extends keyof WorkerQueries>(
  kind: Kind,
  detail: WorkerQueries[Kind],
) => WorkerResults[Kind][] | Promise<WorkerResults[Kind][]>;

/** How a worker reaches the others of its daemon. */
export interface Workers {
  /** Queries all workers. */
  readonly query: QueryWorkers;
  /** Receives the changes that the worker sees. */
  readonly changes: ChangeSink;
}

/**
 * Connects the only worker of a daemon with itself.
 *
 * @param handlers Answers queries.
 * @param history The history of the daemon.
 */
export function singleWorker(handlers: QueryHandlers, history: History): Workers {
  const all: Handlers<keyof WorkerQueries> = {
    ...handlers,
    history: ({ after, service }) => history.changes(after, service),
  };
  return { query: (kind, detail) => [all[kind](detail)], changes: history };
}
