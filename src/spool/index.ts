import { LOCAL_ADDRESS } from "../net/addresses.ts";
import type {
  ActiveDowntime,
  ActiveEntries,
  ActiveEntryCounts,
  ActiveWeight,
} from "./active_entries.ts";
import {
  type DowntimeRecord,
  type Entry,
  FULL_WEIGHT,
  isExpired,
  type Mode,
  stateLine,
  type WeightRecord,
} from "./entry.ts";
import { EntryMap, type NamedEntry } from "./entry_map.ts";
import {
  parseRecordName,
  parseWeightName,
  recordName,
  type Subject,
  WEIGHT_PREFIX,
  weightName,
} from "./names.ts";

/** A record in the index. */
export interface Downtime extends NamedEntry {
  /** The content of its file. */
  readonly record: DowntimeRecord;
  /** The verdict of the checks that it matches. */
  readonly verdict: { readonly code: number; readonly message: string };
}

/** A weight in the index. */
interface Weight extends NamedEntry {
  readonly record: WeightRecord;
}

/** The status for each mode. A HAProxy with `http-check disable-on-404` takes 404 as draining. */
const CODES: Readonly<Record<Mode, number>> = { down: 503, drain: 404 };

/**
 * The records and weights of the spool, in memory.
 *
 * @example
 * ```ts
 * import { SpoolIndex } from "./index.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const index = new SpoolIndex();
 * index.set("web:8080", { mode: "down", reason: "maint", expiration: null, creation: null });
 * assertEquals(index.find("web", 8080, "127.0.0.1")?.verdict, {
 *   code: 503,
 *   message: "Service web in down state: maint",
 * });
 * assertEquals(index.find("web", 8081, "127.0.0.1"), undefined);
 * ```
 */
