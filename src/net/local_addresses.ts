import { createLRU } from "lru.min";
import { canonicalAddress, isLoopback, LOCAL_ADDRESS } from "./addresses.ts";
import type { Log } from "../log/log.ts";

/** How many results are cached. */
export const MAX_CACHED_ADDRESSES = 1000;

/** How long a result is cached, in milliseconds. An address may move to this machine, or away from it. */
const TTL_MS = 2000;

/** How many addresses are tested by sending at once. Others count as foreign for now. */
const MAX_SENDING = 100;

/** Multicast and broadcast addresses, on which each machine can listen. */
const SHARED = /^(?:22[4-9]|2[3-5]\d)\./;

/** A version of the Internet Protocol. */
export type Family = "IPv4" | "IPv6";

/** Addresses for documentation (RFC 5737, RFC 3849). A machine that can listen on all of them can listen on any address. */
const FOREIGN: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
  IPv6: ["2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"],
};

/** How own addresses are found then. */
const CONSEQUENCE: Readonly<Record<Family, string>> = {
  IPv4: "an IPv4 address belongs to this machine if it can send from it",
  IPv6: "no IPv6 address counts as one of this machine",
};

/** How own addresses are found, as `/status` shows it. */
export interface LocalAddressesReport {
  /** Whether `own_addresses` names them. */
  readonly configured: boolean;
  /** The versions of IP for which programs can listen on any address. */
  readonly nonlocal_bind: readonly Family[];
}

/** The result for an address. */
interface Finding {
  readonly isOwn: boolean;
  /** Until when it is reused, by `performance.now()`. */
  readonly until: number;
}

/** Distinguishes the addresses of this machine from foreign ones. */
export class LocalAddresses {
  readonly #log: Log | undefined;
  readonly #findings = createLRU<string, Finding>({ max: MAX_CACHED_ADDRESSES });
  readonly #sending = new Map<string, Promise<boolean>>();
  readonly #isForeignBound = new Map<Family, boolean>();
  readonly #listed: ReadonlySet<string> | null;

  /**
   * @param log Logs changes of the system's settings.
   * @param listed The addresses of this machine; null to test each address.
   */
  constructor(log?: Log, listed: readonly string[] | null = null) {
    this.#log = log;
    this.#listed = listed === null ? null : new Set(listed.map((text) => canonicalAddress(text)!));
  }

  /** The number of cached results. */
  get cached(): number {
    return this.#findings.size;
  }

  /** How own addresses are found. */
  get report(): LocalAddressesReport {
    return { configured: this.#listed !== null, nonlocal_bind: nonlocalBind() };
  }

  /**
   * Tests whether an address belongs to an interface of this machine.
   *
   * It is one if listening on it succeeds. That needs no permission to list the interfaces. With
   * `net.ipv4.ip_nonlocal_bind=1` it always succeeds, and sending from the address is the test. Other loopback
   * addresses than 127.0.0.1 are not own: each may be that of another service.
   */
  has(address: string): boolean | Promise<boolean> {
    if (address === LOCAL_ADDRESS) return true;
    if (isLoopback(address) || SHARED.test(address)) return false;
    if (this.#listed !== null) return this.#listed.has(address);
    const known = this.#findings.get(address);
    if (known !== undefined && performance.now() < known.until) return known.isOwn;
    const isOwn = this.#byListening(address);
    if (isOwn !== "by sending") return this.#cache(address, isOwn);
    return this.#bySending(address);
  }

  /**
   * Does the same at once, for records of a host. It is true if that is not known yet: the record is then in force.
   */
  mayHave(address: string): boolean {
    const isOwn = this.has(address);
    return typeof isOwn === "boolean" ? isOwn : this.#findings.get(address)?.isOwn ?? true;
  }

  /** Undefined if the system does not show it. */
  #byListening(address: string): boolean | undefined | "by sending" {
    const result = listenOn(address);
    if (result !== "yes") return result === "no" ? false : undefined;
    const family = address.includes(":") ? "IPv6" : "IPv4";
    const foreign = listenOnForeign(family);
    if (foreign === "yes" || foreign === "no") this.#logChange(family, foreign === "yes");
    if (foreign === "no") return true;
    if (family === "IPv4") return "by sending";
    // A program with the permission to listen on this address only was granted its own.
    if (foreign === "not permitted") return true;
    return foreign === "yes" ? false : undefined;
  }

  #bySending(address: string): Promise<boolean> {
    const sending = this.#sending.get(address);
    if (sending !== undefined) return sending;
    if (this.#sending.size >= MAX_SENDING) return Promise.resolve(false);
    const found = sendFrom(address).then((isOwn) => {
      this.#sending.delete(address);
      return this.#cache(address, isOwn);
    });
    this.#sending.set(address, found);
    return found;
  }

  /** Caches a result. An error such as too many open files is no result. */
  #cache(address: string, isOwn: boolean | undefined): boolean {
    if (isOwn !== undefined) {
      this.#findings.set(address, { isOwn, until: performance.now() + TTL_MS });
    }
    return isOwn ?? false;
  }

  #logChange(family: Family, isBound: boolean): void {
    const before = this.#isForeignBound.get(family);
    this.#isForeignBound.set(family, isBound);
    // The daemon has logged the first state.
    if (before === undefined || before === isBound) return;
    if (isBound) this.#log?.warning("{warning}", { warning: nonlocalBindWarning(family) });
    else this.#log?.info("{setting} is off again", { setting: settingOf(family) });
  }
}

/**
 * Returns the versions of IP for which programs can listen on foreign addresses, a usual setting with keepalived.
 */
export function nonlocalBind(): Family[] {
  return (["IPv4", "IPv6"] as const).filter((family) => listenOnForeign(family) === "yes");
}

/** Returns the warning about that. */
export function nonlocalBindWarning(family: Family): string {
  return `${settingOf(family)} is on (listening on ${FOREIGN[family][0]} succeeds): ` +
    `${CONSEQUENCE[family]}; own_addresses in the configuration can name the addresses`;
}

function settingOf(family: Family): string {
  return `net.${family.toLowerCase()}.ip_nonlocal_bind`;
}

type ListenResult = "yes" | "no" | "not permitted" | "unknown";

function listenOn(address: string): ListenResult {
  try {
    Deno.listen({ hostname: address, port: 0 }).close();
    return "yes";
  } catch (error) {
    if (error instanceof Deno.errors.AddrNotAvailable) return "no";
    return error instanceof Deno.errors.NotCapable ? "not permitted" : "unknown";
  }
}

/** Returns yes if it succeeds on all of them: a laboratory may use one. */
function listenOnForeign(family: Family): ListenResult {
  for (const address of FOREIGN[family]) {
    const result = listenOn(address);
    if (result !== "yes") return result;
  }
  return "yes";
}

/**
 * Tests whether a datagram can be sent from an address to this machine. The system has no route from a foreign IPv4
 * address, whatever `net.ipv4.ip_nonlocal_bind` is. The datagram does not leave the machine.
 *
 * @returns Undefined if the system does not show it.
 */
async function sendFrom(address: string): Promise<boolean | undefined> {
  const sockets: Deno.DatagramConn[] = [];
  const open = (hostname: string) => {
    const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
    sockets.push(socket);
    return socket;
  };
  try {
    const receiver = open(LOCAL_ADDRESS);
    await open(address).send(new Uint8Array(1), receiver.addr);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "ENETUNREACH" || code === "EINVAL" || code === "EADDRNOTAVAIL"
      ? false
      : undefined;
  } finally {
    for (const socket of sockets) socket.close();
  }
}
