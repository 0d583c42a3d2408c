import { afterStartup } from "../runtime/after_startup.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { errorMessage } from "../text/error_message.ts";
import type { Log } from "../log/log.ts";
import { LOCAL_ADDRESS } from "../net/addresses.ts";
import { type Entry, isExpired } from "./entry.ts";
import type { SpoolIndex } from "./index.ts";
import { IndexedFiles } from "./indexed_files.ts";
import { MisnamedFiles } from "./misnamed.ts";
import { ALL, isMisnamed, isSpoolName, type Subject } from "./names.ts";
import { SLICE_MS, SlicedWork, type Work } from "./sliced_work.ts";
import type { SpoolStore } from "./store.ts";
import { FORGET_BATCH, VanishedFiles } from "./vanished_files.ts";

/** How often a spool that cannot be watched is read, in milliseconds. */
const POLL_MS = 50;

/** How often a watched spool is compared with the index, in milliseconds. */
const COMPARE_MS = 500;

/** How late events may be on a busy machine, in milliseconds. Until then the comparisons find the changes. */
const LATE_EVENT_MS = 5000;

/** How many files each comparison stats; the next one continues with others. */
const MAX_COMPARED = 100;

/** The size from which a folder is listed in the background: listing 100,000 files takes 200 ms. */
const BIG_FOLDER_BYTES = 32 * 1024;

/** After how many events requests are answered at the latest: receiving one takes some 20 µs. */
const EVENTS_PER_SLICE = 100;

/** Up to how many files are all read again when a folder is watched anew, even those that look unchanged. */
const MAX_READ_AGAIN = 1000;

/** How long after the last pause of work the index counts as current, in milliseconds. */
const CURRENT_AFTER_MS = 200;

/** From how many milliseconds on reading the folder counts as slow. */
const SLOW_MS = 200;

/** After a slow reading, no other begins for this many times its duration. */
const REST_FACTOR = 2;

/** How many invalid entries `/status` names. */
const MAX_NAMES = 10;

/** What a {@linkcode SpoolWatcher} works with. */
export interface SpoolWatcherOptions {
  /** The files. The folder's path is absolute and without `.` and `..`, as in the paths of events. */
  readonly store: SpoolStore;
  /** The index that the watcher keeps current. */
  readonly index: SpoolIndex;
  /** The log. */
  readonly log: Log;
  /** Starts to watch a folder. */
  readonly watch?: (root: string) => Deno.FsWatcher;
  /** The clock. */
  readonly clock?: Clock;
}

/** The health of the spool, as `/status` shows it. */
export interface SpoolHealth {
  /** Whether the index has what the files contain. */
  readonly healthy: boolean;
  /** Why the spool cannot be read; null if it can. */
  readonly fault: string | null;
  /** Whether the folder is watched. It is read 20 times a second if it cannot be watched. */
  readonly watched: boolean;
  /** The number of records, expired ones included. Weights do not count. */
  readonly records: number;
  /** The number of invalid files: their content, or their names. */
  readonly faulty: number;
  /** The names of some invalid records and weights. Such a record is down. */
  readonly faulty_names: readonly string[];
  /** The number of files whose names are invalid. They have no effect. */
  readonly misnamed: number;
  /** The names of some of them. */
  readonly misnamed_names: readonly string[];
}

/** The effect of a file. An expired entry has none. A file whose name is invalid counts as faulty. */
export type RecordState = "down" | "drain" | "weight" | "expired" | "faulty";

/**
 * Keeps a {@linkcode SpoolIndex} current.
 *
 * The folder is watched, and a file is read when it changes. Events can get lost without notice, so the folder
 * is also compared with the index, a part at a time.
 *
 * In doubt the index stays as it is: if the folder vanishes or cannot be read, and if another folder without
 * entries takes its place, such as a mount point whose file system is not mounted.
 *
 * Thousands of changes are read in slices. Until all are read, a lookup reads the files of its service first.
 */
export class SpoolWatcher implements Disposable {
  readonly #store: SpoolStore;
  readonly #index: SpoolIndex;
  readonly #log: Log;
  readonly #files: IndexedFiles;
  readonly #vanished: VanishedFiles;
  readonly #watch: (root: string) => Deno.FsWatcher;
  readonly #clock: Clock;
  readonly #work: SlicedWork;
  readonly #misnamed: MisnamedFiles;
  #isDisposed = false;

