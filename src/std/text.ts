import { levenshteinDistance as distance } from "@std/text/levenshtein-distance";

/**
 * Counts the edits of one character that turn one text into another.
 *
 * @returns The number of edits.
 */
export const levenshteinDistance: (one: string, other: string) => number = distance;
