import { LOCAL_ADDRESS } from "../addresses.ts";
import type { Verdict } from "../check.ts";
import { ALL, parseRecordName } from "./names.ts";
import { downLine, isExpired, type SpoolRecord } from "./record.ts";

/** Something that is marked down. */
export interface Downtime {
  /** The name of the record's file. */
  readonly name: string;
  /** What stands in it. */
  readonly record: SpoolRecord;
  /** The answer to who asks for it. */
  readonly verdict: Verdict;
}

interface HostDowntime extends Downtime {
  readonly host: string;
}

/** The records of one service. */
interface ServiceRecords {
  /** The one that speaks of the service as a whole. */
  whole: Downtime | undefined;
  readonly byPort: Map<number, HostDowntime[]>;
}

/**
 * Records, by what they mark down.
 *
 * @example
 * ```ts
 * import { SpoolIndex } from "./index.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const index = new SpoolIndex();
 * index.set("web:8080", { reason: "maint", expiration: null, creation: null });
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
  readonly #services = new Map<string, ServiceRecords>();
  readonly #names = new Set<string>();
  #all: Downtime | undefined;

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

  /** The names of the records' files. */
  get names(): Iterable<string> {
    return this.#names;
  }

  /**
   * Tells whether there is a record of a name.
   *
   * @param name The name of its file.
   */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** How many records there are, expired ones included. */
  get size(): number {
    return this.#names.size;
  }

  /**
   * Puts a record in, or in the place of the one of that name.
   *
   * @param name The name of its file. One that is not a record's is passed over.
   * @param record What stands in it.
   */
  set(name: string, record: SpoolRecord): void {
    const subject = parseRecordName(name);
    if (subject === undefined) return;
    this.delete(name);
    const { service, port, host } = subject;
    const verdict = { code: 503, message: downLine(service, record) };
    let records = this.#services.get(service);
    if (records === undefined) {
      records = { whole: undefined, byPort: new Map() };
      this.#services.set(service, records);
    }
    if (port === 0) {
      records.whole = { name, record, verdict };
      if (service === ALL) this.#all = records.whole;
    } else {
      const downtimes = records.byPort.get(port) ?? [];
      // The one without a host is asked first.
      downtimes[host === LOCAL_ADDRESS ? "unshift" : "push"]({ name, record, verdict, host });
      records.byPort.set(port, downtimes);
    }
    this.#names.add(name);
  }

  /**
   * Takes a record out.
   *
   * @param name The name of its file.
   */
  delete(name: string): void {
    if (!this.#names.delete(name)) return;
    const { service, port } = parseRecordName(name)!;
    const records = this.#services.get(service)!;
    if (port === 0) {
      records.whole = undefined;
      if (service === ALL) this.#all = undefined;
    } else {
      const downtimes = records.byPort.get(port)!.filter((downtime) => downtime.name !== name);
      if (downtimes.length > 0) records.byPort.set(port, downtimes);
      else records.byPort.delete(port);
    }
    if (records.whole === undefined && records.byPort.size === 0) this.#services.delete(service);
  }

  /**
   * Finds what keeps a service down: `all`, then the service, then its port, then its port on that host.
   *
   * @param service The service's name.
   * @param port The port that is asked for, or 0.
   * @param host The canonical IP address that is asked for.
   * @returns The first record that has not expired, or undefined: the service is up.
   */
  find(service: string, port: number, host: string): Downtime | undefined {
    if (this.#names.size === 0) return undefined;
    const now = this.#now();
    if (this.#all !== undefined && !isExpired(this.#all.record, now)) return this.#all;
    const records = this.#services.get(service);
    if (records === undefined) return undefined;
    if (records.whole !== undefined && !isExpired(records.whole.record, now)) return records.whole;
    return records.byPort.get(port)?.find((downtime) =>
      !isExpired(downtime.record, now) &&
      (downtime.host === LOCAL_ADDRESS || downtime.host === host ||
        (host === LOCAL_ADDRESS && this.#isOwn(downtime.host)))
    );
  }
}
