/**
 * The README, read.
 *
 * @module
 */

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

/**
 * Finds the block of code that follows a line.
 *
 * @param line The line.
 * @returns The code.
 * @throws {Error} If there is none.
 */
export function codeAfter(line: string): string {
  const [, after] = README.split(`\n${line}\n`);
  const block = /^\n+((?:(?: {4}.*)?\n)+)/.exec(after ?? "")?.[1];
  if (block === undefined) throw new Error(`the README has no code after ${line}`);
  return block.replaceAll(/^ {4}/gm, "").trimEnd() + "\n";
}

/**
 * Finds the table that follows a line.
 *
 * @param line The line.
 * @returns Its rows without the heads, each the content of its cells.
 * @throws {Error} If there is none.
 */
export function tableAfter(line: string): string[][] {
  const [, after = ""] = README.split(`\n${line}\n`);
  const [, , ...rows] = after.trimStart().split("\n\n")[0]!.split("\n");
  if (rows.length === 0) throw new Error(`the README has no table after ${line}`);
  return rows.map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}
