/** The upper bounds of the buckets, in seconds. A last bucket has none. */
export const BOUNDS: readonly number[] = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
];

/** The durations of the checks of one protocol. */
export interface DurationCounts {
  /** The number of checks in each bucket of {@linkcode BOUNDS}, and above the last bound. */
  readonly buckets: number[];
  /** Their sum in seconds. */
  sum: number;
}

/**
 * Counts the durations of checks, by protocol.
 *
 * @example
 * ```ts
 * import { Durations } from "./durations.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const durations = new Durations();
 * durations.observe("http", 0.75);
 * assertEquals(durations.report().http?.sum, 0.75);
 * ```
 */
export class Durations {
  readonly #protocols = new Map<string, DurationCounts>();

  /**
   * Counts a check.
   *
   * @param protocol The protocol's name, which is bounded by the list of protocols.
   * @param seconds Its duration.
   */
  observe(protocol: string, seconds: number): void {
    let counts = this.#protocols.get(protocol);
    if (counts === undefined) {
      counts = { buckets: Array(BOUNDS.length + 1).fill(0), sum: 0 };
      this.#protocols.set(protocol, counts);
    }
    const bucket = BOUNDS.findIndex((bound) => seconds <= bound);
    counts.buckets[bucket < 0 ? BOUNDS.length : bucket]!++;
    counts.sum += seconds;
  }

  /**
   * Returns a copy of the counts, by protocol.
   */
  report(): Record<string, DurationCounts> {
    return structuredClone(Object.fromEntries(this.#protocols));
  }
}
