/** Time and timers. Tests pass a clock that they advance. */
export interface Clock {
  /** Returns the time in milliseconds, by a monotonic clock. */
  now(): number;
  /**
   * Calls a function once, after a delay.
   *
   * @returns Cancels the call.
   */
  after(milliseconds: number, callback: () => void): () => void;
  /**
   * Calls a function at intervals.
   *
   * @returns Ends the calls.
   */
  every(milliseconds: number, callback: () => void): () => void;
}

/** The system's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
  every(milliseconds, callback) {
    const timer = setInterval(callback, milliseconds);
    return () => clearInterval(timer);
  },
};
