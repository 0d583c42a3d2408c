/**
 * What the page shows, as JSON.
 *
 * @module
 */

import type { WorkerOverview, WorkerStatus } from "../daemon/worker_queries.ts";
import type { PermissionsInForce } from "../daemon/permissions.ts";
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
import { sumCounters, worstHealth } from "../metrics/aggregate.ts";
import { VERSION } from "../version.ts";

/** How many downtimes, and how many weights, are shown at most. */
export const MAX_DOWNTIMES_SHOWN = 500;

/** How many services are shown at most. */
export const MAX_SERVICES_SHOWN = 200;

/** How much of a reason is shown, in characters. */
export const MAX_REASON_SHOWN = 500;

/** Whether who looks at the page may change the spool: not at all, not for want of a token, or with that. */
export type Changing = "off" | "no token" | "by token";

/** What an operator has said, as it is shown: what is in force, sorted by name, and how many more there are. */
export interface DowntimesReport {
  readonly downtimes: readonly ActiveDowntime[];
  readonly downtimes_left_out: number;
  readonly weights: readonly ActiveWeight[];
  readonly weights_left_out: number;
}

/** A service that was asked for lately, as it is shown. */
export interface ShownService {
  readonly service: string;
  readonly last: LastResponse | null;
  /** How long the last checks took, in milliseconds, the oldest first: negative for those that came to down. */
  readonly milliseconds: readonly number[];
  /** When the oldest of them was answered, in unix seconds; null where there is none. */
  readonly since: number | null;
}

/** How the daemon is. */
export interface StatusReport {
  /** The time by the daemon's clock, in unix seconds: a browser's may be another. */
  readonly now: number;
  /** For how many seconds it has been running. */
  readonly uptime: number;
  readonly version: string;
  readonly event_loops: number;
  /** What was asked for lately, what does not answer well first. */
  readonly services: readonly ShownService[];
  readonly cache: WorkerStatus["cache"];
  readonly checks: { readonly under_way: number; readonly queued: number };
  readonly spool: WorkerStatus["spool"];
  readonly faults: WorkerStatus["faults"];
  readonly refused: WorkerStatus["refused"];
  readonly listeners: WorkerStatus["listeners"];
  readonly permissions: PermissionsInForce;
  readonly changing: Changing;
}

/**
 * Tells what an operator has said.
 *
 * @param activeEntries What is in force, sorted by name, or the first of it.
 * @param counts How much is in force, if that is not all of it.
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

function shortened<T extends { readonly reason: string }>(marked: readonly T[]): T[] {
  return marked.slice(0, MAX_DOWNTIMES_SHOWN).map((one) => ({ ...one, reason: cut(one.reason) }));
}

function leftOut(count: number): number {
  return Math.max(0, count - MAX_DOWNTIMES_SHOWN);
}

function cut(reason: string): string {
  return reason.length <= MAX_REASON_SHOWN ? reason : `${reason.slice(0, MAX_REASON_SHOWN)}…`;
}

/**
 * Tells how the daemon is.
 *
 * @param loops What each event loop says.
 * @param rest What is the same for all of them.
 */
export function statusReport(
  loops: readonly WorkerOverview[],
  rest: Pick<StatusReport, "now" | "uptime" | "permissions" | "changing">,
): StatusReport {
  const statuses = loops.map(({ status }) => status);
  return {
    ...rest,
    version: VERSION,
    event_loops: loops.length,
    services: failingFirst(merged(loops), MAX_SERVICES_SHOWN).map(shown),
    cache: sumCounters(statuses.map(({ cache }) => cache)),
    checks: {
      under_way: loops.reduce((sum, { underWay }) => sum + underWay, 0),
      queued: statuses.reduce((sum, { queued }) => sum + queued, 0),
    },
    spool: worstHealth(statuses.map(({ spool }) => spool)),
    faults: sumCounters(statuses.map(({ faults }) => faults)),
    refused: sumCounters(statuses.map(({ refused }) => refused)),
    listeners: sumCounters(statuses.map(({ listeners }) => listeners)),
  };
}

/** One report of each service, with what all event loops answered. */
function merged(loops: readonly WorkerOverview[]): ServiceReport[] {
  const reports = new Map<string, ServiceReport>();
  for (const report of loops.flatMap(({ services }) => services)) {
    const known = reports.get(report.service);
    reports.set(report.service, known === undefined ? report : both(known, report));
  }
  return [...reports.values()];
}

function both(one: ServiceReport, other: ServiceReport): ServiceReport {
  const waits = [...one.waits, ...other.waits].sort(([a], [b]) => a - b).slice(-MAX_CHECK_TIMES);
  const isOlder = (one.last?.ts ?? 0) < (other.last?.ts ?? 0);
  return { service: one.service, last: isOlder ? other.last : one.last, waits };
}

function shown({ service, last, waits }: ServiceReport): ShownService {
  return {
    service,
    last,
    milliseconds: waits.map(([, milliseconds]) => Math.round(milliseconds * 100) / 100),
    since: waits[0]?.[0] ?? null,
  };
}
