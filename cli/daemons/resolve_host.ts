import { canonicalAddress, LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { UsageError } from "../../src/flags.ts";

/** A host's name. A name that ends in a number could be an address in an odd spelling, such as 0x7f.1. */
const NAME =
  /^(?=.{1,253}$)(?:[a-z\d_](?:[\w-]{0,61}[a-z\d])?\.)*(?![\dx]+\.?$)[a-z](?:[\w-]{0,61}[a-z\d])?\.?$/i;

/**
 * Resolves the host of `-H`. Records have addresses, so a name stands for all of its addresses.
 *
 * @param host An IP address, or a host's name.
 * @returns The canonical addresses; 127.0.0.1 for this machine.
 * @throws {UsageError} If the host is neither, or the name has no address.
 */
export async function resolveHost(host: string): Promise<string[]> {
  const address = canonicalAddress(host);
  if (address !== undefined) return [address];
  const expected = "expected an IPv4 or IPv6 address, or a host's name";
  if (!NAME.test(host)) {
    throw new UsageError(`Bad -H: ${expected}: received ${JSON.stringify(host)}`);
  }
  const { lookup } = await import("node:dns/promises");
  let found: readonly { readonly address: string }[] = [];
  try {
    found = await lookup(host, { all: true });
  } catch {
    // The message below reports it.
  }
  const addresses = found.flatMap(({ address }) => {
    const canonical = canonicalAddress(address);
    if (canonical === undefined) return [];
    // Debian's /etc/hosts gives this machine's own name the address 127.0.1.1.
    return [canonical.startsWith("127.") ? LOCAL_ADDRESS : canonical];
  });
  if (addresses.length > 0) return [...new Set(addresses)];
  throw new UsageError(`Bad -H: ${expected}: ${JSON.stringify(host)} has no address`);
}
