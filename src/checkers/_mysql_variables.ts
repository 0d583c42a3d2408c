import type { CheckRequest, Verdict } from "../checks/check.ts";
import { type Demands, demandsOf, matchVerdict } from "./_match.ts";

/** The system variables that a query may name. */
const VARIABLES: readonly string[] = ["read_only", "super_read_only", "offline_mode"];

/** The status variables that a query may name: those of Galera. */
const STATUSES: readonly string[] = [
  "wsrep_local_state",
  "wsrep_local_state_comment",
  "wsrep_ready",
  "wsrep_connected",
  "wsrep_cluster_status",
];

/** How many rows, with their framing, the server sends at most. */
export const MAX_RESULT_PACKETS = 100;

/** A row of the statements. */
export interface VariableRow {
  readonly Variable_name: string;
  readonly Value: string;
}

/**
 * Returns the variables that a check demands.
 *
 * @returns The variables; null if the check has no query.
 * @throws {QueryError} If the query is invalid.
 */
export function variableDemandsOf(request: CheckRequest): Demands | null {
  return demandsOf(request, [...VARIABLES, ...STATUSES]);
}

/** Returns the statements that read what is demanded. Nothing of the query is a part of them. */
export function statementsFor(demands: Demands): string[] {
  const among = (names: readonly string[]) => names.some((name) => demands.has(name));
  const list = (names: readonly string[]) => names.map((name) => `'${name}'`).join(", ");
  return [
    ...among(VARIABLES)
      ? [`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${list(VARIABLES)})`]
      : [],
    ...among(STATUSES) ? [`SHOW GLOBAL STATUS WHERE Variable_name IN (${list(STATUSES)})`] : [],
  ];
}

/** Returns the verdict for the values of variables. Case makes no difference: `on` is `ON`. */
export function judgeVariables(rows: readonly VariableRow[], demands: Demands): Verdict {
  const values = new Map(
    rows.map(({ Variable_name, Value }) => [Variable_name.toLowerCase(), Value]),
  );
  for (const [name, wanted] of demands) {
    const value = values.get(name);
    if (wanted.some((one) => one.toLowerCase() === value?.toLowerCase())) continue;
    const found = value === undefined ? "missing" : JSON.stringify(value.slice(0, 100));
    return matchVerdict(`${name} is ${found}, expected ${wanted.join(" or ")}`, "");
  }
  const found = [...demands.keys()].map((name) => `${name} ${values.get(name)}`);
  return matchVerdict(undefined, found.join(", "));
}
