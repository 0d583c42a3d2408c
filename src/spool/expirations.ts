import { type Clock, systemClock } from "../runtime/clock.ts";
import { type Entry, isExpired } from "./entry.ts";

/** The longest time of a timer, in milliseconds: the system's limit is 24 days. */
const MAX_DELAY_MS = 86_400_000;

/** Reports when entries expire. No file changes then. */
export class Expirations implements Disposable {
  readonly #onExpired: (name: string, entry: Entry) => void;
  readonly #clock: Clock;
  readonly #now: () => number;
  /** The entries that will expire. */
  readonly #entries = new Map<string, Entry>();
  /** When the timer fires, in unix seconds. */
  #next = Infinity;
  #cancel: () => void = () => {};

  /**
   * @param onExpired Called once for each entry that has expired.
   * @param clock The clock.
   * @param now Returns the time in unix seconds.
   */
  constructor(
    onExpired: (name: string, entry: Entry) => void,
    clock: Clock = systemClock,
    now: () => number = () => Date.now() / 1000,
  ) {
    this.#onExpired = onExpired;
    this.#clock = clock;
    this.#now = now;
  }

  /**
   * Notes an entry.
   *
   * @param name The name of its file.
   * @param entry The entry; undefined if it was removed.
   */
  set(name: string, entry: Entry | undefined): void {
    if (entry === undefined || entry.expiration === null || isExpired(entry, this.#now())) {
      this.#entries.delete(name);
      return;
    }
    this.#entries.set(name, entry);
    if (entry.expiration < this.#next) this.#schedule(entry.expiration);
  }

  /** Reports nothing more. */
  [Symbol.dispose](): void {
    this.#cancel();
    this.#entries.clear();
  }

  #schedule(next: number): void {
    this.#cancel();
    this.#next = next;
    if (next === Infinity) return;
    // An entry expires after its time, not at it.
    const delay = Math.min(Math.max(0, next - this.#now()) * 1000 + 1, MAX_DELAY_MS);
    this.#cancel = this.#clock.after(delay, () => this.#report());
  }

  #report(): void {
    let next = Infinity;
    for (const [name, entry] of this.#entries) {
      if (!isExpired(entry, this.#now())) {
        next = Math.min(next, entry.expiration!);
        continue;
      }
      this.#entries.delete(name);
      this.#onExpired(name, entry);
    }
    this.#schedule(next);
  }
}
