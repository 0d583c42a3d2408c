/**
 * Reads the pages in `docs/`.
 *
 * @module
 */

/**
 * Reads a page.
 *
 * @param name Its file name in `docs/`.
 * @returns Its Markdown.
 */
export function page(name: string): string {
  return Deno.readTextFileSync(new URL(`../../docs/${name}`, import.meta.url));
}

/**
 * Finds the block of code that follows a line of a page.
 *
 * @param name The file name of the page in `docs/`.
 * @param line The line.
 * @returns The code.
 * @throws {Error} If no code follows.
 */
export function codeAfter(name: string, line: string): string {
  const [, after] = page(name).split(`\n${line}\n`);
  const block = /^\n+((?:(?: {4}.*)?\n)+)/.exec(after ?? "")?.[1];
  if (block === undefined) throw new Error(`docs/${name} has no code after ${line}`);
  return block.replaceAll(/^ {4}/gm, "").trimEnd() + "\n";
}

/**
 * Finds the table that follows a line of a page.
 *
 * @param name The file name of the page in `docs/`.
 * @param line The line.
 * @returns The cells of each row, without the heading.
 * @throws {Error} If no table follows.
 */
export function tableAfter(name: string, line: string): string[][] {
  const [, after = ""] = page(name).split(`\n${line}\n`);
  const [, , ...rows] = after.trimStart().split("\n\n")[0]!.trimEnd().split("\n");
  if (rows.length === 0) throw new Error(`docs/${name} has no table after ${line}`);
  return rows.map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/**
 * Finds the items of the lists on a page.
 *
 * @param name The file name of the page in `docs/`.
 * @param line The line before a list. By default, the items of all lists are returned.
 * @returns The text of each item, on one line.
 */
export function itemsOf(name: string, line?: string): string[] {
  const text = page(name);
  const after = line === undefined ? text : text.split(`\n${line}\n\n`)[1]?.split("\n\n")[0] ?? "";
  return [...after.matchAll(/^- (.*(?:\n {2}\S.*)*)/gm)].map(([, item]) =>
    item!.replaceAll(/\s+/g, " ").trim()
  );
}