  /** The names to compare next. */
  #scanCursor: Iterator<string> = [].values();

  /** The names in events that are not handled yet. */
  readonly #changes = new Set<string>();
  #isReadingChanges = false;
  /** Whether the folder is being read or compared as a whole. */
  #isReadingFolder = false;
  /** Whether the folder is to be read again. */
  #isOutdated = false;
  /** When the folder may be read or compared again. */
  #restsUntil = 0;
  #cancelBehind: (() => void) | undefined;

  /** The identity of the folder that the index is about. */
  #folder: string;
  /** Whether an event reported that it was removed. */
  #isRemoved = false;
  /** Why the folder cannot be read. */
  #problem: string | null = null;

  #watcher: Deno.FsWatcher | undefined;
  /** Resolves when the last watcher has released the folder. */
  #released: Promise<void> = Promise.resolve();
  #cancelTicks: (() => void) | undefined;
  /** When the folder was changed last, as of the last comparison. */
  #changedAt: number | undefined;
  /** The same, as of the last comparison that found no difference or reported one. */
  #comparedAt: number | undefined;
  /** Whether so many events came at once that some may be lost. */
  #isFlooded = false;
  /** A file that was added or removed, and when that was noticed, unless an event came since. */
  #missed: { readonly name: string; readonly at: number } | undefined;

  /**
   * Reads the spool and starts to watch it.
   *
   * @throws {Error} If the spool cannot be read.
   */
  constructor(options: SpoolWatcherOptions) {
    const { store, index, log, clock = systemClock } = options;
    this.#store = store;
    this.#index = index;
    this.#log = log;
    this.#watch = options.watch ?? ((root) => Deno.watchFs(root, { recursive: false }));
    this.#clock = clock;
    this.#work = new SlicedWork(clock, () => this.#markBehind());
    this.#files = new IndexedFiles(store, index, log);
    this.#vanished = new VanishedFiles({
      ...{ index, clock, work: this.#work },
      read: (name) => this.#tryRead(name),
      forget: (name) => this.#files.forget(name),
      isSameFolder: () => this.#isSameFolder(),
    });
    this.#misnamed = new MisnamedFiles(store.root, log, () => clock.now());
    this.#folder = this.#identity();
    // Watched first, so that no change falls between reading and watching.
    this.#startWatching();
    try {
      // At once: the daemon answers no request before.
      const names = store.listFiles();
      for (const name of names) this.#files.read(name);
      this.#misnamed.update(names.filter(isMisnamed));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** The health of the spool. */
  get health(): SpoolHealth {
    return {
      healthy: this.#problem === null,
      fault: this.#problem,
      watched: this.#watcher !== undefined,
      records: this.#index.size,
      faulty: this.#files.invalid.size + this.#misnamed.count,
      faulty_names: this.#files.invalid.values().take(MAX_NAMES).toArray(),
      misnamed: this.#misnamed.count,
      misnamed_names: this.#misnamed.names,
    };
  }

  /** Counts the files by their effect at a time in unix seconds. */
  states(now: number): Record<RecordState, number> {
    const states = { down: 0, drain: 0, weight: 0, expired: 0, faulty: this.#misnamed.count };
    const { invalid } = this.#files;
    for (const [name, entry] of this.#index.entries()) {
      states[invalid.has(name) ? "faulty" : stateOf(entry, now)]++;
    }
    return states;
  }

  /**
   * Reads one file at once.
   *
   * @returns Whether the index has what the file contains.
   */
  refresh(name: string): boolean {
    const exists = this.#tryRead(name);
    if (exists !== false) return exists === true;
    if (!this.#isSameFolder()) return !this.#index.has(name);
    this.#files.forget(name);
    this.#vanished.release(name);
    return true;
  }

  /** Stops watching. The index stays as it is. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#work[Symbol.dispose]();
    this.#stopWatching();
    this.#vanished[Symbol.dispose]();
    this.#cancelTicks?.();
    this.#cancelBehind?.();
    this.#index.beforeLookup = null;
  }

  /** Reads a file into the index, and returns undefined if the system cannot tell whether it exists. */
  #tryRead(name: string, ifChanged = false): boolean | undefined {
    try {
      return this.#files.read(name, ifChanged);
    } catch (error) {
      this.#setProblem(errorMessage(error));
      return undefined;
    }
  }

  // While the index is behind.

  /** From now until no work has paused for a while, lookups read the files of their service first. */
  #markBehind(): void {
    this.#index.beforeLookup = this.#readBeforeLookup;
    this.#cancelBehind?.();
    this.#cancelBehind = this.#clock.after(CURRENT_AFTER_MS, () => {
      // A folder that is polled and takes long to read is behind most of the time.
      const isPolledSlowly = this.#watcher === undefined && this.#restsUntil > this.#clock.now();
      if (this.#work.isBusy || isPolledSlowly) this.#markBehind();
      else this.#index.beforeLookup = null;
    });
  }

