import { LOCAL_ADDRESS } from "../net/addresses.ts";
import type { Verdict } from "../checks/check.ts";
import type { ActiveEntries, ActiveEntryCounts } from "./active_entries.ts";
import { byName, parseRecordName, parseWeightName, type Subject, WEIGHT_PREFIX } from "./names.ts";
import {
  type DowntimeRecord,
  FULL_WEIGHT,
  isExpired,
  type Mode,
  stateLine,
  type WeightRecord,
} from "./entry.ts";
import { type Spoken, Subjects } from "./entry_map.ts";

/** Something that is marked down, or as draining. */
export interface Downtime extends Spoken {
  /** What stands in the record. */
  readonly record: DowntimeRecord;
  /** The answer to who asks for it. */
  readonly verdict: Verdict;
}

/** Something that was given a weight. */
interface Weighing extends Spoken {
  readonly record: WeightRecord;
}

/** The status that tells of a mode. By 404 a HAProxy with `http-check disable-on-404` knows what drains. */
const CODES: Readonly<Record<Mode, number>> = { down: 503, drain: 404 };

/**
 * Records, by what they mark.
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
  readonly #downtimes = new Subjects<Downtime>();
  readonly #weights = new Subjects<Weighing>();
  /**
   * Tells what is not over. Most records have no end, and to look at the clock would take as long as to find
   * them: 0.08 µs.
   */
  readonly #isInForce = ({ record }: Downtime | Weighing): boolean =>
    record.expiration === null || !isExpired(record, this.#now());

  /** Is called when a record or a weight came, changed or went. */
  onChange: () => void = () => {};

  /**
   * @param isOwn Tells whether an address is this machine's, and counts as 127.0.0.1.
   * @param now Tells the time in unix seconds.
   */
  constructor(
    isOwn: (address: string) => boolean = (address) => address === LOCAL_ADDRESS,
    now: () => number = () => Date.now() / 1000,
  ) {
    this.#isOwn = isOwn;
    this.#now = now;
  }

  /** The names of all files, of records and of weights. */
  get names(): string[] {
    return [...this.#downtimes.names, ...this.#weights.names];
  }

  /**
   * Tells whether there is a record or a weight of a name.
   *
   * @param name The name of its file.
   */
  has(name: string): boolean {
    return this.#downtimes.has(name) || this.#weights.has(name);
  }

  /**
   * Returns the record of a name, unless it has expired.
   *
   * @param name The name of its file.
   */
  recordOf(name: string): DowntimeRecord | undefined {
    const found = this.#downtimes.get(name);
    return found !== undefined && this.#isInForce(found) ? found.record : undefined;
  }

  /**
   * Returns the weight of a name, unless it has expired.
   *
   * @param name The name of its file.
   */
  weightOf(name: string): WeightRecord | undefined {
    const found = this.#weights.get(name);
    return found !== undefined && this.#isInForce(found) ? found.record : undefined;
  }

  /** How many records there are, expired ones included. Weights are none. */
  get size(): number {
    return this.#downtimes.size;
  }

  /** Whether anything is marked or has a weight, and is not over. */
  get hasActiveEntries(): boolean {
    return this.#downtimes.values().some(this.#isInForce) ||
      this.#weights.values().some(this.#isInForce);
  }

  /** All that is marked or has a weight, and is not over. */
  get activeEntries(): ActiveEntries {
    return this.firstActiveEntries(Infinity).first;
  }

  /**
   * The first of what is in force, by name. All of 100,000 records take hundreds of milliseconds to sort and copy.
   *
   * @param most How many downtimes, and how many weights, at most.
   * @returns These, and how many there are.
   */
  firstActiveEntries(
    most: number,
  ): { readonly first: ActiveEntries; readonly counts: ActiveEntryCounts } {
    const downtimes = firstByName(this.#downtimes.values().filter(this.#isInForce), most);
    const weights = firstByName(this.#weights.values().filter(this.#isInForce), most);
    return {
      first: {
        downtimes: downtimes.first.map(({ record, ...said }) => {
          return { ...toldOf(said.name, said), ...record };
        }),
        weights: weights.first.map(({ record, ...said }) => {
          const name = said.name.slice(WEIGHT_PREFIX.length);
          return { ...toldOf(name, said), ...record };
        }),
      },
      counts: { downtimes: downtimes.count, weights: weights.count },
    };
  }

  /**
   * Puts a record or a weight in, or in the place of the one of that name.
   *
   * @param name The name of its file. One that is not that of such a file is passed over.
   * @param record What stands in it.
   */
  set(name: string, record: DowntimeRecord | WeightRecord): void {
    if ("weight" in record) {
      const subject = parseWeightName(name);
      if (subject !== undefined) this.#weights.set({ name, ...subject, record });
      return this.onChange();
    }
    const subject = parseRecordName(name);
    if (subject === undefined) return;
    const verdict = { code: CODES[record.mode], message: stateLine(subject.service, record) };
    this.#downtimes.set({ name, ...subject, record, verdict });
    this.onChange();
  }

  /**
   * Takes a record or a weight out.
   *
   * @param name The name of its file.
   */
  delete(name: string): void {
    this.#downtimes.delete(name);
    this.#weights.delete(name);
    this.onChange();
  }

  /**
   * Finds what keeps a service down: `all`, then the service, then its port, then its port on that host.
   *
   * @param service The service's name.
   * @param port The port that is asked for, or 0.
   * @param host The canonical IP address that is asked for.
   * @returns The first record that has not expired and says down, else the first that says draining;
   * undefined if there is none: the service is up.
   */
  find(service: string, port: number, host: string): Downtime | undefined {
    if (this.#downtimes.size === 0) return undefined;
    let draining: Downtime | undefined;
    const { all } = this.#downtimes;
    if (all !== undefined && this.#isInForce(all)) {
      if (all.record.mode === "down") return all;
      draining = all;
    }
    const records = this.#downtimes.of(service);
    if (records === undefined) return draining;
    const { whole } = records;
    if (whole !== undefined && this.#isInForce(whole)) {
      if (whole.record.mode === "down") return whole;
      draining ??= whole;
    }
    for (const downtime of records.byPort.get(port) ?? NONE) {
      if (!this.#isInForce(downtime) || !this.#isMeant(downtime, host)) continue;
      if (downtime.record.mode === "down") return downtime;
      draining ??= downtime;
    }
    return draining;
  }

  /**
   * Finds the weight that a service is to have: that of its port on that host, else of its port, else its
   * own, else that of `all`.
   *
   * @param service The service's name.
   * @param port The port that is asked for, or 0.
   * @param host The canonical IP address that is asked for.
   * @returns From 0 to 100; 100 if there is none; null if the file does not tell, and no weight is to change.
   */
  weight(service: string, port: number, host: string): number | null {
    if (this.#weights.size === 0) return FULL_WEIGHT;
    const { all } = this.#weights;
    const { whole, byPort } = this.#weights.of(service) ?? {};
    const ofPort = byPort?.get(port) ?? [];
    const found = ofPort.findLast((said) => this.#isMeant(said, host) && this.#isInForce(said)) ??
      [whole, all].find((said) => said !== undefined && this.#isInForce(said));
    return found === undefined ? FULL_WEIGHT : found.record.weight;
  }

  /** Tells whether what is said of a port is said of it on a host, too. */
  #isMeant({ host: said }: Spoken, host: string): boolean {
    return said === LOCAL_ADDRESS || said === host ||
      (host === LOCAL_ADDRESS && this.#isOwn(said));
  }
}

const NONE: readonly Downtime[] = [];

function firstByName<T extends { readonly name: string }>(
  values: Iterable<T>,
  most: number,
): { readonly first: readonly T[]; readonly count: number } {
  if (most === Infinity) {
    const all = [...values].sort(byName);
    return { first: all, count: all.length };
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

function toldOf(name: string, { service, port, host }: Subject): Subject & { name: string } {
  return { name, service, port, host };
}
