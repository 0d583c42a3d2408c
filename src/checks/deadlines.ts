import { type Clock, systemClock } from "../runtime/clock.ts";

/** An operation in flight. */
interface Pending {
  /** Its deadline, by the clock. */
  readonly due: number;
  /** Is called when the deadline passes. */
  readonly expire: () => void;
}

/** How long the program reads on after a deadline, in milliseconds: after a stall, timers fire before sockets are read. */
const SETTLE_MS = 20;

/** The same if the timer was late: several messages of a login or a TLS handshake may be outstanding. */
const STALLED_SETTLE_MS = 100;

/** A timer that is so late, in milliseconds, shows a stall, after which the program reads on once more. */
const STALL_MS = 10;

/** How often the program reads on at most. */
const MAX_SETTLES = 10;

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
  readonly #clock: Clock;
  /** The oldest first, since all have the same timeout. */
  readonly #pending = new Set<Pending>();
  #cancelTimer: (() => void) | undefined;

  /**
   * @param timeoutMs The time that each operation has, in milliseconds.
   * @param clock The clock.
   */
  constructor(timeoutMs: number, clock: Clock = systemClock) {
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /**
   * Starts the timeout of an operation.
   *
   * @param expire Is called when the timeout passes.
   * @returns The deadline, to be disposed of when the operation ends.
   */
  begin(expire: () => void): Disposable {
    const pending: Pending = { due: this.#clock.now() + this.#timeoutMs, expire };
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
    this.#cancelTimer?.();
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    const delay = Math.max(0, oldest.due - this.#clock.now());
    const due = this.#clock.now() + delay;
    this.#cancelTimer = this.#clock.after(delay, () => this.#settle(this.#clock.now() - due, 1));
  }

  /** Reads on until the program has not stalled for a moment. Then the deadlines from before that moment pass. */
  #settle(late: number, settles: number): void {
    const start = this.#clock.now();
    const delay = late > STALL_MS ? STALLED_SETTLE_MS : SETTLE_MS;
    this.#cancelTimer = this.#clock.after(delay, () => {
      const late = this.#clock.now() - start - delay;
      if (late > STALL_MS && settles < MAX_SETTLES) this.#settle(late, settles + 1);
      else this.#expire(start);
    });
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
