import { parse } from "@std/csv/parse";

/**
 * Parses CSV whose first row has the names of the columns.
 *
 * `npm:deno-std` has no types, and the types of `jsr:@std/csv` are overloads that are assignable to no
 * simpler one. A call type-checks with both.
 *
 * @returns The other rows, by the names of the columns.
 * @throws {Error} If it is malformed, or a row has more or fewer values than there are columns.
 */
export function parseCsv(text: string): Record<string, string | undefined>[] {
  return parse(text, { skipFirstRow: true });
}
