import { LRUCache } from "lru-cache";
import { LOCAL_ADDRESS } from "./addresses.ts";

/** How long, in milliseconds, what has been found out of an address is believed. */
const BELIEVED_MS = 30_000;

/** Multicast and broadcast, on which the system lets everybody listen. */
const NOBODYS = /^(?:22[4-9]|2[3-5]\d)\./;

/** Tells this machine's own addresses from others'. */
export class OwnAddresses {
  readonly #known = new LRUCache<string, boolean>({
    max: 1000,
    ttl: BELIEVED_MS,
    // Without a timer of its own: the time is looked at each time.
    ttlResolution: 0,
  });

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
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    try {
      Deno.listen({ hostname: address, port: 0 }).close();
      this.#known.set(address, true);
      return true;
    } catch (error) {
      // Whatever else went wrong, such as too many open files, says nothing of the address.
      if (error instanceof Deno.errors.AddrNotAvailable) this.#known.set(address, false);
      return false;
    }
  }
}
