/**
 * IP addresses: how they are spelled, and which are this machine's own.
 *
 * @module
 */

import { LRUCache } from "lru-cache";

/** The address that stands for this machine in the spool, the cache and the checks. */
export const LOCAL_ADDRESS = "127.0.0.1";

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[0-9a-fA-F:]{2,39}$/;

/**
 * Gives an IP address its one spelling.
 *
 * @param text What should be an IPv4 address in four decimal parts or an IPv6 address.
 * @returns The address, IPv6 in lower case and as short as can be; undefined for everything
 * else: names, other spellings of IPv4 (in IPv6 too), zones, and the unspecified address.
 *
 * @example
 * ```ts
 * import { canonicalAddress } from "./addresses.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(canonicalAddress("2001:DB8:0:0::1"), "2001:db8::1");
 * assertEquals(canonicalAddress("0x7f.1"), undefined);
 * ```
 */
export function canonicalAddress(text: string): string | undefined {
  if (IPV4.test(text)) return text === "0.0.0.0" ? undefined : text;
  const url = IPV6.test(text) ? URL.parse(`http://[${text}]/`) : null;
  if (url === null) return undefined;
  const address = url.hostname.slice(1, -1);
  return address === "::" || address.startsWith("::ffff:") ? undefined : address;
}

/** How long, in milliseconds, what has been found out of an address is believed. */
const BELIEVED_MS = 30_000;

/** Tells this machine's own addresses from others'. */
export class OwnAddresses {
  readonly #known = new LRUCache<string, boolean>({ max: 1000, ttl: BELIEVED_MS });

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
    if (address === "::1" || address.startsWith("127.")) return false;
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
