/**
 * What several event loops say, as one.
 *
 * @module
 */

import type { SpoolHealth } from "../spool/watcher.ts";

/**
 * Adds up counters that have the same names, those within others and lists of them included.
 *
 * @param counts Those of each event loop, of which there is one at least.
 * @returns Their sums. What only some of them have is taken of these.
 *
 * @example
 * ```ts
 * import { sumCounters } from "./aggregate.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const answers: Record<string, Record<string, number>>[] = [
 *   { http: { "200": 2 } },
 *   { http: { "200": 1, "503": 1 }, tcp: {} },
 * ];
 * assertEquals(sumCounters(answers), { http: { "200": 3, "503": 1 }, tcp: {} });
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

/**
 * The health of the event loop that knows the spool least.
 *
 * @param healths Those of each event loop, of which there is one at least.
 */
export function worstHealth(healths: readonly SpoolHealth[]): SpoolHealth {
  return healths.find(({ healthy }) => !healthy) ??
    healths.find(({ faulty }) => faulty > 0) ??
    healths.find(({ watched }) => !watched) ?? healths[0]!;
}
