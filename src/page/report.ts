/**
 * The content of the page, as JSON.
 *
 * @module
 */

import type { CheckSummary } from "../checks/outcomes.ts";
import type { WorkerOverview } from "../server/worker_queries.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import type {
  ActiveDowntime,
  ActiveEntries,
  ActiveEntryCounts,
  ActiveWeight,
} from "../spool/active_entries.ts";
import {
  failingFirst,
  type LastResponse,
  MAX_CHECK_TIMES,
  type ServiceReport,
} from "../metrics/stats.ts";
import { type SharedStatus, statusOf } from "../server/status_pages.ts";
import { VERSION } from "../runtime/version.ts";

/** The most downtimes, and the most weights, that the page shows. */
export const MAX_DOWNTIMES_SHOWN = 500;

/** The most services that the report has. The page gets the others from `/recent`. */
export const MAX_SERVICES_SHOWN = 100;

/** The most failing checks that the report has. */
export const MAX_FAILING_SHOWN = 50;

/** How much of the path of a check the report has, in characters. */
const MAX_PATH_SHOWN = 200;

/** How long no balancer has to ask for a check until that is reported, in seconds. */
const UNASKED_SECONDS = 60;

/** How much of a reason the page shows, in characters. */
export const MAX_REASON_SHOWN = 500;

/** Whether the page may change the spool: no, no because no token is configured, or with the token. */
export type Changing = "off" | "no token" | "by token";

/** The downtimes and weights in force, sorted by name, and how many the page leaves out. */
export interface DowntimesReport {
  readonly downtimes: readonly ActiveDowntime[];
  readonly downtimes_left_out: number;
  readonly weights: readonly ActiveWeight[];
  readonly weights_left_out: number;
}

/** A service that was checked lately, as the page shows it. */
export interface ShownService {
  readonly service: string;
  readonly last: LastResponse | null;
  /** How long the last checks took, in milliseconds, the oldest first; negative for a failure. */
  readonly milliseconds: readonly number[];
  /** When the oldest of these ended, in unix seconds; null if there is none. */
  readonly since: number | null;
}

/** A failing check, as the page shows it. */
export interface ShownFailure extends Omit<CheckSummary, "state" | "asked"> {
  /** When a balancer asked for it last, in unix seconds; null if that was within the last minute. */
  readonly unasked_since: number | null;
  /** The name of the record that keeps it out; null if there is none. */
  readonly kept_out_by: string | null;
}

/** The daemon's state. */
export interface StatusReport extends SharedStatus {
  /** The daemon's time in unix seconds. The browser's clock may differ. */
  readonly now: number;
  /** In seconds. */
  readonly uptime: number;
  readonly version: string;
  readonly event_loops: number;
  /** The services that were checked lately, failures first. */
  readonly services: readonly ShownService[];
  /** Whether more services were checked lately. */
  readonly more_services: boolean;
  /** The failing checks: those that no record explains first, then by the time of their change, latest first. */
  readonly failing: readonly ShownFailure[];
  /** How many more checks fail, at least: several workers may know different ones. */
  readonly failing_left_out: number;
  readonly checks: { readonly under_way: number; readonly queued: number };
  readonly permissions: PermissionsInForce;
  readonly changing: Changing;
}

/**
 * Makes the report of downtimes and weights.
 *
 * @param activeEntries The entries in force, sorted by name, or the first of them.
 * @param counts How many entries are in force, if `activeEntries` does not hold all.
 */
export function downtimesReport(
  { downtimes, weights }: ActiveEntries,
  counts: ActiveEntryCounts = { downtimes: downtimes.length, weights: weights.length },
): DowntimesReport {
  return {
    downtimes: shortened(downtimes),
    downtimes_left_out: leftOut(counts.downtimes),
    weights: shortened(weights),
    weights_left_out: leftOut(counts.weights),
  };
}

function shortened<T extends { readonly reason: string }>(entries: readonly T[]): T[] {
  return entries.slice(0, MAX_DOWNTIMES_SHOWN).map((one) => ({ ...one, reason: cut(one.reason) }));
}

function leftOut(count: number): number {
  return Math.max(0, count - MAX_DOWNTIMES_SHOWN);
}

function cut(reason: string): string {
  return reason.length <= MAX_REASON_SHOWN ? reason : `${reason.slice(0, MAX_REASON_SHOWN)}…`;
}

/**
 * Makes the report of the daemon's state.
 *
 * @param workers The figures of each worker.
 * @param rest What all workers have in common.
 */
export function statusReport(
  workers: readonly WorkerOverview[],
  rest: Pick<StatusReport, "now" | "uptime" | "permissions" | "changing" | "failing">,
): StatusReport {
  const services = merged(workers);
  return {
    ...rest,
    ...statusOf(workers),
    version: VERSION,
    event_loops: workers.length,
    services: failingFirst(services, MAX_SERVICES_SHOWN).map(shown),
    more_services: services.length > MAX_SERVICES_SHOWN ||
      workers.some(({ servicesLeftOut }) => servicesLeftOut > 0),
    failing: rest.failing.slice(0, MAX_FAILING_SHOWN),
    failing_left_out: Math.max(0, rest.failing.length - MAX_FAILING_SHOWN) +
      Math.max(0, ...workers.map(({ failingLeftOut }) => failingLeftOut)),
    checks: {
      under_way: workers.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queued: workers.reduce((sum, { queued }) => sum + queued, 0),
    },
  };
}

/**
 * Makes the report of failing checks.
 *
 * @param latest The last runs of checks that failed lately. A check that has recovered is left out.
 * @param recordOf Returns the name of the record that keeps a check out; null if there is none.
 * @param now The time in unix seconds.
 */
export function failingReport(
  latest: readonly CheckSummary[],
  recordOf: (check: CheckSummary) => string | null,
  now: number,
): ShownFailure[] {
  return latest.filter(({ state }) => state === "down").map((check) => {
    const { state: _, asked, path, ...rest } = check;
    return {
      ...rest,
      path: path.slice(0, MAX_PATH_SHOWN),
      unasked_since: now - asked > UNASKED_SECONDS ? asked : null,
      kept_out_by: recordOf(check),
    };
  }).sort((a, b) =>
    Number(a.kept_out_by !== null) - Number(b.kept_out_by !== null) || b.since - a.since
  );
}

/** One report for each service, from those of all workers. */
function merged(workers: readonly WorkerOverview[]): ServiceReport[] {
  const reports = new Map<string, ServiceReport>();
  for (const report of workers.flatMap(({ services }) => services)) {
    const known = reports.get(report.service);
    reports.set(report.service, known === undefined ? report : both(known, report));
  }
  return [...reports.values()];
}

function both(one: ServiceReport, other: ServiceReport): ServiceReport {
  const checkTimes = [...one.checkTimes, ...other.checkTimes].sort(([a], [b]) => a - b)
    .slice(-MAX_CHECK_TIMES);
  const isOlder = (one.last?.ts ?? 0) < (other.last?.ts ?? 0);
  return { service: one.service, last: isOlder ? other.last : one.last, checkTimes };
}

function shown({ service, last, checkTimes }: ServiceReport): ShownService {
  return {
    service,
    last,
    milliseconds: checkTimes.map(([, milliseconds]) => Math.round(milliseconds * 100) / 100),
    since: checkTimes[0]?.[0] ?? null,
  };
}
