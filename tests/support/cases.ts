/** With `HACHECK_CASES=all`, as in CI, generated tests try all of their cases. */
const ALL: boolean = Deno.env.get("HACHECK_CASES") === "all";

/**
 * Returns how many cases a generated test tries.
 *
 * @param all The number with `HACHECK_CASES=all`.
 * @param usual The number otherwise; a fifth, if not given.
 */
export function caseCount(all: number, usual: number = Math.ceil(all / 5)): number {
  return ALL ? all : usual;
}
