/** Thrown at who would have to wait behind too many others. */
export class QueueFullError extends Error {
  override name = "QueueFullError";
}

/**
 * Lets a limited number of holders in at once; the others wait in line.
 *
 * @example
 * ```ts
 * import { Limiter } from "./limiter.ts";
 *
 * const limiter = new Limiter(10, 1000);
 * using _place = await limiter.enter(AbortSignal.timeout(1000));
 * // At most ten are here at the same time.
 * ```
 */
export class Limiter {
  readonly #places: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  /**
   * @param places How many may be in at once.
   * @param maxWaiting How many may wait in line.
   */
  constructor(places: number, maxWaiting: number) {
    this.#places = places;
    this.#maxWaiting = maxWaiting;
  }

  /** How many are in. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether whoever comes now has to wait. */
  get isFull(): boolean {
    return this.#taken >= this.#places;
  }

  /** How many wait in line. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a place.
   *
   * @param signal Ends the waiting.
   * @returns The place; dispose of it to let the next one in.
   * @throws {QueueFullError} If too many are waiting already.
   * @throws {Error} The signal's reason, if it aborts before a place is free.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (!this.isFull) {
      this.#taken++;
    } else {
      if (this.#waiting.size >= this.#maxWaiting) {
        throw new QueueFullError(`${this.#maxWaiting} are waiting already`);
      }
      await this.#called(signal);
    }
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#leave();
      },
    };
  }

  #called(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.delete(call);
        reject(signal.reason);
      };
      this.#waiting.add(call);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** A place that is left goes to the first in line; only without a line is it free. */
  #leave(): void {
    for (const call of this.#waiting) {
      this.#waiting.delete(call);
      call();
      return;
    }
    this.#taken--;
  }
}
