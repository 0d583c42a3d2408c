import { sumCounters } from "./aggregate.ts";
import { type Counters, newCounters } from "./counters.ts";
import type { WorkerMetrics } from "./exposition.ts";

/**
 * Keeps the last counters of each worker, so that their sum never decreases when a worker crashes or does
 * not answer in time. Prometheus takes a decrease for a restart and would count everything again.
 *
 * @example
 * ```ts
 * import { newCounters } from "./counters.ts";
 * import { Ledger } from "./ledger.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const ledger = new Ledger<string>();
 * const counters = newCounters();
 * counters.cache.hits = 7;
 * ledger.record("a", { counters, now: null });
 * ledger.retire("a");
 * const [retired] = ledger.complete([]);
 * assertEquals([retired?.counters.cache.hits, retired?.counters.workers.deaths], [7, 1]);
 * ```
 */
export class Ledger<Worker> {
  readonly #last = new Map<Worker, WorkerMetrics>();
  #retired: Counters = newCounters();

  /** Stores what a worker has just reported. */
  record(worker: Worker, metrics: WorkerMetrics): void {
    this.#last.set(worker, metrics);
  }

  /** Adds the counters of a crashed worker to those of all crashed workers. */
  retire(worker: Worker): void {
    const { counters } = this.#last.get(worker) ?? { counters: newCounters() };
    this.#last.delete(worker);
    this.#retired = sumCounters([this.#retired, { ...counters, workers: { deaths: 1 } }]);
  }

  /**
   * Returns the counters of all workers, and the state of those that have just answered.
   *
   * @returns The metrics of each running worker, and last those of all crashed workers together.
   */
  complete(answered: Iterable<Worker>): WorkerMetrics[] {
    const present = new Set(answered);
    const running = [...this.#last].map(([worker, metrics]) =>
      present.has(worker) ? metrics : { ...metrics, now: null }
    );
    return [...running, { counters: this.#retired, now: null }];
  }
}
