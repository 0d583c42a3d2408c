import { LOCAL_ADDRESS } from "../net/addresses.ts";
import { ALL, type Subject } from "./names.ts";

/** The content of a file, with the subject that its name gives. */
export interface NamedEntry extends Subject {
  /** The name of the file. */
  readonly name: string;
}

/** The entries of one port of a service. */
export interface PortEntries<T extends NamedEntry> {
  /** Those without a host, which apply to every host. Several file names may spell the same subject. */
  readonly anyHost: Set<T>;
  /** Those with a host. */
  readonly oneHost: Set<T>;
}

/** The entries of one service. */
export interface ServiceEntries<T extends NamedEntry> {
  /** The entry of the service as a whole, on all ports. */
  serviceWide: T | undefined;
  /** The entries of its ports. */
  readonly byPort: Map<number, PortEntries<T>>;
}

/** Entries, by file name and by the service and port that they apply to. */
export class EntryMap<T extends NamedEntry> {
  readonly #services = new Map<string, ServiceEntries<T>>();
  readonly #byName = new Map<string, T>();

  /** The entry of all services of this host. */
  all: T | undefined;

  /** How many entries there are. */
  get size(): number {
    return this.#byName.size;
  }

  /** All entries. */
  values(): MapIterator<T> {
    return this.#byName.values();
  }

  /** Returns an entry. */
  get(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /** Returns the entries of a service. */
  of(service: string): ServiceEntries<T> | undefined {
    return this.#services.get(service);
  }

  /** Adds an entry, or replaces the one of the same file. */
  set(entry: T): void {
    const { name, service, port, host } = entry;
    // The name keeps its place: a loop over the entries that replaces them comes to an end.
    this.#unlink(this.#byName.get(name));
    let entries = this.#services.get(service);
    if (entries === undefined) {
      entries = { serviceWide: undefined, byPort: new Map() };
      this.#services.set(service, entries);
    }
    if (isServiceWide(entry)) {
      entries.serviceWide = entry;
      if (service === ALL) this.all = entry;
    } else {
      let ofPort = entries.byPort.get(port);
      if (ofPort === undefined) {
        entries.byPort.set(port, ofPort = { anyHost: new Set(), oneHost: new Set() });
      }
      ofPort[host === LOCAL_ADDRESS ? "anyHost" : "oneHost"].add(entry);
    }
    this.#byName.set(name, entry);
  }

  /** Removes an entry, if there is one. */
  delete(name: string): void {
    this.#unlink(this.#byName.get(name));
    this.#byName.delete(name);
  }

  #unlink(entry: T | undefined): void {
    if (entry === undefined) return;
    const { service, port } = entry;
    const entries = this.#services.get(service)!;
    if (isServiceWide(entry)) {
      entries.serviceWide = undefined;
      if (service === ALL) this.all = undefined;
    } else {
      const { anyHost, oneHost } = entries.byPort.get(port)!;
      anyHost.delete(entry);
      oneHost.delete(entry);
      if (anyHost.size === 0 && oneHost.size === 0) entries.byPort.delete(port);
    }
    if (entries.serviceWide === undefined && entries.byPort.size === 0) {
      this.#services.delete(service);
    }
  }
}

function isServiceWide({ port, isPortZero = false }: Subject): boolean {
  return port === 0 && !isPortZero;
}
