/** For how long, in milliseconds, no more is told of the same. */
export const SILENCE_MS = 10_000;

/** Tells of what may happen often one time at a time, with how often it happened meanwhile. */
export class Seldom {
  readonly #now: () => number;
  #toldAt = -Infinity;
  #untold = 0;

  /** @param now Tells the time in milliseconds, by a clock that nobody sets. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Tells of something, unless that was done just now.
   *
   * @param tell Tells it; is given words to end with, which say how often it went untold.
   */
  tell(tell: (others: string) => void): void {
    const now = this.#now();
    if (now - this.#toldAt < SILENCE_MS) {
      this.#untold++;
      return;
    }
    const others = this.#untold;
    this.#toldAt = now;
    this.#untold = 0;
    tell(others === 0 ? "" : ` (and ${others} more since this was last told)`);
  }
}
