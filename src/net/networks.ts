/**
 * IP addresses and ranges in CIDR notation, as in lists of the configuration.
 *
 * @module
 */

import { createLRU } from "lru.min";
import { canonicalAddress } from "./addresses.ts";

/** For how many addresses a list caches whether it contains them. */
export const MAX_CACHED_MATCHES = 1000;

/** Addresses that are no host, but the first of a range. */
const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** A range of IP addresses, or a single one. */
export class Network {
  /** The version of IP. */
  readonly version: 4 | 6;
  /** The first address, as a number. */
  readonly first: bigint;
  /** The last address, as a number. */
  readonly last: bigint;

  private constructor(version: 4 | 6, first: bigint, last: bigint) {
    this.version = version;
    this.first = first;
    this.last = last;
  }

  /**
   * Parses an address (`10.1.2.3`) or a range in CIDR notation (`10.0.0.0/8`).
   *
   * @returns The range; undefined for everything else: names, other spellings of IPv4, and ranges whose
   * address has bits set beyond the prefix, which may mean one address or many.
   *
   * @example
   * ```ts
   * import { Network } from "./networks.ts";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(Network.parse("10.0.0.0/8")?.has("10.1.2.3"), true);
   * assertEquals(Network.parse("10.1.2.3/8"), undefined);
   * ```
   */
  static parse(text: string): Network | undefined {
    const [, address = "", digits] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
    const unspecified = digits !== undefined && UNSPECIFIED.has(address) ? address : undefined;
    const canonical = unspecified ?? canonicalAddress(address);
    if (canonical === undefined) return undefined;
    const version = versionOf(canonical);
    const first = numberOf(canonical);
    const hostBits = digits === undefined ? 0 : (version === 4 ? 32 : 128) - Number(digits);
    if (hostBits < 0) return undefined;
    const hosts = (1n << BigInt(hostBits)) - 1n;
    return (first & hosts) === 0n ? new Network(version, first, first | hosts) : undefined;
  }

  /** Tests whether the range contains an address. */
  has(address: string): boolean {
    if (versionOf(address) !== this.version) return false;
    const number = numberOf(address);
    return this.first <= number && number <= this.last;
  }

  /** Tests whether another range contains this one, or is the same. */
  isWithin(other: Network): boolean {
    return this.version === other.version && other.first <= this.first && this.last <= other.last;
  }
}

function versionOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** Converts a canonical address to a number. */
function numberOf(address: string): bigint {
  if (versionOf(address) === 4) {
    return address.split(".").reduce((number, part) => number << 8n | BigInt(part), 0n);
  }
  const [head, tail] = address.split("::").map((half) => half === "" ? [] : half.split(":"));
  const zeros = tail === undefined ? [] : Array(8 - head!.length - tail.length).fill("0");
  return [...head!, ...zeros, ...tail ?? []]
    .reduce((number, group) => number << 16n | BigInt(`0x${group}`), 0n);
}

/** A list of addresses and ranges. */
export class Networks {
  readonly #networks: readonly Network[];
  readonly #matches = createLRU<string, boolean>({ max: MAX_CACHED_MATCHES });

  /** @param texts The list, in the form that {@linkcode Network.parse} parses. */
  constructor(texts: readonly string[]) {
    this.#networks = texts.map((text) => Network.parse(text)!);
  }

  /** The number of cached addresses. */
  get cached(): number {
    return this.#matches.size;
  }

  /** Tests whether the list contains an address. */
  has(address: string): boolean {
    let isIn = this.#matches.get(address);
    if (isIn === undefined) {
      isIn = this.#networks.some((network) => network.has(address));
      this.#matches.set(address, isIn);
    }
    return isIn;
  }
}
