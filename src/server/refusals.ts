import type { Log } from "../log.ts";
import { newCounters, type RefusalCounters } from "../metrics/counters.ts";

/** For how long, in milliseconds, no more is told of the same kind. */
export const REPORT_INTERVAL_MS = 10_000;

/** Counts who is refused, and tells it: of each kind one line at a time, however many there are. */
export class Refusals {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #told = new Map<keyof RefusalCounters, { at: number; counted: number }>();

  /** How many there were. */
  readonly counters: RefusalCounters;

  /**
   * @param log Where they are told.
   * @param counters Counts them.
   * @param now Tells the time in milliseconds, by a clock that nobody sets.
   */
  constructor(
    log: Log,
    counters: RefusalCounters = newCounters().refused,
    now: () => number = () => performance.now(),
  ) {
    this.counters = counters;
    this.#log = log;
    this.#now = now;
  }

  /**
   * Counts one more.
   *
   * @param kind What was refused.
   * @param client The address of who asked.
   * @param why Why.
   */
  report(kind: keyof RefusalCounters, client: string, why: string): void {
    const counted = ++this.counters[kind];
    const told = this.#told.get(kind);
    const at = this.#now();
    if (told !== undefined && at - told.at < REPORT_INTERVAL_MS) return;
    const others = counted - (told?.counted ?? 0) - 1;
    this.#told.set(kind, { at, counted });
    this.#log.warning("refused {client}: {why}{others}", {
      client,
      why,
      others: others === 0 ? "" : ` (and ${others} others since the last such line)`,
    });
  }
}
