import { LOCAL_ADDRESS } from "../net/addresses.ts";
import { ALL, type Subject } from "./names.ts";

/** What stands in a file, with what it speaks of. */
export interface Spoken extends Subject {
  /** The name of the file. */
  readonly name: string;
}

/** All that is said of one service. */
export interface SaidOfService<T extends Spoken> {
  /** What speaks of the service as a whole. */
  whole: T | undefined;
  /** What speaks of a port of it: first without a host, then with one. */
  readonly byPort: Map<number, T[]>;
}

/** What files say, by what they speak of. */
export class Subjects<T extends Spoken> {
  readonly #services = new Map<string, SaidOfService<T>>();
  readonly #byName = new Map<string, T>();

  /** What speaks of everything on this host. */
  all: T | undefined;

  /** How much is said. */
  get size(): number {
    return this.#byName.size;
  }

  /** The names of the files. */
  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** All that is said. */
  values(): IteratorObject<T> {
    return this.#byName.values();
  }

  /**
   * Tells whether a file says something.
   *
   * @param name Its name.
   */
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * Returns what a file says.
   *
   * @param name Its name.
   */
  get(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /**
   * All that is said of a service.
   *
   * @param service Its name.
   */
  of(service: string): SaidOfService<T> | undefined {
    return this.#services.get(service);
  }

  /**
   * Puts in what a file says, in the place of what it said before.
   *
   * @param said What it says.
   */
  set(said: T): void {
    const { name, service, port, host, isPortZero = false } = said;
    this.delete(name);
    let records = this.#services.get(service);
    if (records === undefined) {
      records = { whole: undefined, byPort: new Map() };
      this.#services.set(service, records);
    }
    if (port === 0 && !isPortZero) {
      records.whole = said;
      if (service === ALL) this.all = said;
    } else {
      const ofPort = records.byPort.get(port) ?? [];
      ofPort[host === LOCAL_ADDRESS ? "unshift" : "push"](said);
      records.byPort.set(port, ofPort);
    }
    this.#byName.set(name, said);
  }

  /**
   * Takes out what a file said.
   *
   * @param name Its name.
   */
  delete(name: string): void {
    const said = this.#byName.get(name);
    if (said === undefined) return;
    this.#byName.delete(name);
    const { service, port, isPortZero = false } = said;
    const records = this.#services.get(service)!;
    if (port === 0 && !isPortZero) {
      records.whole = undefined;
      if (service === ALL) this.all = undefined;
    } else {
      const ofPort = records.byPort.get(port)!.filter((other) => other !== said);
      if (ofPort.length > 0) records.byPort.set(port, ofPort);
      else records.byPort.delete(port);
    }
    if (records.whole === undefined && records.byPort.size === 0) this.#services.delete(service);
  }
}
