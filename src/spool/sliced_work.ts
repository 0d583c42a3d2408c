import type { Clock } from "../runtime/clock.ts";

/** How long one slice may take, in milliseconds. */
export const SLICE_MS = 5;

/** Work that yields between slices: nothing where requests may be answered, or a promise that it waits for. */
export type Work = Generator<Promise<unknown> | undefined, void>;

/** Runs long work in slices, between which the worker answers requests. */
export class SlicedWork implements Disposable {
  readonly #clock: Clock;
  readonly #onPause: () => void;
  #sliceStart = 0;
  #unfinished = 0;
  #isDisposed = false;

  /** @param onPause Called before each pause. */
  constructor(clock: Clock, onPause: () => void) {
    this.#clock = clock;
    this.#onPause = onPause;
  }

  /** Whether a slice is over, and work should yield. */
  get isSliceOver(): boolean {
    return this.#clock.now() - this.#sliceStart >= SLICE_MS;
  }

  /** Whether some work is not finished. */
  get isBusy(): boolean {
    return this.#unfinished > 0;
  }

  /** Runs work: its first slice at once, the others later. */
  async run(work: Work): Promise<void> {
    this.#unfinished++;
    for (let resume = () => work.next();;) {
      this.#sliceStart = this.#clock.now();
      const { done, value } = resume();
      if (done) break;
      resume = () => work.next();
      try {
        await this.pause(value);
      } catch (error) {
        resume = () => work.throw(error);
      }
      if (this.#isDisposed) resume = () => work.return();
    }
    this.#unfinished--;
  }

  /**
   * Lets the worker answer requests.
   *
   * @param wait What to wait for; the next turn of the event loop, if not given.
   */
  async pause(wait?: Promise<unknown>): Promise<void> {
    this.#onPause();
    await (wait ?? new Promise((resolve) => setTimeout(resolve, 0)));
  }

  /** Ends work that has paused, when it would go on. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
  }
}
