import type { Log } from "../log.ts";
import { afterStartup } from "../after_startup.ts";
import type { ActiveEntries } from "./active_entries.ts";
import type { Downtime, SpoolIndex } from "./index.ts";
import { LOCAL_ADDRESS } from "../net/addresses.ts";
import { MisnamedFiles } from "./misnamed.ts";
import { ALL, isMisnamed, isSpoolName, recordName, type Subject, weightName } from "./names.ts";
import { type DowntimeRecord, isExpired, type WeightRecord } from "./entry.ts";
import type { SpoolStore } from "./store.ts";

/** How often the spool is read where it cannot be watched, in milliseconds. */
const POLL_MS = 50;

/** How often a watched spool is asked whether it is still the same folder, in milliseconds. */
const LOOK_MS = 500;

/** How long it must have been quiet before vanished records are believed to be gone, in milliseconds. */
const SETTLE_MS = 10;

/** How long that may be put off, in milliseconds. */
const MAX_SETTLE_MS = 200;

/** How long records that are gone are remembered, should the spool go after them, in milliseconds. */
const REMEMBER_MS = 2000;

/** How many records are looked at each time a watched spool is: all of them in their turn. */
const MAX_LOOKS = 100;

/** From how many bytes on a folder is listed in the background: to list 100,000 files takes 200 ms and more. */
const BIG_FOLDER_BYTES = 32 * 1024;

/** After how many events at the latest others have their turn: to receive one takes some 20 µs. */
const EVENTS_PER_TURN = 100;

/** Up to how many records are all read again when the folder is watched anew, whatever they look like. */
const MAX_READ_TWICE = 1000;

/** How many vanished records are looked at before the folder is asked whether it is still the same. */
const GONE_PER_LOOK = 50;

/** How long no slice of work must have been left over before the view counts as up to date, in milliseconds. */
const QUIET_MS = 200;

/** From how many milliseconds on a reading of all counts as slow. */
const SLOW_MS = 200;

/** How many times as long as a slow reading of all took passes before the next. */
const REST_FACTOR = 2;

/** How many faulty records are told of by name. */
const MAX_NAMES = 10;

/** How long one slice of work may take before requests are answered again, in milliseconds. */
const TURN_MS = 5;

/** What a {@linkcode SpoolWatcher} works with. */
export interface SpoolWatcherOptions {
  /** The files. The folder's path is absolute and has no `.` and `..`: events tell it so. */
  readonly store: SpoolStore;
  /** Where their records go. */
  readonly index: SpoolIndex;
  /** Where faults are told. */
  readonly log: Log;
  /** Starts to watch a folder. */
  readonly watch?: (root: string) => Deno.FsWatcher;
}

/** How well the spool is known, as `/status` tells it. */
export interface SpoolHealth {
  /** Whether what is known is what the files say. */
  readonly healthy: boolean;
  /** What keeps them from being read; null if nothing does. */
  readonly fault: string | null;
  /** Whether the folder is watched; it is read again and again where it is not. */
  readonly watched: boolean;
  /** How many records are known, expired ones included. Weights are none. */
  readonly records: number;
  /** How many files cannot be read, make no sense, or are no record by their names. */
  readonly faulty: number;
  /** Which records and weights cannot be read or make no sense, or some of them. Such a record is down. */
  readonly faulty_names: readonly string[];
  /** How many of the faulty files are no record by their names. They have no effect. */
  readonly misnamed: number;
  /** Which these are, or some of them. */
  readonly misnamed_names: readonly string[];
}

/**
 * What a record or a weight does. One that is expired does nothing; a record that is faulty is down. A file
 * whose name is no record's counts as faulty.
 */
export type RecordState = "down" | "drain" | "weight" | "expired" | "faulty";

/** Work that is done in slices: it yields where requests may be answered, or what it has to wait for. */
type Work = Generator<Promise<unknown> | undefined, undefined>;

/** A record that is gone. */
interface Gone {
  readonly record: DowntimeRecord | WeightRecord;
  readonly at: number;
}

/**
 * What the daemon knows of the spool, live in memory.
 *
 * The folder is watched, and a file is read when it changes: no check waits for a
 * file. A spool that vanishes or cannot be read any more leaves in force what was
 * known last. So does one that comes back as another folder without any record: a file
 * system that is not mounted, or a package that makes the folder anew, speaks of no service.
 *
 * Thousands of changes at once are read in slices, between which requests are answered. Until all are
 * read, the files of a service that is asked for are looked at when it is.
 */
