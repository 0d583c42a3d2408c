/**
 * IP addresses and ranges in CIDR notation, as in lists of the configuration.
 *
 * @module
 */

import { parseCidr } from "cidr-tools";
import { createLRU } from "lru.min";
import { canonicalAddress } from "./addresses.ts";

/** For how many addresses a list caches whether it contains them. */
export const MAX_CACHED_MATCHES = 1000;

/** Addresses that are no host, but the first of a range. */
const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** A range of IP addresses, or a single one. */
export class Network {
  readonly #version: 4 | 6;
  readonly #first: bigint;
  readonly #last: bigint;

  private constructor(version: 4 | 6, first: bigint, last: bigint) {
    this.#version = version;
    this.#first = first;
    this.#last = last;
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
    const first = digits !== undefined && UNSPECIFIED.has(address) ? address : undefined;
    const canonical = first ?? canonicalAddress(address);
    if (canonical === undefined) return undefined;
    const { version, start } = parseCidr(canonical);
    if (digits === undefined) return new Network(version, start, start);
    if (Number(digits) > (version === 4 ? 32 : 128)) return undefined;
    const range = parseCidr(`${canonical}/${digits}`);
    return range.start === start ? new Network(version, start, range.end) : undefined;
  }

  /** Tests whether the range contains an address. */
  has(address: string): boolean {
    const { version, start } = parseCidr(address);
    return version === this.#version && this.#first <= start && start <= this.#last;
  }

  /** Tests whether another range contains this one, or is the same. */
  isWithin(other: Network): boolean {
    return this.#version === other.#version && other.#first <= this.#first &&
      this.#last <= other.#last;
  }
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
