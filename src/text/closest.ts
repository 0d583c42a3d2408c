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
    if (Math.abs(word.length - candidate.length) >= least) continue;
    // Letters in the wrong order are one mistake, not two.
    const isAnagram = word !== candidate && sorted(word) === sorted(candidate);
    const distance = isAnagram ? 1 : editDistance(word, candidate);
    if (distance < least) [found, least] = [candidate, distance];
  }
  return found;
}

/**
 * Counts the edits of one character that turn one word into another. The function of `@std/text` reserves 4 MiB
 * when it is loaded.
 */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 0; i < one.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j++) {
      const replaced = row[j]! + (one[i] === other[j] ? 0 : 1);
      next.push(Math.min(replaced, row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row.at(-1)!;
}

function sorted(word: string): string {
  return [...word].sort().join("");
}
