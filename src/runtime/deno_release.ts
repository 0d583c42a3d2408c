import text from "../../.deno-version" with { type: "text" };

/** The release of Deno that hacheck is tested with. */
export const TESTED_DENO: string = text.trim();

/** `2.9` of `2.9.6`. */
function minorOf(release: string): string {
  return release.split(".", 2).join(".");
}

/**
 * Compares a release of Deno with the tested one. Only patch releases of the same minor release are accepted.
 *
 * @returns What was expected and what was found, or null if the release is accepted.
 */
export function denoMismatch(found: string = Deno.version.deno): string | null {
  const expected = minorOf(TESTED_DENO);
  if (minorOf(found) === expected) return null;
  return `expected Deno ${expected}.x (tested with ${TESTED_DENO}): found Deno ${found}`;
}

/** Ends the program, with one line on stderr and exit status 1, where another minor release of Deno runs it. */
export function requireTestedDeno(program: string): void {
  const mismatch = denoMismatch();
  if (mismatch === null) return;
  console.error(`${program}: ${mismatch}`);
  Deno.exit(1);
}
