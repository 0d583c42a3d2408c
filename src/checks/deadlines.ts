/** Something that is to be over in time. */
interface Pending {
  /** By when, by `performance.now()`. */
  readonly due: number;
  /** What is done otherwise. */
  readonly expire: () => void;
}

/** From how many milliseconds on a timer is so late that the program must have been stalled. */
const STALL_MS = 20;

/** How long what came during a stall has to be read before a deadline is enforced, in milliseconds. */
const REPRIEVE_MS = 20;

/**
 * Sees to it that whatever begins is over after the same time, or is told.
 *
 * One timer serves all that are under way at once, the one for the oldest: to set one for each and to clear it
 * again takes 8 µs of the 80 of a tcp check.
 *
 * @example
 * ```ts
 * import { Deadlines } from "./deadlines.ts";
 *
 * const deadlines = new Deadlines(1000);
 * using _deadline = deadlines.begin(() => console.log("took more than a second"));
 * ```
 */
export class Deadlines {
  readonly #patience: number;
  /** The oldest first, since all have the same time. */
  readonly #pending = new Set<Pending>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param patience After how many milliseconds. */
  constructor(patience: number) {
    this.#patience = patience;
  }

  /**
   * Begins.
   *
   * @param expire Is called if it is not over in time.
   * @returns What to dispose of when it is over.
   */
  begin(expire: () => void): Disposable {
    const pending: Pending = { due: performance.now() + this.#patience, expire };
    this.#pending.add(pending);
    if (this.#pending.size === 1) this.#wait();
    return { [Symbol.dispose]: () => this.#end(pending) };
  }

  #end(pending: Pending): void {
    this.#pending.delete(pending);
    if (this.#pending.size === 0) this.#wait();
  }

  /** Waits for the oldest, if there is one. It may be over by then, and another the oldest. */
  #wait(): void {
    clearTimeout(this.#timer);
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, oldest.due - performance.now()));
  }

  #look(): void {
    const now = performance.now();
    const [oldest] = this.#pending;
    // After a stall timers come first, and what was received in time is still to be read.
    if (oldest !== undefined && now - oldest.due > STALL_MS) {
      this.#timer = setTimeout(() => this.#expire(now), REPRIEVE_MS);
    } else {
      this.#expire(now);
    }
  }

  #expire(now: number): void {
    for (const pending of this.#pending) {
      if (pending.due > now) break;
      this.#pending.delete(pending);
      pending.expire();
    }
    this.#wait();
  }
}
