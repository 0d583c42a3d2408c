import type { Clock } from "../runtime/clock.ts";
import type { Entry } from "./entry.ts";
import type { SpoolIndex } from "./index.ts";
import type { SlicedWork, Work } from "./sliced_work.ts";

/** How long no other file must have vanished before entries are forgotten, in milliseconds. */
const DEBOUNCE_MS = 10;

/** How long that may be put off, in milliseconds. */
const MAX_DEBOUNCE_MS = 200;

/** How many entries are forgotten at a time, before the folder's identity is checked again. */
export const FORGET_BATCH = 50;

/** How long forgotten entries are kept, in milliseconds. */
const KEEP_MS = 2000;

/** What {@linkcode VanishedFiles} work with. */
export interface VanishedFilesOptions {
  /** The index. */
  readonly index: SpoolIndex;
  /** The clock. */
  readonly clock: Clock;
  /** Runs long work. */
  readonly work: SlicedWork;
  /** Reads a file into the index. Returns whether it exists, or undefined if the system cannot tell. */
  readonly read: (name: string) => boolean | undefined;
  /** Removes a file from the index. */
  readonly forget: (name: string) => void;
  /** Tests whether the spool is still the same folder. */
  readonly isSameFolder: () => boolean;
}

/** An entry that was forgotten, and when. */
interface Forgotten {
  readonly entry: Entry;
  readonly at: number;
}

/**
 * Decides when an entry whose file has vanished is forgotten.
 *
 * `rm -rf` of the whole spool removes its files first, and takes no service up. So entries are forgotten only when no
 * other file vanishes for a moment and the folder still exists, and are restored if it vanishes soon after.
 */
export class VanishedFiles implements Disposable {
  readonly #options: VanishedFilesOptions;
  /** When it was noticed that each of them had vanished. */
  readonly #since = new Map<string, number>();
  #isForgetting = false;
  #cancelDebounce: (() => void) | undefined;
  #debouncingSince = 0;
  readonly #forgotten = new Map<string, Forgotten>();

  constructor(options: VanishedFilesOptions) {
    this.#options = options;
  }

  /** Whether a file is known to have vanished, and its entry is not forgotten yet. */
  has(name: string): boolean {
    return this.#since.has(name);
  }

  /** Adds a file that has vanished. Its entry is forgotten soon after the last one is added. */
  add(name: string): void {
    const { clock, work } = this.#options;
    const now = clock.now();
    if (!this.has(name)) this.#since.set(name, now);
    if (this.#cancelDebounce === undefined) this.#debouncingSince = now;
    else if (now - this.#debouncingSince > MAX_DEBOUNCE_MS) return;
    this.#cancelDebounce?.();
    this.#cancelDebounce = clock.after(DEBOUNCE_MS, () => {
      this.#cancelDebounce = undefined;
      if (!this.#isForgetting) void work.run(this.#forgetAll());
    });
  }

  *#forgetAll(): Work {
    this.#isForgetting = true;
    while (this.#since.size > 0) {
      const names = this.#since.keys().take(FORGET_BATCH).toArray();
      for (const name of names) this.#since.delete(name);
      this.forgetIfGone(names);
      if (this.#options.work.isSliceOver) yield;
    }
    this.#isForgetting = false;
  }

  /** Forgets the entry of a file that has been added long ago, and has not had its turn among thousands. */
  forgetIfOverdue(name: string): void {
    const since = this.#since.get(name);
    if (since === undefined || this.#options.clock.now() - since <= MAX_DEBOUNCE_MS) return;
    this.forgetIfGone([name]);
  }

  /** Forgets the entries of files that do not exist, unless the folder has vanished too. */
  forgetIfGone(names: readonly string[]): void {
    const { index, clock, read, forget, isSameFolder } = this.#options;
    const gone = names.filter((name) => read(name) === false);
    // Checked afterwards: the folder may have vanished meanwhile.
    if (gone.length === 0 || !isSameFolder()) return;
    const now = clock.now();
    for (const [oldest, { at }] of this.#forgotten) {
      if (now - at < KEEP_MS) break;
      this.#forgotten.delete(oldest);
    }
    for (const name of gone) {
      const entry = index.get(name);
      forget(name);
      this.#forgotten.delete(name);
      if (entry !== undefined) this.#forgotten.set(name, { entry, at: now });
    }
  }

  /** Excludes a file from {@linkcode restore}: an operator has removed it through the daemon. */
  release(name: string): void {
    this.#forgotten.delete(name);
  }

  /** Restores the entries that were forgotten just before the folder vanished. */
  restore(): void {
    const { index, clock } = this.#options;
    const now = clock.now();
    for (const [name, { entry, at }] of this.#forgotten) {
      if (now - at < KEEP_MS && !index.has(name)) index.set(name, entry);
    }
    this.#forgotten.clear();
  }

  /** Cancels what is pending. */
  [Symbol.dispose](): void {
    this.#cancelDebounce?.();
  }
}