export class SpoolWatcher implements Disposable {
  readonly #store: SpoolStore;
  readonly #index: SpoolIndex;
  readonly #log: Log;
  readonly #watch: (root: string) => Deno.FsWatcher;
  readonly #records = new Map<string, DowntimeRecord | WeightRecord>();
  readonly #gone = new Map<string, Gone>();
  readonly #faulty = new Set<string>();
  readonly #misnamed: MisnamedFiles;
  /** Names of which the file was seen to be gone, with the time when. */
  readonly #vanished = new Map<string, number>();
  /** Names that events told of and that are still to be read. */
  readonly #changes = new Set<string>();
  #isReadingChanges = false;
  #isReadingAll = false;
  #isLettingGo = false;
  /** Whether all has to be read once more. */
  #isOutdated = false;
  /** Until when the reading of all rests. */
  #restsUntil = 0;
  /** Whether changes may be known of late: who asks for a service must not be told what was. */
  #isBehind = false;
  #catchingUp: ReturnType<typeof setTimeout> | undefined;
  /** How each file looked when it was read. */
  readonly #looks = new Map<string, string>();
  /** Whose turn it is to be looked at. */
  #turn: Iterator<string> = [].values();
  #root: string;
  /** Whether that folder was seen to go. */
  #removed = false;
  #fault: string | null = null;
  #watcher: Deno.FsWatcher | undefined;
  /** Resolves when the last watcher has let go of the folder. */
  #following: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** When the folder had last changed as it was looked at, and as its names were compared with those known. */
  #changedAt: number | undefined;
  #comparedAt: number | undefined;
  /** Whether so many events came at once that some may have been lost. */
  #isFlooded = false;
  /** A name that came or went, and no event has come since. */
  #missed: string | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #settlingSince = 0;
  #closed = false;

