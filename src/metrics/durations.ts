/** Up to how many seconds a check takes to belong to which bucket. The last one has no bound. */
export const BOUNDS: readonly number[] = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
];

/** How long the checks of one protocol took. */
export interface DurationCounts {
  /** How many belong to each of {@linkcode BOUNDS}, and how many took longer. */
  readonly buckets: number[];
  /** How many seconds they took together. */
  sum: number;
}

/**
 * Counts how long services were asked.
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
   * @param protocol The protocol's name, one of those there are.
   * @param seconds How long it took.
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
   * Tells what was counted.
   *
   * @returns By the protocol's name.
   */
  report(): Record<string, DurationCounts> {
    return structuredClone(Object.fromEntries(this.#protocols));
  }
}
