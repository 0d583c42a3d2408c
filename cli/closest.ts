import { levenshteinDistance } from "../src/std/text.ts";

/** How many letters may be wrong, of those that are there. */
const MAX_WRONG = 2;

/**
 * What somebody may have meant who has mistyped it.
 *
 * @param typed What was typed.
 * @param known What there is.
 * @returns The one that is nearest; undefined if none is near.
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
  let nearest: string | undefined;
  let least = Math.min(MAX_WRONG, Math.floor(word.length / 2)) + 1;
  for (const one of known) {
    // Letters in the wrong order are one mistake, not two.
    const distance = sorted(word) === sorted(one) ? 1 : levenshteinDistance(word, one);
    if (distance < least) [nearest, least] = [one, distance];
  }
  return nearest;
}

function sorted(word: string): string {
  return [...word].sort().join("");
}
