/**
 * IP addresses and ranges of them, as lists in the configuration name them.
 *
 * @module
 */

import { parseCidr } from "cidr-tools";
import { createLRU } from "lru.min";
import { canonicalAddress } from "./addresses.ts";

/** Of how many addresses it is remembered whether a list names them. */
export const MAX_CACHED_MATCHES = 1000;

/** An address that a range does not have, but may begin with. */
const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** A range of IP addresses; a single one is the smallest range there is. */
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
   * Reads an address (`10.1.2.3`) or a range in CIDR notation (`10.0.0.0/8`).
   *
   * @param text What should be one.
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
    const begins = digits !== undefined && UNSPECIFIED.has(address) ? address : undefined;
    const spelled = begins ?? canonicalAddress(address);
    if (spelled === undefined) return undefined;
    const { version, start } = parseCidr(spelled);
    if (digits === undefined) return new Network(version, start, start);
    if (Number(digits) > (version === 4 ? 32 : 128)) return undefined;
    const range = parseCidr(`${spelled}/${digits}`);
    return range.start === start ? new Network(version, start, range.end) : undefined;
  }

  /**
   * Tells whether an address is in the range.
   *
   * @param address The address, as {@linkcode canonicalAddress} gives it.
   */
  has(address: string): boolean {
    const { version, start } = parseCidr(address);
    return version === this.#version && this.#first <= start && start <= this.#last;
  }

  /**
   * Tells whether the range lies within another, or is the same.
   *
   * @param other The other range.
   */
  isWithin(other: Network): boolean {
    return this.#version === other.#version && other.#first <= this.#first &&
      this.#last <= other.#last;
  }
}

/** A list of addresses and ranges. */
export class Networks {
  readonly #networks: readonly Network[];
  readonly #remembered = createLRU<string, boolean>({ max: MAX_CACHED_MATCHES });

  /**
   * @param texts The list, of what {@linkcode Network.parse} reads.
   */
  constructor(texts: readonly string[]) {
    this.#networks = texts.map((text) => Network.parse(text)!);
  }

  /** Of how many addresses it is remembered whether the list names them. */
  get remembered(): number {
    return this.#remembered.size;
  }

  /**
   * Tells whether an address is in the list.
   *
   * @param address The address, as the system gives it.
   */
  has(address: string): boolean {
    let isIn = this.#remembered.get(address);
    if (isIn === undefined) {
      isIn = this.#networks.some((network) => network.has(address));
      this.#remembered.set(address, isIn);
    }
    return isIn;
  }
}
