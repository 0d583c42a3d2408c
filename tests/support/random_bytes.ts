import { Dice } from "../load/dice.ts";

/**
 * Makes pseudo-random bytes, which are the same in every run.
 *
 * @param seed The seed.
 * @returns A function that returns the next bytes, one character for each.
 */
export function randomBytes(seed: number): (length: number) => string {
  const dice = new Dice(seed);
  return (length) => dice.bytes(length);
}
