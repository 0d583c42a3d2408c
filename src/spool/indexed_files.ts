import type { Log } from "../log/log.ts";
import type { SpoolIndex } from "./index.ts";
import { isSpoolName } from "./names.ts";
import type { SpoolStore } from "./store.ts";

/** Reads files of the spool into the index, and keeps their attributes to notice changes without an event. */
export class IndexedFiles {
  readonly #store: SpoolStore;
  readonly #index: SpoolIndex;
  readonly #log: Log;
  /** The attributes of each file when it was read. */
  readonly #fingerprints = new Map<string, string>();
  readonly #invalid = new Set<string>();

  constructor(store: SpoolStore, index: SpoolIndex, log: Log) {
    this.#store = store;
    this.#index = index;
    this.#log = log;
  }

  /** The names of invalid records and weights. */
  get invalid(): ReadonlySet<string> {
    return this.#invalid;
  }

  /** Returns some names of invalid entries. If there are more, the next call returns others. */
  nextInvalid(most: number): string[] {
    const names = this.#invalid.values().take(most).toArray();
    if (this.#invalid.size > most) {
      for (const name of names) if (this.#invalid.delete(name)) this.#invalid.add(name);
    }
    return names;
  }

  /**
   * Reads a file.
   *
   * @param ifChanged Whether to skip a file whose attributes are as they were.
   * @returns Whether it exists.
   * @throws {Error} If the system cannot tell whether it exists.
   */
  read(name: string, ifChanged = false): boolean {
    if (!isSpoolName(name)) return false;
    const info = this.#store.stat(name);
    if (info === undefined) return false;
    const { ino, mtime, ctime, size } = info;
    const fingerprint = `${ino} ${mtime?.getTime()} ${ctime?.getTime()} ${size}`;
    if (ifChanged && fingerprint === this.#fingerprints.get(name)) return true;
    const parsed = this.#store.readEntry(name, info);
    if (parsed === undefined) return false;
    const { record, problem } = parsed;
    this.#fingerprints.set(name, fingerprint);
    this.#index.set(name, record);
    if (problem === null) {
      this.#invalid.delete(name);
    } else if (!this.#invalid.has(name)) {
      this.#invalid.add(name);
      const message = "weight" in record
        ? "invalid weight {path}: {problem}"
        : "invalid record {path} counts as down: {problem}";
      this.#log.warning(message, { path: this.#store.path(name), problem });
    }
    return true;
  }

  /** Removes a file from the index. */
  forget(name: string): void {
    this.#index.delete(name);
    this.#invalid.delete(name);
    this.#fingerprints.delete(name);
  }

  /** Forgets the attributes of all files, so that each counts as changed. */
  forgetAttributes(): void {
    this.#fingerprints.clear();
  }
}