  readonly #readBeforeLookup = (
    { service, port, host }: Subject,
    nameOf: (subject: Subject) => string,
  ): void => {
    const isPortZero = port === 0;
    const subjects: Subject[] = [
      { service: ALL, port: 0, host: LOCAL_ADDRESS },
      { service, port: 0, host: LOCAL_ADDRESS },
      { service, port, host: LOCAL_ADDRESS, isPortZero },
    ];
    if (host !== LOCAL_ADDRESS) subjects.push({ service, port, host, isPortZero });
    for (const name of subjects.map(nameOf)) {
      if (this.#tryRead(name, true) !== false || !this.#index.has(name)) continue;
      this.#vanished.add(name);
      this.#vanished.forgetIfOverdue(name);
    }
  };

  // Events.

  #startWatching(): void {
    try {
      this.#watcher = this.#watch(this.#store.root);
      this.#released = this.#follow(this.#watcher);
    } catch (error) {
      return this.#poll("cannot watch", errorMessage(error));
    }
    if (this.#cancelTicks !== undefined) return this.#schedule();
    // The first comparison can wait.
    afterStartup(() => {
      if (this.#cancelTicks === undefined && !this.#isDisposed) this.#schedule();
    });
  }

  #stopWatching(): void {
    const watcher = this.#watcher;
    this.#watcher = undefined;
    try {
      watcher?.close();
    } catch {
      // It has ended by itself.
    }
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    let why = "the watch ended";
    let events = 0;
    let spentMs = 0;
    try {
      for await (const event of watcher) {
        const startedAt = this.#clock.now();
        this.#missed = undefined;
        // Deno has dropped events, the removal of the folder possibly among them.
        if (event.flag === "rescan") void this.#startAnew();
        else for (const path of event.paths) this.#handle(path, event.kind);
        spentMs += this.#clock.now() - startedAt;
        if (++events % EVENTS_PER_SLICE === 0) this.#isFlooded = true;
        else if (spentMs < SLICE_MS) continue;
        spentMs = 0;
        await this.#work.pause();
      }
    } catch (error) {
      why = errorMessage(error);
    }
    if (this.#isDisposed || this.#watcher !== watcher) return;
    this.#stopWatching();
    this.#poll("no longer watching", why);
  }

  #handle(path: string, kind: Deno.FsEvent["kind"]): void {
    if (path === this.#store.root) {
      // The next folder may have the same inode and time of birth.
      if (kind === "remove") this.#isRemoved = true;
      // A folder that was moved, or was unreadable for a while, is no longer watched.
      if (kind !== "access") void this.#startAnew();
      return;
    }
    this.#changes.add(path.slice(path.lastIndexOf("/") + 1));
    if (!this.#isReadingChanges) void this.#work.run(this.#readChanges());
  }

  *#readChanges(): Work {
    this.#isReadingChanges = true;
    for (const name of this.#changes) {
      this.#changes.delete(name);
      if (this.#tryRead(name) === false && this.#index.has(name)) this.#vanished.add(name);
      if (this.#work.isSliceOver) yield;
    }
    this.#isReadingChanges = false;
  }

  // What no event reports.

  #schedule(): void {
    this.#cancelTicks?.();
    const interval = this.#watcher === undefined ? POLL_MS : COMPARE_MS;
    this.#cancelTicks = this.#clock.every(interval, () => this.#tick());
  }

  #poll(what: string, why: string): void {
    const { root } = this.#store;
    const times = 1000 / POLL_MS;
    this.#log.warning("{what} {root}, reading it {times} times a second: {why}", {
      ...{ what, root, times, why },
    });
    this.#schedule();
  }

  #tick(): void {
    this.#misnamed.report();
    const isRested = this.#clock.now() >= this.#restsUntil;
    if (!this.#isSameFolder() || (this.#problem !== null && this.#watcher !== undefined)) {
      void this.#startAnew();
    } else if (this.#watcher === undefined) {
      if (isRested) this.#readFolderAgain();
    } else {
      if (isRested && !this.#isReadingFolder) void this.#work.run(this.#compareNames());
      this.#readInvalid();
      this.#compareFingerprints();
    }
  }

  /** Reads invalid entries, whose attributes may not show that they have become valid. */
  #readInvalid(): void {
    for (const name of this.#files.nextInvalid(MAX_COMPARED)) {
      if (this.#tryRead(name) === false) this.#vanished.add(name);
    }
  }

  /** Reads files whose attributes have changed. The kernel drops events that it has no room for. */
  #compareFingerprints(): void {
    for (let compared = 0; compared < MAX_COMPARED; compared++) {
      const { done, value: name } = this.#scanCursor.next();
      if (done) {
        this.#scanCursor = this.#index.names;
        return;
      }
      this.#tryRead(name, true);
    }
  }

  /**
   * Compares the names in the folder with those in the index. Deno reports no link that leads elsewhere; and at
   * a pipe its watcher waits for ever, and reports nothing that comes after it.
   */
  *#compareNames(): Work {
    this.#isReadingFolder = true;
    const startedAt = this.#clock.now();
    try {
      const changedAt = Deno.statSync(this.#store.root).mtime?.getTime();
      if (changedAt === this.#comparedAt) return;
      const isQuiet = changedAt === this.#changedAt;
      this.#changedAt = changedAt;
      const names = yield* this.#list();
      for (const name of names) {
        if (!this.#index.has(name)) {
          this.#tryRead(name);
          // An event from now on may be about this name.
          this.#missed ??= { name, at: this.#clock.now() };
        }
        if (this.#work.isSliceOver) yield;
      }
      for (const name of this.#index.names) {
        if (!names.has(name) && !this.#vanished.has(name)) {
          this.#vanished.add(name);
          this.#missed ??= { name, at: this.#clock.now() };
        }
        if (this.#work.isSliceOver) yield;
      }
      // The event of a recent change may be on its way.
      if (!isQuiet || this.#isOutdated || this.#isReadingChanges) return;
      // In a flood the kernel drops events, and the watch is still good.
      const missed = this.#isFlooded ? undefined : this.#missed;
      if (missed !== undefined && this.#clock.now() < missed.at + LATE_EVENT_MS) return;
      this.#comparedAt = changedAt;
      this.#missed = undefined;
      this.#isFlooded = false;
      if (missed === undefined) return;
      // It is not closed: closing a watcher that waits at a pipe would wait with it.
      this.#watcher = undefined;
      this.#poll("no longer watching", `no event reported the change of ${missed.name}`);
    } catch (error) {
      this.#setProblem(errorMessage(error));
    } finally {
      this.#finishReading(startedAt);
    }
  }

  // The whole folder.

  /** Lists the names of records and weights. */
  *#list(): Generator<Promise<unknown> | undefined, Set<string>> {
    let all: string[] = [];
    if (Deno.statSync(this.#store.root).size < BIG_FOLDER_BYTES) all = this.#store.listFiles();
    else yield this.#store.listFilesInBackground().then((names) => void (all = names));
    const names = new Set<string>();
    const misnamed: string[] = [];
    for (const name of all) {
      if (isSpoolName(name)) names.add(name);
      else if (isMisnamed(name)) misnamed.push(name);
      if (this.#work.isSliceOver) yield;
    }
    this.#misnamed.update(misnamed);
    return names;
  }

  #readFolderAgain(): void {
    this.#isOutdated = true;
    if (!this.#isReadingFolder) void this.#work.run(this.#readFolder());
  }

  *#readFolder(): Work {
    this.#isReadingFolder = true;
    this.#isOutdated = false;
    const startedAt = this.#clock.now();
    try {
      const names = yield* this.#list();
      const ifChanged = this.#watcher === undefined || names.size > MAX_READ_AGAIN;
      for (const name of names) {
        this.#files.read(name, ifChanged);
        if (this.#work.isSliceOver) yield;
      }
      if (this.#identity() !== this.#folder) {
        throw new Error(`${this.#store.root} was replaced while it was read`);
      }
      const gone: string[] = [];
      for (const name of this.#index.names) {
        if (!names.has(name)) gone.push(name);
        if (gone.length >= FORGET_BATCH) this.#vanished.forgetIfGone(gone.splice(0));
        if (this.#work.isSliceOver) yield;
      }
      this.#vanished.forgetIfGone(gone);
      this.#setProblem(null);
    } catch (error) {
      this.#setProblem(errorMessage(error));
    } finally {
      this.#finishReading(startedAt);
    }
  }

  #finishReading(startedAt: number): void {
    this.#isReadingFolder = false;
    const now = this.#clock.now();
    const took = now - startedAt;
    this.#restsUntil = took < SLOW_MS ? 0 : now + REST_FACTOR * took;
    if (this.#isOutdated && !this.#isDisposed) this.#readFolderAgain();
  }

  // The identity of the folder.

  /** Watches and reads the folder that is now at the spool's path. */
  async #startAnew(): Promise<void> {
    try {
      const folder = this.#identity();
      if (folder !== this.#folder || this.#isRemoved) this.#switchTo(folder);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) this.#vanished.restore();
      this.#setProblem(errorMessage(error));
      return;
    }
    this.#files.forgetAttributes();
    this.#missed = undefined;
    this.#stopWatching();
    this.#readFolderAgain();
    // Until the last watcher has released the folder of that path, a new one would watch the same folder.
    await this.#released;
    if (this.#isDisposed || this.#watcher !== undefined) return;
    this.#startWatching();
    this.#readFolderAgain();
  }

  /**
   * Accepts another folder as the spool.
   *
   * @throws {Error} If it has no active record although the index has one, or no active entry at all.
   */
  #switchTo(folder: string): void {
    const { root } = this.#store;
    this.#vanished.restore();
    if (this.#index.hasActiveEntries) {
      // A weight or an expired record in an unmounted folder must not end a downtime.
      const names = this.#index.hasActiveDowntimes
        ? this.#store.listDowntimes()
        : this.#store.listEntries();
      const now = Date.now() / 1000;
      const isActive = (name: string) => {
        const entry = this.#store.readEntry(name)?.record;
        return entry !== undefined && !isExpired(entry, now);
      };
      if (!names.some(isActive)) {
        throw new Error(`${root} was replaced by a folder without records in force`);
      }
    }
    if (folder !== this.#folder) {
      this.#log.warning("{root} was replaced by another folder, which is now the spool", { root });
    }
    this.#folder = folder;
    this.#isRemoved = false;
  }

  #isSameFolder(): boolean {
    try {
      return this.#identity() === this.#folder && !this.#isRemoved;
    } catch (error) {
      this.#setProblem(errorMessage(error));
      return false;
    }
  }

  /** Identifies the folder at the spool's path. It throws where files cannot be listed or looked up. */
  #identity(): string {
    const { root } = this.#store;
    const { dev, ino, birthtime, isDirectory } = Deno.statSync(root);
    if (!isDirectory) throw new Error(`${root} is not a folder`);
    Deno.openSync(root).close();
    this.#store.stat(".none");
    return `${dev}:${ino}:${birthtime?.getTime()}`;
  }

  #setProblem(problem: string | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const { root } = this.#store;
    if (problem === null) {
      this.#log.warning("{root} can be read again", { root });
    } else {
      this.#log.error("{root} cannot be read, the last known state stays in force: {problem}", {
        ...{ root, problem },
      });
    }
  }
}

function stateOf(entry: Entry, now: number): RecordState {
  if (isExpired(entry, now)) return "expired";
  return "weight" in entry ? "weight" : entry.mode;
}
