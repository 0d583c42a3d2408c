import { createLRU } from "lru.min";
import { canonicalAddress, isLoopback, LOCAL_ADDRESS } from "./addresses.ts";
import type { Log } from "../log.ts";

/** Of how many addresses it is remembered whether they are this machine's. */
export const MAX_CACHED_ADDRESSES = 1000;

/** How long a result is reused, in milliseconds: an address may move to this machine, and from it. */
const TTL_MS = 2000;

/** How many addresses are tried by sending at once. Others count as not this machine's, until they are asked again. */
const MAX_SENDING = 100;

/** Multicast and broadcast, on which the system lets everybody listen. */
const NOBODYS = /^(?:22[4-9]|2[3-5]\d)\./;

/** A version of the Internet Protocol. */
export type Family = "IPv4" | "IPv6";

/** Addresses for documentation (RFC 5737, RFC 3849). A machine that can listen on all of them can on any address. */
const FOREIGN: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
  IPv6: ["2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"],
};

/** The setting by which it can. */
const SETTING: Readonly<Record<Family, string>> = {
  IPv4: "net.ipv4.ip_nonlocal_bind",
  IPv6: "net.ipv6.ip_nonlocal_bind",
};

/** What is done where it can. */
const INSTEAD: Readonly<Record<Family, string>> = {
  IPv4: "own IPv4 addresses are found by sending from them",
  IPv6: "no IPv6 address counts as this machine's but those of own_addresses",
};

/** How own addresses are found, as `/status` shows it. */
export interface LocalAddressesReport {
  /** Whether `own_addresses` names them all. */
  readonly configured: boolean;
  /** The versions of IP of which this machine lets programs listen on any address. */
  readonly nonlocal_bind: readonly Family[];
}

/** The result for an address. */
interface Finding {
  readonly isOwn: boolean;
  /** Until when it is reused, by `performance.now()`. */
  readonly until: number;
}

/** Tells this machine's own addresses from others'. */
export class LocalAddresses {
  readonly #log: Log | undefined;
  readonly #known = createLRU<string, Finding>({ max: MAX_CACHED_ADDRESSES });
  readonly #sending = new Map<string, Promise<boolean>>();
  readonly #isForeignBound = new Map<Family, boolean>();
  readonly #listed: ReadonlySet<string> | null;

  /**
   * @param log Logs changes of the system's settings.
   * @param listed All addresses of this machine; null to find them out.
   */
  constructor(log?: Log, listed: readonly string[] | null = null) {
    this.#log = log;
    this.#listed = listed === null ? null : new Set(listed.map((text) => canonicalAddress(text)!));
  }

  /** Of how many addresses it is remembered. */
  get known(): number {
    return this.#known.size;
  }

  /** How own addresses are found now. */
  get report(): LocalAddressesReport {
    return { configured: this.#listed !== null, nonlocal_bind: nonlocalBind() };
  }

  /**
   * Finds out whether an address belongs to one of this machine's interfaces.
   *
   * Listening on it fails where it does not, which takes no permission to list the interfaces. With
   * `net.ipv4.ip_nonlocal_bind=1` it never fails: then sending from it does. Other loopback addresses than
   * 127.0.0.1 stay what they are: services on one host may share it by them.
   *
   * @param address An address as {@linkcode canonicalAddress} gives it.
   */
  has(address: string): boolean | Promise<boolean> {
    if (address === LOCAL_ADDRESS) return true;
    if (isLoopback(address) || NOBODYS.test(address)) return false;
    if (this.#listed !== null) return this.#listed.has(address);
    const known = this.#known.get(address);
    if (known !== undefined && performance.now() < known.until) return known.isOwn;
    const isOwn = this.#byListening(address);
    if (isOwn !== "by sending") return this.#remember(address, isOwn);
    return this.#bySending(address);
  }

  /**
   * The same at once, for records of a host: true where it is not known yet, since such a record is down then.
   *
   * @param address An address as {@linkcode canonicalAddress} gives it.
   */
  mayHave(address: string): boolean {
    const isOwn = this.has(address);
    return typeof isOwn === "boolean" ? isOwn : this.#known.get(address)?.isOwn ?? true;
  }

  /** Undefined where the system does not tell. */
  #byListening(address: string): boolean | undefined | "by sending" {
    const result = listenOn(address);
    if (result !== "yes") return result === "no" ? false : undefined;
    const family = address.includes(":") ? "IPv6" : "IPv4";
    const foreign = listenOnForeign(family);
    if (foreign === "yes" || foreign === "no") this.#notice(family, foreign === "yes");
    if (foreign === "no") return true;
    if (family === "IPv4") return "by sending";
    // Who may listen on named addresses only has been granted this one for its own.
    if (foreign === "not permitted") return true;
    return foreign === "yes" ? false : undefined;
  }

  #bySending(address: string): Promise<boolean> {
    const sending = this.#sending.get(address);
    if (sending !== undefined) return sending;
    if (this.#sending.size >= MAX_SENDING) return Promise.resolve(false);
    const found = sendFrom(address).then((isOwn) => {
      this.#sending.delete(address);
      return this.#remember(address, isOwn);
    });
    this.#sending.set(address, found);
    return found;
  }

  /** Another error, such as too many open files, says nothing about the address. */
  #remember(address: string, isOwn: boolean | undefined): boolean {
    if (isOwn !== undefined) this.#known.set(address, { isOwn, until: performance.now() + TTL_MS });
    return isOwn ?? false;
  }

  #notice(family: Family, isBound: boolean): void {
    const before = this.#isForeignBound.get(family);
    this.#isForeignBound.set(family, isBound);
    // What it was at the start the daemon has logged.
    if (before === undefined || before === isBound) return;
    if (isBound) this.#log?.warning("{warning}", { warning: nonlocalBindWarning(family) });
    else this.#log?.info("{setting} is off again", { setting: SETTING[family] });
  }
}

/**
 * Finds out of which versions of IP this machine lets programs listen on addresses that are not its own, as
 * keepalived usually has it set up.
 */
export function nonlocalBind(): Family[] {
  return (["IPv4", "IPv6"] as const).filter((family) => listenOnForeign(family) === "yes");
}

/**
 * What that means for the operator.
 *
 * @param family The version of IP.
 */
export function nonlocalBindWarning(family: Family): string {
  return `${SETTING[family]} is on (listening on ${FOREIGN[family][0]} succeeds): ` +
    `${INSTEAD[family]}; own_addresses in the configuration can name them`;
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

/** Yes where it succeeds on all of them: one may be in use in a laboratory. */
function listenOnForeign(family: Family): ListenResult {
  for (const address of FOREIGN[family]) {
    const result = listenOn(address);
    if (result !== "yes") return result;
  }
  return "yes";
}

/**
 * Sends a datagram from an address to this machine. The system has no route from an IPv4 address that is not its
 * own, whatever `net.ipv4.ip_nonlocal_bind` says. Nothing leaves the machine.
 *
 * @returns Undefined where the system does not tell.
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
