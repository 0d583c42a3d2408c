import { levenshteinDistance } from "../src/std/text.ts";

/** The largest distance of a word that is still taken for a mistyped one. */
const MAX_DISTANCE = 2;

/**
 * Finds the word that was probably meant by a mistyped one.
 *
 * @param typed The mistyped word.
 * @param known The words to choose from.
 * @returns The closest word; undefined if none is close.
 *
 * @example
 * ```ts
 * import { closest } from "./closest.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(closest("donw", ["up", "down"]), "down");
 * assertEquals(closest("wbe", ["db", "web"]), "web");
 * assertEquals(closest("web", ["up", "db"]), undefined);
 * ```
 */
export function closest(typed: string, known: readonly string[]): string | undefined {
  const word = typed.toLowerCase();
  let found: string | undefined;
  let least = Math.min(MAX_DISTANCE, Math.floor(word.length / 2)) + 1;
  for (const candidate of known) {
    // Letters in the wrong order are one mistake, not two.
    const isAnagram = sorted(word) === sorted(candidate);
    const distance = isAnagram ? 1 : levenshteinDistance(word, candidate);
    if (distance < least) [found, least] = [candidate, distance];
  }
  return found;
}

function sorted(word: string): string {
  return [...word].sort().join("");
}
