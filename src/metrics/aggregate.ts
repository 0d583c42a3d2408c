/**
 * Combines the reports of several workers into one.
 *
 * @module
 */

/**
 * Adds up counters with the same names, nested ones and lists included.
 *
 * @param counts The counters of each worker; at least one.
 * @returns The sums. A counter that only some workers have is summed over those.
 *
 * @example
 * ```ts
 * import { sumCounters } from "./aggregate.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const responses: Record<string, Record<string, number>>[] = [
 *   { http: { "200": 2 } },
 *   { http: { "200": 1, "503": 1 }, tcp: {} },
 * ];
 * assertEquals(sumCounters(responses), { http: { "200": 3, "503": 1 }, tcp: {} });
 * ```
 */
export function sumCounters<Counts extends object>(counts: readonly Counts[]): Counts {
  return counts.reduce((sum, one) => added(sum, one) as Counts);
}

function added(a: unknown, b: unknown): unknown {
  if (typeof a === "number") return a + (b as number);
  if (Array.isArray(a)) return a.map((value, i) => added(value, (b as unknown[])[i]));
  const sum = { ...a as Record<string, unknown> };
  for (const [name, value] of Object.entries(b as Record<string, unknown>)) {
    sum[name] = Object.hasOwn(sum, name) ? added(sum[name], value) : value;
  }
  return sum;
}

/** The part of a spool's health that decides which worker's is worst. */
interface Health {
  readonly healthy: boolean;
  readonly faulty: number;
  readonly watched: boolean;
}

/**
 * Finds the worst health of the spool.
 *
 * @param healths The health that each worker reports; at least one.
 * @returns One that is unhealthy, else one with invalid records, else one that is not watched, else the first.
 */
export function worstHealth<H extends Health>(healths: readonly H[]): H {
  return healths.find(({ healthy }) => !healthy) ??
    healths.find(({ faulty }) => faulty > 0) ??
    healths.find(({ watched }) => !watched) ?? healths[0]!;
}
