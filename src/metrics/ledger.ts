import { sumCounters } from "./aggregate.ts";
import { type Counters, newCounters, type WorkerMetrics } from "./worker_metrics.ts";

/**
 * Remembers what event loops have told last, so that what they have counted together never goes back: not
 * when one of them dies, and not when one is too busy to answer. A count that goes back is taken for a
 * restart by who reads it, and all that was counted before for new.
 *
 * @example
 * ```ts
 * import { Ledger } from "./ledger.ts";
 * import { newCounters } from "./worker_metrics.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const ledger = new Ledger<string>();
 * ledger.told("a", { counts: { ...newCounters(), answers: { tcp: { "200": 7 } } }, now: null });
 * ledger.died("a");
 * const [gone] = ledger.complete([]);
 * assertEquals([gone?.counts.answers, gone?.counts.deaths], [{ tcp: { "200": 7 } }, 1]);
 * ```
 */
export class Ledger<Loop> {
  readonly #last = new Map<Loop, WorkerMetrics>();
  #gone: Counters = newCounters();

  /**
   * Takes what an event loop tells.
   *
   * @param loop The event loop.
   * @param metrics What it tells.
   */
  told(loop: Loop, metrics: WorkerMetrics): void {
    this.#last.set(loop, metrics);
  }

  /**
   * Takes over what an event loop had counted.
   *
   * @param loop The event loop.
   */
  died(loop: Loop): void {
    const { counts } = this.#last.get(loop) ?? { counts: newCounters() };
    this.#last.delete(loop);
    this.#gone = sumCounters([this.#gone, { ...counts, deaths: 1 }]);
  }

  /**
   * Tells what all have counted, and how those are that have just answered.
   *
   * @param answered Who they are.
   * @returns The metrics of each event loop that has ever told any, and of all that have died together.
   */
  complete(answered: Iterable<Loop>): WorkerMetrics[] {
    const present = new Set(answered);
    const living = [...this.#last].map(([loop, metrics]) =>
      present.has(loop) ? metrics : { ...metrics, now: null }
    );
    return [...living, { counts: this.#gone, now: null }];
  }
}