export class SpoolIndex {
  readonly #isOwn: (address: string) => boolean;
  readonly #now: () => number;
  readonly #downtimes = new EntryMap<Downtime>();
  readonly #weights = new EntryMap<Weight>();
  // Most entries never expire; reading the clock would take as long as finding them.
  readonly #isActive = ({ record }: Downtime | Weight): boolean =>
    record.expiration === null || !isExpired(record, this.#now());

  #version = 0;

  /** Called after an entry was added, changed or removed. */
  onChange: (name: string, before: Entry | undefined, after: Entry | undefined) => void = () => {};

  /** Called before a lookup while the index may be out of date; null while it is not. */
  beforeLookup: ((subject: Subject, nameOf: (subject: Subject) => string) => void) | null = null;

  /**
   * @param isOwn Whether an address is this machine's own, and counts as 127.0.0.1.
   * @param now Returns the time in unix seconds.
   */
  constructor(
    isOwn: (address: string) => boolean = (address) => address === LOCAL_ADDRESS,
    now: () => number = () => Date.now() / 1000,
  ) {
    this.#isOwn = isOwn;
    this.#now = now;
  }

  /** Another number after each change of an entry. */
  get version(): number {
    return this.#version;
  }

  /** How many records there are, expired ones included. Weights do not count. */
  get size(): number {
    return this.#downtimes.size;
  }

  /** All entries by file name, those that are added during the iteration included. */
  *entries(): Generator<readonly [name: string, entry: Entry], undefined> {
    for (const { name, record } of this.#downtimes.values()) yield [name, record];
    for (const { name, record } of this.#weights.values()) yield [name, record];
  }

  /** The names of all files. */
  get names(): IteratorObject<string> {
    return this.entries().map(([name]) => name);
  }

  /** Tests whether there is an entry, expired or not. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Returns an entry, expired or not. */
  get(name: string): Entry | undefined {
    return (this.#downtimes.get(name) ?? this.#weights.get(name))?.record;
  }

  /** Returns a record, unless it has expired. */
  activeRecord(name: string): DowntimeRecord | undefined {
    const found = this.#downtimes.get(name);
    return found !== undefined && this.#isActive(found) ? found.record : undefined;
  }

  /** Returns a weight, unless it has expired. */
  activeWeight(name: string): WeightRecord | undefined {
    const found = this.#weights.get(name);
    return found !== undefined && this.#isActive(found) ? found.record : undefined;
  }

  /** Whether there is a record that has not expired. */
  get hasActiveDowntimes(): boolean {
    return this.#downtimes.values().some(this.#isActive);
  }

  /** Whether there is a record or a weight that has not expired. */
  get hasActiveEntries(): boolean {
    return this.hasActiveDowntimes || this.#weights.values().some(this.#isActive);
  }

  /** The records and weights that have not expired, sorted by name. */
  get activeEntries(): ActiveEntries {
    return this.firstActiveEntries(Infinity).first;
  }

  /**
   * Returns the first records and weights by name that have not expired. Sorting and copying all of 100,000
   * takes hundreds of milliseconds.
   *
   * @param most How many records, and how many weights, at most.
   * @returns These, and how many there are.
   */
  firstActiveEntries(
    most: number,
  ): { readonly first: ActiveEntries; readonly counts: ActiveEntryCounts } {
    const downtimes = firstByName(this.#downtimes.values().filter(this.#isActive), most);
    const weights = firstByName(this.#weights.values().filter(this.#isActive), most);
    return {
      first: {
        downtimes: downtimes.first.map((found): ActiveDowntime => active(found.name, found)),
        weights: weights.first.map((found): ActiveWeight =>
          active(found.name.slice(WEIGHT_PREFIX.length), found)
        ),
      },
      counts: { downtimes: downtimes.count, weights: weights.count },
    };
  }

  /**
   * Adds an entry, or replaces the one of the same file.
   *
   * @param name The name of its file. An entry with a name of another kind is ignored.
   * @param record The content of its file.
   */
  set(name: string, record: Entry): void {
    const before = this.get(name);
    if ("weight" in record) {
      const subject = parseWeightName(name);
      if (subject === undefined) return;
      this.#weights.set({ name, ...subject, record });
    } else {
      const subject = parseRecordName(name);
      if (subject === undefined) return;
      const verdict = { code: CODES[record.mode], message: stateLine(subject.service, record) };
      this.#downtimes.set({ name, ...subject, record, verdict });
    }
    this.#changed(name, before, record);
  }

  /** Removes an entry, if there is one. */
  delete(name: string): void {
    const before = this.get(name);
    this.#downtimes.delete(name);
    this.#weights.delete(name);
    this.#changed(name, before, undefined);
  }

  #changed(name: string, before: Entry | undefined, after: Entry | undefined): void {
    this.#version++;
    this.onChange(name, before, after);
  }

  /**
   * Finds the record that keeps a service out: of `all`, the service, its port, or its port on that host.
   *
   * @param port The port of the check, or 0.
   * @param host The canonical IP address of the check.
   * @returns The first active record that is down, else the first that is draining; undefined if the service
   * is up.
   */
  find(service: string, port: number, host: string): Downtime | undefined {
    if (this.beforeLookup !== null) this.beforeLookup({ service, port, host }, recordName);
    if (this.#downtimes.size === 0) return undefined;
    let draining: Downtime | undefined;
    const { all } = this.#downtimes;
    if (all !== undefined && this.#isActive(all)) {
      if (all.record.mode === "down") return all;
      draining = all;
    }
    const entries = this.#downtimes.of(service);
    if (entries === undefined) return draining;
    const { serviceWide } = entries;
    if (serviceWide !== undefined && this.#isActive(serviceWide)) {
      if (serviceWide.record.mode === "down") return serviceWide;
      draining ??= serviceWide;
    }
    const ofPort = entries.byPort.get(port);
    if (ofPort === undefined) return draining;
    for (const downtimes of [ofPort.anyHost, ofPort.oneHost]) {
      for (const downtime of downtimes) {
        if (!this.#isActive(downtime) || !this.#matchesHost(downtime, host)) continue;
        if (downtime.record.mode === "down") return downtime;
        draining ??= downtime;
      }
    }
    return draining;
  }

  /**
   * Finds the weight of a service: that of its port on that host, else of its port, else its own, else of `all`.
   *
   * @param port The port of the check, or 0.
   * @param host The canonical IP address of the check.
   * @returns From 0 to 100; 100 if there is none; null if its file is invalid, and no weight is to change.
   */
  weight(service: string, port: number, host: string): number | null {
    if (this.beforeLookup !== null) this.beforeLookup({ service, port, host }, weightName);
    if (this.#weights.size === 0) return FULL_WEIGHT;
    const { serviceWide, byPort } = this.#weights.of(service) ?? {};
    const { oneHost = NO_WEIGHTS, anyHost = NO_WEIGHTS } = byPort?.get(port) ?? {};
    for (const weights of [oneHost, anyHost, [serviceWide, this.#weights.all]]) {
      for (const weight of weights) {
        if (weight === undefined || !this.#isActive(weight)) continue;
        if (this.#matchesHost(weight, host)) return weight.record.weight;
      }
    }
    return FULL_WEIGHT;
  }

  /** An entry without a host has that of this machine, and matches every host. */
  #matchesHost({ host: own }: NamedEntry, host: string): boolean {
    return own === LOCAL_ADDRESS || own === host || (host === LOCAL_ADDRESS && this.#isOwn(own));
  }
}

const NO_WEIGHTS: ReadonlySet<Weight> = new Set();

/** Copies keys one by one: with spreads, 100,000 entries take three times as long. */
function active<R extends Entry>(
  name: string,
  { service, port, host, record }: Subject & { readonly record: R },
): Subject & { readonly name: string } & R {
  return Object.assign({ name, service, port, host }, record);
}

/** Sorts values by name and returns the first. */
function firstByName<T extends { readonly name: string }>(
  values: Iterable<T>,
  most: number,
): { readonly first: readonly T[]; readonly count: number } {
  if (most === Infinity) {
    const all = [...values];
    // The default order of strings needs no comparison in JavaScript.
    const byName = new Map(all.map((value) => [value.name, value]));
    const names = [...byName.keys()].sort();
    return { first: names.map((name) => byName.get(name)!), count: all.length };
  }
  const first: T[] = [];
  let count = 0;
  for (const value of values) {
    count++;
    if (first.length >= most) {
      if (most === 0 || value.name > first.at(-1)!.name) continue;
      first.pop();
    }
    let low = 0;
    for (let high = first.length; low < high;) {
      const middle = (low + high) >> 1;
      if (first[middle]!.name < value.name) low = middle + 1;
      else high = middle;
    }
    first.splice(low, 0, value);
  }
  return { first, count };
}
