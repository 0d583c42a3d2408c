/**
 * What several event loops say, as one.
 *
 * @module
 */

import type { SpoolHealth } from "./spool/view.ts";

/**
 * The sums of counters that have the same names.
 *
 * @param counters Those of each event loop, of which there is one at least.
 */
export function sumOf<Name extends string>(
  counters: readonly Readonly<Record<Name, number>>[],
): Record<Name, number> {
  const sum: Record<Name, number> = { ...counters[0]! };
  for (const one of counters.slice(1)) {
    for (const name of Object.keys(sum) as Name[]) sum[name] += one[name];
  }
  return sum;
}

/**
 * The health of the event loop that knows the spool least.
 *
 * @param healths Those of each event loop, of which there is one at least.
 */
export function worstOf(healths: readonly SpoolHealth[]): SpoolHealth {
  return healths.find(({ healthy }) => !healthy) ??
    healths.find(({ faulty }) => faulty > 0) ??
    healths.find(({ watched }) => !watched) ?? healths[0]!;
}
