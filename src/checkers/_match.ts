/**
 * Queries of database checks: `match?role=standby&max_lag=10s`.
 *
 * @module
 */

import type { CheckRequest, Verdict } from "../checks/check.ts";

/** What a query demands: of each name, one of the values. */
export type Demands = ReadonlyMap<string, readonly string[]>;

/** Thrown for a query that cannot be answered. Its message names what was expected. */
export class QueryError extends Error {
  override name = "QueryError";
}

/**
 * Returns what a check demands.
 *
 * @param names The names that a query may have.
 * @returns The demands; null for a path other than `/match`.
 * @throws {QueryError} If the query has no pair, or another name.
 */
export function demandsOf(
  { path }: CheckRequest,
  names: readonly string[],
): Demands | null {
  const [place, query = ""] = path.split("?", 2);
  if (place !== "/match") return null;
  const pairs = new URLSearchParams(query);
  const demands = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    if (!names.includes(name)) {
      const found = JSON.stringify(name.slice(0, 100));
      throw new QueryError(`Bad query: expected ${names.join(", ")}: found ${found}`);
    }
    demands.set(name, [...demands.get(name) ?? [], value]);
  }
  if (demands.size > 0) return demands;
  throw new QueryError(`Bad query: expected match?name=value with one of ${names.join(", ")}`);
}

/**
 * Runs a check if its query is valid.
 *
 * @param parse Parses the query. It may throw a {@linkcode QueryError}.
 * @param check Runs the check, with the parsed query.
 * @returns The verdict; 400 for an invalid query.
 */
export async function withQuery<T>(
  parse: () => T,
  check: (query: T) => Promise<Verdict>,
): Promise<Verdict> {
  let query;
  try {
    query = parse();
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    return { code: 400, message: error.message, reason: "configuration" };
  }
  return await check(query);
}

/**
 * Returns the verdict for what a database reports.
 *
 * @param problem What does not match; undefined if all does.
 * @param found What the database reports.
 */
export function matchVerdict(problem: string | undefined, found: string): Verdict {
  return problem === undefined
    ? { code: 200, message: `Match found: ${found}` }
    : { code: 500, message: `No match: ${problem}`, reason: "unhealthy" };
}