  /**
   * Reads the spool and begins to watch it.
   *
   * @param options What to work with.
   * @throws {Error} If the spool cannot be read: without it nothing is known.
   */
  constructor(
    { store, index, log, watch = (root) => Deno.watchFs(root, { recursive: false }) }:
      SpoolWatcherOptions,
  ) {
    this.#store = store;
    this.#index = index;
    this.#log = log;
    this.#watch = watch;
    this.#misnamed = new MisnamedFiles(store.root, log);
    this.#root = this.#identity();
    // Watched first, so that no change falls between reading and watching.
    this.#startWatching();
    try {
      // All at once: nobody is answered before.
      const names = this.#store.listFiles();
      for (const name of names) {
        if (this.#read(name) === "unknown") throw new Error(this.#fault ?? "");
      }
      this.#misnamed.update(names.filter(isMisnamed));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** How well the spool is known. */
  get health(): SpoolHealth {
    return {
      healthy: this.#fault === null,
      fault: this.#fault,
      watched: this.#watcher !== undefined,
      records: this.#index.size,
      faulty: this.#faulty.size + this.#misnamed.count,
      faulty_names: this.#faulty.values().take(MAX_NAMES).toArray(),
      misnamed: this.#misnamed.count,
      misnamed_names: this.#misnamed.names,
    };
  }

  /**
   * Counts the records and weights that are known, by what they do.
   *
   * @param now The time in unix seconds.
   */
  states(now: number): Record<RecordState, number> {
    const states = { down: 0, drain: 0, weight: 0, expired: 0, faulty: this.#misnamed.count };
    for (const [name, record] of this.#records) {
      states[this.#faulty.has(name) ? "faulty" : stateOf(record, now)]++;
    }
    return states;
  }

  /**
   * Finds what keeps a service down, as {@linkcode SpoolIndex.find} does.
   *
   * @param service The service's name.
   * @param port The port that is asked for, or 0.
   * @param host The canonical IP address that is asked for.
   */
  find(service: string, port: number, host: string): Downtime | undefined {
    if (this.#isBehind) this.#lookUp({ service, port, host }, recordName);
    return this.#index.find(service, port, host);
  }

  /**
   * Finds the weight that a service is to have, as {@linkcode SpoolIndex.weight} does.
   *
   * @param service The service's name.
   * @param port The port that is asked for, or 0.
   * @param host The canonical IP address that is asked for.
   */
  weight(service: string, port: number, host: string): number | null {
    if (this.#isBehind) this.#lookUp({ service, port, host }, weightName);
    return this.#index.weight(service, port, host);
  }

  /** All that is in force, as {@linkcode SpoolIndex.activeEntries} tells it. */
  get activeEntries(): ActiveEntries {
    return this.#index.activeEntries;
  }

  /**
   * The first of what is in force, as {@linkcode SpoolIndex.firstActiveEntries} tells it.
   *
   * @param most How many downtimes, and how many weights, at most.
   */
  firstActiveEntries(most: number): ReturnType<SpoolIndex["firstActiveEntries"]> {
    return this.#index.firstActiveEntries(most);
  }

  /**
   * Reads one record or weight again, at once.
   *
   * @param name The name of its file.
   * @returns Whether what is known of it is what the file says.
   */
  refresh(name: string): boolean {
    const found = this.#read(name);
    if (found !== "none") return found === "known";
    if (!this.#isSame()) return !this.#index.has(name);
    this.#forget(name);
    return true;
  }

  /** Stops watching. What is known stays known. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#stopWatching();
    clearInterval(this.#timer);
    clearTimeout(this.#settling);
    clearTimeout(this.#catchingUp);
  }

  /** Reads one record, and keeps what is known if nobody can tell whether it is there. */
  #read(name: string): "known" | "none" | "unknown" {
    if (!isSpoolName(name)) return "none";
    let stored;
    try {
      this.#looks.set(name, this.#look(name));
      stored = this.#store.readEntry(name);
    } catch (error) {
      this.#setFault(told(error));
      return "unknown";
    }
    if (stored === undefined) {
      if (!this.#index.has(name)) this.#looks.delete(name);
      return "none";
    }
    this.#index.set(name, stored.record);
    this.#records.set(name, stored.record);
    this.#gone.delete(name);
    if (stored.problem === null) {
      this.#faulty.delete(name);
    } else if (!this.#faulty.has(name)) {
      this.#faulty.add(name);
      const message = "weight" in stored.record
        ? "{name} may not be what was meant: {fault}"
        : "{name} counts as down: {fault}";
      this.#log.warning(message, { name, fault: stored.problem });
    }
    return "known";
  }

  #forget(name: string): void {
    this.#index.delete(name);
    this.#records.delete(name);
    this.#faulty.delete(name);
    this.#looks.delete(name);
  }

  /** Forgets those of some records that are gone, unless the spool is. */
  #letGo(names: readonly string[]): void {
    const missing = names.filter((name) => this.#read(name) === "none");
    // Asked afterwards: the spool may have gone meanwhile.
    if (missing.length === 0 || !this.#isSame()) return;
    const now = performance.now();
    for (const [oldest, { at }] of this.#gone) {
      if (now - at < REMEMBER_MS) break;
      this.#gone.delete(oldest);
    }
    for (const name of missing) {
      const record = this.#records.get(name);
      this.#forget(name);
      if (record !== undefined) this.#gone.set(name, { record, at: now });
    }
  }

  /**
   * Looks at the files that speak of a service. Where thousands of changes are still to be read, those of
   * the service that is asked for, and of all services, cannot wait until it is their turn.
   */
  #lookUp({ service, port, host }: Subject, nameOf: (subject: Subject) => string): void {
    const names = [ALL, service].map((service) =>
      nameOf({ service, port: 0, host: LOCAL_ADDRESS })
    );
    if (port !== 0) names.push(nameOf({ service, port, host: LOCAL_ADDRESS }));
    if (port !== 0 && host !== LOCAL_ADDRESS) names.push(nameOf({ service, port, host }));
    for (const name of names) {
      const look = this.#look(name);
      const isKnown = this.#index.has(name);
      if (look === "" && !isKnown || isKnown && look === this.#looks.get(name)) continue;
      if (look !== "") this.#read(name);
      else if (performance.now() - this.#seeVanished(name) > MAX_SETTLE_MS) this.#letGo([name]);
    }
  }

  /** Remembers that a file is gone, and tells when it was first seen to be. */
  #seeVanished(name: string): number {
    let since = this.#vanished.get(name);
    if (since === undefined) this.#vanished.set(name, since = performance.now());
    this.#settle();
    return since;
  }

  /** Does work in slices, the first of them at once. */
  #do(work: Work): void {
    const { done, value } = work.next();
    if (!done) void this.#goOn(work, value);
  }

  async #goOn(work: Work, wait: Promise<unknown> | undefined): Promise<void> {
    for (let done: boolean | undefined = false; !done;) {
      let resume = () => work.next();
      try {
        await this.#pause(wait);
      } catch (error) {
        resume = () => work.throw(error);
      }
      if (this.#closed) return void work.return(undefined);
      ({ done, value: wait } = resume());
    }
  }

  /** Lets requests be answered before work goes on. While there is more work, the view is behind. */
  async #pause(wait?: Promise<unknown>): Promise<void> {
    this.#isBehind = true;
    clearTimeout(this.#catchingUp);
    this.#catchingUp = setTimeout(() => this.#catchUp(), QUIET_MS);
    await (wait ?? new Promise((resolve) => setTimeout(resolve, 0)));
  }

  #catchUp(): void {
    const isWorking = this.#isReadingAll || this.#isReadingChanges || this.#isLettingGo;
    // One that is not watched and takes long to read is behind most of the time.
    const isPolledSlowly = this.#watcher === undefined && this.#restsUntil > performance.now();
    this.#isBehind = isWorking || isPolledSlowly;
    if (this.#isBehind) this.#catchingUp = setTimeout(() => this.#catchUp(), QUIET_MS);
  }

  /** Puts back in force what went just before the spool did: who removes a big or slow one takes a while. */
  #restore(): void {
    const now = performance.now();
    for (const [name, { record, at }] of this.#gone) {
      if (now - at >= REMEMBER_MS) continue;
      this.#index.set(name, record);
      this.#records.set(name, record);
    }
    this.#gone.clear();
  }

  #startWatching(): void {
    try {
      this.#watcher = this.#watch(this.#store.root);
      this.#following = this.#follow(this.#watcher);
    } catch (error) {
      this.#tellPolling("cannot watch", told(error));
    }
    // What is watched can wait to be looked after.
    if (this.#watcher === undefined || this.#timer !== undefined) this.#schedule();
    else afterStartup(() => this.#timer === undefined && !this.#closed && this.#schedule());
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

  #schedule(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick(), this.#watcher === undefined ? POLL_MS : LOOK_MS);
  }

  #tellPolling(what: string, why: string): void {
    const times = 1000 / POLL_MS;
    this.#log.warning("{what} {root}, reading it {times} times a second: {why}", {
      what,
      root: this.#store.root,
      times,
      why,
    });
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    let why = "the watch ended";
    let events = 0;
    try {
      for await (const event of watcher) {
        this.#missed = undefined;
        // Deno itself has dropped events: that of the folder's removal, too, for all one knows.
        if (event.flag === "rescan") void this.#startAnew();
        else for (const path of event.paths) this.#changed(path, event.kind);
        // Thousands of changes at once must not keep balancers waiting.
        if (++events < EVENTS_PER_TURN) continue;
        events = 0;
        this.#isFlooded = true;
        await this.#pause();
      }
    } catch (error) {
      why = told(error);
    }
    if (this.#closed || this.#watcher !== watcher) return;
    this.#stopWatching();
    this.#pollInstead(why);
  }

  #pollInstead(why: string): void {
    this.#tellPolling("no longer watching", why);
    this.#schedule();
  }

  #changed(path: string, kind: Deno.FsEvent["kind"]): void {
    if (path === this.#store.root) {
      // The next one may have its inode, and be born in the same tick of the clock.
      if (kind === "remove") this.#removed = true;
      // Moved away or not to be looked into for a while, it was watched no more.
      if (kind !== "access") void this.#startAnew();
      return;
    }
    this.#changes.add(path.slice(path.lastIndexOf("/") + 1));
    if (!this.#isReadingChanges) this.#do(this.#readChanges());
  }

  /** Reads what events told of. */
  *#readChanges(): Work {
    this.#isReadingChanges = true;
    let began = performance.now();
    for (const name of this.#changes) {
      this.#changes.delete(name);
      if (this.#read(name) === "none" && this.#index.has(name)) this.#seeVanished(name);
      if (performance.now() - began < TURN_MS) continue;
      yield;
      began = performance.now();
    }
    this.#isReadingChanges = false;
  }

  /**
   * Believes that records are gone once nothing more goes: who removes the whole spool takes the records
   * first, and that is no word of an operator's on any service.
   */
  #settle(): void {
    const now = performance.now();
    if (this.#settling === undefined) this.#settlingSince = now;
    else if (now - this.#settlingSince > MAX_SETTLE_MS) return;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      if (!this.#isLettingGo) this.#do(this.#letVanishedGo());
    }, SETTLE_MS);
  }

  /** Lets go of what has vanished. */
  *#letVanishedGo(): Work {
    this.#isLettingGo = true;
    for (let began = performance.now(); this.#vanished.size > 0;) {
      const names = this.#vanished.keys().take(GONE_PER_LOOK).toArray();
      for (const name of names) this.#vanished.delete(name);
      this.#letGo(names);
      if (performance.now() - began < TURN_MS) continue;
      yield;
      began = performance.now();
    }
    this.#isLettingGo = false;
  }

  /** Looks after what no event tells of. */
  #tick(): void {
    this.#misnamed.report();
    if (!this.#isSame() || (this.#fault !== null && this.#watcher !== undefined)) {
      void this.#startAnew();
    } else if (this.#watcher === undefined) {
      if (performance.now() >= this.#restsUntil) this.#reread();
    } else {
      if (performance.now() >= this.#restsUntil && !this.#isReadingAll) this.#do(this.#compare());
      for (const name of this.#faulty.values().take(MAX_LOOKS).toArray()) {
        this.refresh(name);
        // Of too many to look at each time, all have their turn.
        if (this.#faulty.size > MAX_LOOKS && this.#faulty.delete(name)) this.#faulty.add(name);
      }
      this.#lookAround();
    }
  }

  /**
   * Looks whether records changed that no event told of. When the system has no room for more events it
   * drops them, and Deno does not pass on that it did.
   */
  #lookAround(): void {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const { done, value: name } = this.#turn.next();
      if (done) {
        this.#turn = this.#records.keys();
        return;
      }
      if (this.#look(name) !== this.#looks.get(name)) this.#read(name);
    }
  }

  /**
   * Looks whether names came or went that no event told of. Deno tells of no link that leads elsewhere;
   * and at a pipe its watcher waits for ever, and tells of nothing that comes after it.
   */
  *#compare(): Work {
    this.#isReadingAll = true;
    const startedAt = performance.now();
    try {
      const changedAt = Deno.statSync(this.#store.root).mtime?.getTime();
      if (changedAt === this.#comparedAt) return;
      const isQuiet = changedAt === this.#changedAt;
      this.#changedAt = changedAt;
      const names = yield* this.#list();
      let began = performance.now();
      for (const name of names) {
        if (!this.#index.has(name)) {
          this.#read(name);
          // An event that comes from now on may be that of this name.
          this.#missed ??= name;
        }
        if (performance.now() - began < TURN_MS) continue;
        yield;
        began = performance.now();
      }
      for (const name of this.#records.keys()) {
        if (!names.has(name) && !this.#vanished.has(name)) {
          this.#seeVanished(name);
          this.#missed ??= name;
        }
        if (performance.now() - began < TURN_MS) continue;
        yield;
        began = performance.now();
      }
      // The event of what has just changed may be on its way.
      if (!isQuiet || this.#isOutdated || this.#isReadingChanges) return;
      this.#comparedAt = changedAt;
      // In a flood of events the system drops those that it has no room for, and the watch is still good.
      const missed = this.#missed;
      const isFlooded = this.#isFlooded;
      this.#missed = undefined;
      this.#isFlooded = false;
      if (missed === undefined || isFlooded) return;
      // It is left as it is: closing a watcher that waits at a pipe would wait with it.
      this.#watcher = undefined;
      this.#pollInstead(`no event told of ${missed}`);
    } catch (error) {
      this.#setFault(told(error));
    } finally {
      this.#finishReading(startedAt);
    }
  }

  /** Lists what says something of a service. */
  *#list(): Generator<Promise<unknown> | undefined, Set<string>> {
    const { size } = Deno.statSync(this.#store.root);
    let all: string[] = [];
    if (size < BIG_FOLDER_BYTES) all = this.#store.listFiles();
    else yield this.#store.listFilesInBackground().then((names) => void (all = names));
    const names = new Set<string>();
    const misnamed: string[] = [];
    let began = performance.now();
    for (const name of all) {
      if (isSpoolName(name)) names.add(name);
      else if (isMisnamed(name)) misnamed.push(name);
      if (performance.now() - began < TURN_MS) continue;
      yield;
      began = performance.now();
    }
    this.#misnamed.update(misnamed);
    return names;
  }

  #finishReading(startedAt: number): void {
    const now = performance.now();
    this.#isReadingAll = false;
    const took = now - startedAt;
    this.#restsUntil = took < SLOW_MS ? 0 : now + REST_FACTOR * took;
    if (this.#isOutdated && !this.#closed) this.#reread();
  }

  /** Begins anew with the folder that is now at the spool's path, if there is one. */
  async #startAnew(): Promise<void> {
    try {
      const root = this.#identity();
      if (root !== this.#root || this.#removed) this.#adopt(root);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) this.#restore();
      this.#setFault(told(error));
      return;
    }
    this.#looks.clear();
    this.#missed = undefined;
    this.#stopWatching();
    this.#reread();
    // Deno has a new watcher share what the last one of that path still holds: the folder that is gone.
    await this.#following;
    if (this.#closed || this.#watcher !== undefined) return;
    this.#startWatching();
    this.#reread();
  }

  /** Takes another folder for the spool, unless it is one that says nothing. */
  #adopt(identity: string): void {
    const { root } = this.#store;
    this.#restore();
    if (this.#index.hasActiveEntries && this.#store.listEntries().length === 0) {
      throw new Error(`${root} is another folder than before, and has no record`);
    }
    if (identity !== this.#root) {
      this.#log.warning("{root} is another folder than before", { root });
    }
    this.#root = identity;
    this.#removed = false;
  }

  /** Reads everything again, or leaves everything as it is. */
  #reread(): void {
    this.#isOutdated = true;
    if (!this.#isReadingAll) this.#do(this.#readAll());
  }

  *#readAll(): Work {
    this.#isReadingAll = true;
    this.#isOutdated = false;
    const startedAt = performance.now();
    try {
      const names = yield* this.#list();
      // A file that looks as it did when it was read says what it said.
      const areLooksTrusted = this.#watcher === undefined || names.size > MAX_READ_TWICE;
      let began = performance.now();
      for (const name of names) {
        const isAsItWas = areLooksTrusted && this.#look(name) === this.#looks.get(name);
        if (!isAsItWas && this.#read(name) === "unknown") throw new Error(this.#fault ?? "");
        if (performance.now() - began < TURN_MS) continue;
        yield;
        began = performance.now();
      }
      if (this.#identity() !== this.#root) {
        throw new Error(`${this.#store.root} was replaced meanwhile`);
      }
      const gone: string[] = [];
      for (const name of this.#records.keys()) {
        if (!names.has(name)) gone.push(name);
        if (gone.length >= GONE_PER_LOOK) this.#letGo(gone.splice(0));
        if (performance.now() - began < TURN_MS) continue;
        yield;
        began = performance.now();
      }
      this.#letGo(gone);
      this.#setFault(null);
    } catch (error) {
      this.#setFault(told(error));
    } finally {
      this.#finishReading(startedAt);
    }
  }

  /** Tells whether the spool is still the folder that is known. */
  #isSame(): boolean {
    try {
      return this.#identity() === this.#root && !this.#removed;
    } catch (error) {
      this.#setFault(told(error));
    }
    return false;
  }

  #setFault(fault: string | null): void {
    if (fault === this.#fault) return;
    this.#fault = fault;
    const root = this.#store.root;
    if (fault === null) this.#log.warning("{root} can be read again", { root });
    else {this.#log.error("{root} cannot be read, what was known of it stays in force: {fault}", {
        root,
        fault,
      });}
  }

  /** Tells one folder from another, and fails where records cannot be listed or looked at. */
  #identity(): string {
    const { root } = this.#store;
    const { dev, ino, birthtime, isDirectory } = Deno.statSync(root);
    if (!isDirectory) throw new Error(`${root} is not a folder`);
    Deno.openSync(root).close();
    this.#store.readDowntime(".nobody");
    return `${dev}:${ino}:${birthtime?.getTime()}`;
  }

  #look(name: string): string {
    try {
      const { ino, mtime, ctime, size } = Deno.lstatSync(this.#store.path(name));
      return `${ino} ${mtime?.getTime()} ${ctime?.getTime()} ${size}`;
    } catch {
      return "";
    }
  }
}

function stateOf(record: DowntimeRecord | WeightRecord, now: number): RecordState {
  if (isExpired(record, now)) return "expired";
  return "weight" in record ? "weight" : record.mode;
}

function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
