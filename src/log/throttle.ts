/** How long a {@linkcode LogThrottle} keeps silent after a line, in milliseconds. */
export const THROTTLE_MS = 10_000;

/** Limits how often one kind of event is logged. The next line counts the events between. */
export class LogThrottle {
  readonly #now: () => number;
  #loggedAt = -Infinity;
  #suppressed = 0;

  /** @param now Returns the time in milliseconds, by a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Logs an event, unless one was logged within the last {@linkcode THROTTLE_MS}.
   *
   * @param log Logs it. Its argument ends the message: how many events were not logged, or nothing.
   */
  once(log: (others: string) => void): void {
    const now = this.#now();
    if (now - this.#loggedAt < THROTTLE_MS) {
      this.#suppressed++;
      return;
    }
    const others = this.#suppressed;
    this.#loggedAt = now;
    this.#suppressed = 0;
    log(others === 0 ? "" : ` (and ${others} more since the last such line)`);
  }
}
