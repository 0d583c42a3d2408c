import type { Log } from "../log/log.ts";
import { THROTTLE_MS } from "../log/throttle.ts";

/** How many names are kept, to know which of them were logged. */
const MAX_KEPT = 1000;

/** How many names are logged at a time, and shown in `/status`. */
const MAX_NAMES = 10;

/**
 * The files in the spool whose names are invalid, and which have no effect. Each is logged once. Of many at a time
 * some are logged by name, and the others as a number.
 */
export class MisnamedFiles {
  readonly #root: string;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #logged = new Set<string>();
  #kept: readonly string[] = [];
  #count = 0;
  /** How many files whose names are not kept were logged, as a number. */
  #unkeptLogged = 0;
  #loggedAt = -Infinity;

  /** @param now Returns the time in milliseconds, by a monotonic clock. */
  constructor(root: string, log: Log, now: () => number) {
    this.#root = root;
    this.#log = log;
    this.#now = now;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The names of some of them. */
  get names(): readonly string[] {
    return this.#kept.slice(0, MAX_NAMES);
  }

  /** Replaces the files. */
  update(names: readonly string[]): void {
    this.#count = names.length;
    this.#kept = names.slice(0, MAX_KEPT);
    if (this.#count <= MAX_KEPT) this.#unkeptLogged = 0;
    const kept = new Set(this.#kept);
    for (const name of this.#logged) {
      if (!kept.has(name)) this.#logged.delete(name);
    }
    this.report();
  }

  /** Logs those that are not logged yet, unless others were logged a moment ago. */
  report(): void {
    if (this.#count === 0 || this.#now() - this.#loggedAt < THROTTLE_MS) return;
    const fresh = this.#kept.filter((name) => !this.#logged.has(name));
    const unkept = this.#count - this.#kept.length;
    const others = Math.max(fresh.length - MAX_NAMES, 0) + Math.max(unkept - this.#unkeptLogged, 0);
    if (fresh.length === 0 && others === 0) return;
    this.#loggedAt = this.#now();
    this.#unkeptLogged = unkept;
    for (const name of fresh) this.#logged.add(name);
    const root = this.#root;
    for (const name of fresh.slice(0, MAX_NAMES)) {
      this.#log.warning(
        "{root}/{name} has no effect: expected a name like web, web:8080 or web:10.0.0.1:8080",
        { root, name },
      );
    }
    if (others === 0) return;
    this.#log.warning("{others} more files in {root} have no effect: their names are invalid", {
      ...{ others, root },
    });
  }
}
