/** The address that stands for this machine in the spool, the cache and the checks. */
export const LOCAL_ADDRESS = "127.0.0.1";

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[0-9a-fA-F:]{2,39}$/;

/**
 * Returns the canonical spelling of an IP address.
 *
 * @param text An IPv4 address in four decimal parts, or an IPv6 address.
 * @returns The address, IPv6 in lower case and abbreviated; undefined for everything else: names, other spellings
 * of IPv4 (in IPv6 too), zones, and the unspecified address.
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

/** Returns whether a canonical address is one of the loopback interface. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** Returns a host and a port as in a URL, IPv6 addresses in brackets. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
