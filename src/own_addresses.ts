import { createLRU } from "lru.min";
import { LOCAL_ADDRESS } from "./addresses.ts";

/** Of how many addresses it is remembered whether they are this machine's. */
export const MAX_KNOWN = 1000;

/** How long, in milliseconds, what has been found out of an address is believed. */
const BELIEVED_MS = 30_000;

/** Multicast and broadcast, on which the system lets everybody listen. */
const NOBODYS = /^(?:22[4-9]|2[3-5]\d)\./;

/** What has been found out of an address. */
interface Finding {
  readonly isOwn: boolean;
  /** Until when it is believed, by `performance.now()`. */
  readonly until: number;
}

/** Tells this machine's own addresses from others'. */
export class OwnAddresses {
  readonly #known = createLRU<string, Finding>({ max: MAX_KNOWN });

  /** Of how many addresses it is remembered. */
  get known(): number {
    return this.#known.size;
  }

  /**
   * Tells whether an address is one of this machine's interfaces.
   *
   * The system lets nobody listen on an address that is not its own, which tells it
   * without a grant for the list of interfaces. Other loopback addresses than
   * 127.0.0.1 stay what they are: services on one host may share it by them.
   *
   * @param address An address as {@linkcode canonicalAddress} gives it.
   */
  has(address: string): boolean {
    if (address === LOCAL_ADDRESS) return true;
    if (address === "::1" || address.startsWith("127.") || NOBODYS.test(address)) return false;
    const now = performance.now();
    const known = this.#known.get(address);
    if (known !== undefined && now < known.until) return known.isOwn;
    const isOwn = canListenOn(address);
    // Whatever else went wrong, such as too many open files, says nothing of the address.
    if (isOwn !== undefined) this.#known.set(address, { isOwn, until: now + BELIEVED_MS });
    return isOwn ?? false;
  }
}

/** Undefined where the system does not tell. */
function canListenOn(address: string): boolean | undefined {
  try {
    Deno.listen({ hostname: address, port: 0 }).close();
    return true;
  } catch (error) {
    return error instanceof Deno.errors.AddrNotAvailable ? false : undefined;
  }
}
