/** An operation in flight. */
interface Pending {
  /** Its deadline, by `performance.now()`. */
  readonly due: number;
  /** Is called when the deadline passes. */
  readonly expire: () => void;
}

/** A timer that is this late, in milliseconds, shows that the event loop was stalled. */
const STALL_MS = 20;

/** How long after a stall the program has to read what was received meanwhile, in milliseconds. */
const REPRIEVE_MS = 20;

/**
 * Deadlines of operations with one timeout in common. One timer, that of the oldest operation, serves all.
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
  readonly #timeoutMs: number;
  /** The oldest first, since all have the same timeout. */
  readonly #pending = new Set<Pending>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs The time that each operation has, in milliseconds. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Starts the timeout of an operation.
   *
   * @param expire Is called when the timeout passes.
   * @returns The deadline, to be disposed of when the operation ends.
   */
  begin(expire: () => void): Disposable {
    const pending: Pending = { due: performance.now() + this.#timeoutMs, expire };
    this.#pending.add(pending);
    if (this.#pending.size === 1) this.#schedule();
    return { [Symbol.dispose]: () => this.#end(pending) };
  }

  #end(pending: Pending): void {
    this.#pending.delete(pending);
    if (this.#pending.size === 0) this.#schedule();
  }

  /** Sets the timer for the oldest operation, if there is one. When it fires, another may be the oldest. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, oldest.due - performance.now()));
  }

  #onTimer(): void {
    const now = performance.now();
    const [oldest] = this.#pending;
    // After a stall timers fire before sockets are read, and a response may have come in time.
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
    this.#schedule();
  }
}
