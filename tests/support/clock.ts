import type { Clock } from "../../src/runtime/clock.ts";

/** A pending call. */
interface Timer {
  readonly call: () => void;
  readonly interval: number | undefined;
  due: number;
  /** The system's timer, where time goes on by itself. */
  id?: ReturnType<typeof setTimeout>;
}

/** A clock that a test advances. */
export class TestClock implements Clock {
  readonly #timers = new Set<Timer>();
  readonly #isRunning: boolean;
  #advanced = 0;

  /** @param mode Whether time also goes on by itself. */
  constructor(mode: "stopped" | "running" = "stopped") {
    this.#isRunning = mode === "running";
  }

  now(): number {
    return this.#advanced + (this.#isRunning ? performance.now() : 0);
  }

  after(milliseconds: number, callback: () => void): () => void {
    return this.#start(milliseconds, undefined, callback);
  }

  every(milliseconds: number, callback: () => void): () => void {
    return this.#start(milliseconds, milliseconds, callback);
  }

  /** How many calls are pending. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Whether something is called at intervals. */
  get isTicking(): boolean {
    return this.#timers.values().some(({ interval }) => interval !== undefined);
  }

  /** Makes the calls at intervals once, whenever they are due. */
  tick(): void {
    for (const { interval, call } of [...this.#timers]) {
      if (interval !== undefined) call();
    }
  }

  /**
   * Advances the time, and makes the calls that become due, in order.
   *
   * @param milliseconds By how much.
   */
  async advance(milliseconds: number): Promise<void> {
    const end = this.now() + milliseconds;
    for (;;) {
      const [timer] = [...this.#timers].sort((one, other) => one.due - other.due);
      if (timer === undefined || timer.due > end) break;
      this.#advanceTo(timer.due);
      this.#fire(timer);
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.#advanceTo(end);
    for (const timer of this.#timers) this.#arm(timer);
  }

  /**
   * Advances the time at once, as a stall does. The calls that become due are made, late, when the time is
   * advanced next.
   *
   * @param milliseconds By how much.
   */
  stall(milliseconds: number): void {
    this.#advanced += milliseconds;
  }

  #advanceTo(time: number): void {
    this.#advanced += Math.max(time - this.now(), 0);
  }

  #start(milliseconds: number, interval: number | undefined, call: () => void): () => void {
    const timer: Timer = { call, interval, due: this.now() + milliseconds };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => {
      this.#timers.delete(timer);
      clearTimeout(timer.id);
    };
  }

  #arm(timer: Timer): void {
    clearTimeout(timer.id);
    if (!this.#isRunning) return;
    timer.id = setTimeout(() => this.#fire(timer), Math.max(timer.due - this.now(), 0));
  }

  #fire(timer: Timer): void {
    clearTimeout(timer.id);
    if (timer.interval === undefined) {
      this.#timers.delete(timer);
    } else {
      timer.due += timer.interval;
      this.#arm(timer);
    }
    timer.call();
  }
}
