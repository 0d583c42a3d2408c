/**
 * Chance that is the same in every run (mulberry32).
 *
 * @example
 * ```ts
 * import { Dice } from "./dice.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new Dice(7).below(1000), new Dice(7).below(1000));
 * ```
 */
export class Dice {
  #state: number;

  /**
   * @param seed Where to begin.
   * @param stream Which of that seed's sequences to take.
   */
  constructor(seed: number, stream = 0) {
    this.#state = Math.imul(stream, 0x9e3779b1) ^ seed;
  }

  /** A whole number from 0 to one below a bound. */
  below(bound: number): number {
    this.#state = this.#state + 0x6d2b79f5 | 0;
    let bits = Math.imul(this.#state ^ this.#state >>> 15, 1 | this.#state);
    bits = bits + Math.imul(bits ^ bits >>> 7, 61 | bits) ^ bits;
    return Math.floor(((bits ^ bits >>> 14) >>> 0) / 2 ** 32 * bound);
  }

  /** A whole number between two, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True so many times of a hundred. */
  percent(times: number): boolean {
    return this.below(10_000) < times * 100;
  }

  /** One of several. */
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** A text of so many characters of an alphabet. */
  text(alphabet: string, length: number): string {
    let text = "";
    while (text.length < length) text += alphabet[this.below(alphabet.length)];
    return text;
  }

  /** Bytes, a character each. */
  bytes(length: number): string {
    let bytes = "";
    while (bytes.length < length) bytes += String.fromCharCode(this.below(256));
    return bytes;
  }
}
