import type { Log } from "../log.ts";
import { soon } from "../soon.ts";
import type { InForce } from "./in_force.ts";
import type { Downtime, SpoolIndex } from "./index.ts";
import { isSpoolName } from "./names.ts";
import { isExpired, type SpoolRecord, type WeightRecord } from "./record.ts";
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

/** How many faulty records are told of by name. */
const MAX_NAMES = 10;

/** For how long changes are followed before others have their turn, in milliseconds. */
const TURN_MS = 5;

/** What a {@linkcode SpoolView} works with. */
export interface SpoolViewOptions {
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
  /** How many records and weights cannot be read or make no sense: such a record is down. */
  readonly faulty: number;
  /** Which these are, or some of them. */
  readonly faulty_names: readonly string[];
}

/** What a record or a weight does. One that is expired does nothing; a record that is faulty is down. */
export type RecordState = "down" | "drain" | "weight" | "expired" | "faulty";

/** A record that is gone. */
interface Gone {
  readonly record: SpoolRecord | WeightRecord;
  readonly at: number;
}

/**
 * What the daemon knows of the spool, live in memory.
 *
 * The folder is watched, and a file is read when it changes: no check waits for a
 * file. A spool that vanishes or cannot be read any more leaves in force what was
 * known last. So does one that comes back as another folder without any record: a file
 * system that is not mounted, or a package that makes the folder anew, speaks of no service.
 */
export class SpoolView implements Disposable {
  readonly #store: SpoolStore;
  readonly #index: SpoolIndex;
  readonly #log: Log;
  readonly #watch: (root: string) => Deno.FsWatcher;
  readonly #records = new Map<string, SpoolRecord | WeightRecord>();
  readonly #gone = new Map<string, Gone>();
  readonly #faulty = new Set<string>();
  readonly #vanished = new Set<string>();
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
      SpoolViewOptions,
  ) {
    this.#store = store;
    this.#index = index;
    this.#log = log;
    this.#watch = watch;
    this.#root = this.#identity();
    // Watched first, so that no change falls between reading and watching.
    this.#startWatching();
    try {
      this.#readAll();
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
      faulty: this.#faulty.size,
      faulty_names: this.#faulty.values().take(MAX_NAMES).toArray(),
    };
  }

  /**
   * Counts the records and weights that are known, by what they do.
   *
   * @param now The time in unix seconds.
   */
  states(now: number): Record<RecordState, number> {
    const states = { down: 0, drain: 0, weight: 0, expired: 0, faulty: 0 };
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
    return this.#index.weight(service, port, host);
  }

  /** All that is in force, as {@linkcode SpoolIndex.inForce} tells it. */
  get inForce(): InForce {
    return this.#index.inForce;
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
  }

  /** Reads one record, and keeps what is known if nobody can tell whether it is there. */
  #read(name: string): "known" | "none" | "unknown" {
    if (!isSpoolName(name)) return "none";
    let stored;
    try {
      this.#looks.set(name, this.#look(name));
      stored = this.#store.readAny(name);
    } catch (error) {
      this.#setFault(told(error));
      return "unknown";
    }
    if (stored === undefined) return "none";
    this.#index.set(name, stored.record);
    this.#records.set(name, stored.record);
    this.#gone.delete(name);
    if (stored.fault === null) {
      this.#faulty.delete(name);
    } else if (!this.#faulty.has(name)) {
      this.#faulty.add(name);
      const message = "weight" in stored.record
        ? "{name} may not be what was meant: {fault}"
        : "{name} counts as down: {fault}";
      this.#log.warning(message, { name, fault: stored.fault });
    }
    return "known";
  }

  #forget(name: string): void {
    this.#index.delete(name);
    this.#records.delete(name);
    this.#faulty.delete(name);
    this.#looks.delete(name);
  }

  /** Forgets a record that is gone, unless the spool is. */
  #letGo(name: string): void {
    const record = this.#records.get(name);
    if (!this.refresh(name) || record === undefined || this.#index.has(name)) return;
    const now = performance.now();
    for (const [oldest, { at }] of this.#gone) {
      if (now - at < REMEMBER_MS) break;
      this.#gone.delete(oldest);
    }
    this.#gone.set(name, { record, at: now });
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
    else soon(() => this.#timer === undefined && !this.#closed && this.#schedule());
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
    let spent = 0;
    try {
      for await (const event of watcher) {
        const began = performance.now();
        this.#missed = undefined;
        // Deno itself has dropped events: that of the folder's removal, too, for all one knows.
        if (event.flag === "rescan") void this.#startAnew();
        else for (const path of event.paths) this.#changed(path, event.kind);
        spent += performance.now() - began;
        // Thousands of changes at once must not keep balancers waiting.
        if (spent < TURN_MS) continue;
        spent = 0;
        await new Promise((resolve) => setTimeout(resolve, 0));
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
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (this.#read(name) === "none" && this.#index.has(name)) {
      this.#vanished.add(name);
      this.#settle();
    }
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
      for (const name of this.#vanished) this.#letGo(name);
      this.#vanished.clear();
    }, SETTLE_MS);
  }

  /** Looks after what no event tells of. */
  #tick(): void {
    if (!this.#isSame() || (this.#fault !== null && this.#watcher !== undefined)) {
      void this.#startAnew();
    } else if (this.#watcher === undefined) this.#reread();
    else {
      this.#compare();
      for (const name of [...this.#faulty]) this.refresh(name);
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
  #compare(): void {
    try {
      const changedAt = Deno.statSync(this.#store.root).mtime?.getTime();
      if (changedAt === this.#comparedAt) return;
      const isQuiet = changedAt === this.#changedAt;
      this.#changedAt = changedAt;
      const names = new Set(this.#store.listAll());
      const come = [...names].filter((name) => !this.#index.has(name));
      const gone = this.#index.names.filter((name) =>
        !names.has(name) && !this.#vanished.has(name)
      );
      for (const name of come) this.#read(name);
      for (const name of gone) this.#vanished.add(name);
      if (gone.length > 0) this.#settle();
      this.#missed ??= come[0] ?? gone[0];
      // The event of what has just changed may be on its way.
      if (!isQuiet) return;
      this.#comparedAt = changedAt;
      if (this.#missed === undefined) return;
      // It is left as it is: closing a watcher that waits at a pipe would wait with it.
      this.#watcher = undefined;
      this.#pollInstead(`no event told of ${this.#missed}`);
    } catch (error) {
      this.#setFault(told(error));
    }
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
    if (this.#index.isAnyInForce && this.#store.listAll().length === 0) {
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
    try {
      this.#readAll();
      this.#setFault(null);
    } catch (error) {
      this.#setFault(told(error));
    }
  }

  #readAll(): void {
    const names = new Set(this.#store.listAll());
    for (const name of names) {
      // A file that looks as it did when it was read says what it said.
      if (this.#watcher === undefined && this.#look(name) === this.#looks.get(name)) continue;
      if (this.#read(name) === "unknown") throw new Error(this.#fault ?? "");
    }
    if (this.#identity() !== this.#root) {
      throw new Error(`${this.#store.root} was replaced meanwhile`);
    }
    for (const name of this.#index.names) {
      if (!names.has(name)) this.#letGo(name);
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
    this.#store.read(".nobody");
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

function stateOf(record: SpoolRecord | WeightRecord, now: number): RecordState {
  if (isExpired(record, now)) return "expired";
  return "weight" in record ? "weight" : record.mode;
}

function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
