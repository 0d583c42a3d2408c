import { Dice } from "../load/dice.ts";

/**
 * Makes bytes that look like chance and are the same in every run.
 *
 * @param seed Where to begin.
 * @returns A function that gives so many more of them, a character a byte.
 */
export function chance(seed: number): (length: number) => string {
  const dice = new Dice(seed);
  return (length) => dice.bytes(length);
}
