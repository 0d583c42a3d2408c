import type { CheckRequest, Verdict } from "../checks/check.ts";
import { demandsOf, matchVerdict, QueryError } from "./_match.ts";

/** The role of a PostgreSQL, and how far it is behind its primary. */
export interface PostgresRole {
  /** Whether it replays the changes of a primary. */
  readonly isStandby: boolean;
  /** The lag in seconds; null if it is unknown. */
  readonly lag: number | null;
}

/** The role that a check demands. */
export interface RoleDemand {
  /** The roles of which one must match; undefined for any. */
  readonly roles: readonly string[] | undefined;
  /** The greatest lag in seconds; undefined for any. */
  readonly maxLag: number | undefined;
}

/**
 * Reads the role and the lag, as an ordinary user may. A standby that has replayed all that it received from a running
 * WAL receiver has no lag, however long ago the last change was.
 */
export const ROLE_STATEMENT = "SELECT pg_is_in_recovery(), CASE " +
  "WHEN NOT pg_is_in_recovery() THEN 0 " +
  "WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() " +
  "AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 0 " +
  "ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END";

/** The factors of units of time, in seconds. A number without a unit is one of seconds. */
const UNITS: ReadonlyMap<string | undefined, number> = new Map([
  [undefined, 1],
  ["ms", 0.001],
  ["s", 1],
  ["m", 60],
]);

/**
 * Returns the role that a check demands.
 *
 * @returns The role; null if the check has no query.
 * @throws {QueryError} If the query is invalid.
 */
export function roleDemandOf(request: CheckRequest): RoleDemand | null {
  const demands = demandsOf(request, ["role", "max_lag"]);
  if (demands === null) return null;
  const roles = demands.get("role");
  const wrong = roles?.find((role) => role !== "primary" && role !== "standby");
  if (wrong !== undefined) {
    const found = JSON.stringify(wrong.slice(0, 100));
    throw new QueryError(`Bad role: expected primary or standby: found ${found}`);
  }
  const lags = demands.get("max_lag")?.map(secondsOf);
  return { roles, maxLag: lags === undefined ? undefined : Math.max(...lags) };
}

function secondsOf(text: string): number {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m)?$/.exec(text) ?? [];
  const factor = UNITS.get(unit);
  if (digits !== undefined && factor !== undefined) return Number(digits) * factor;
  const found = JSON.stringify(text.slice(0, 100));
  throw new QueryError(`Bad max_lag: expected a duration such as 10s or 500ms: found ${found}`);
}

/** Returns the verdict for a role. */
export function judgeRole({ isStandby, lag }: PostgresRole, demand: RoleDemand): Verdict {
  const role = isStandby ? "standby" : "primary";
  const { roles, maxLag } = demand;
  const lagText = lag === null ? "unknown" : `${lag.toFixed(3)} s`;
  let problem;
  if (roles !== undefined && !roles.includes(role)) {
    problem = `role is ${role}, expected ${roles.join(" or ")}`;
  } else if (maxLag !== undefined && !(lag !== null && lag <= maxLag)) {
    problem = `lag is ${lagText}, expected at most ${maxLag} s`;
  }
  return matchVerdict(problem, `role ${role}, lag ${lagText}`);
}
