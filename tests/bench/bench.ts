/**
 * Compares the installed program with other programs, and prints a table.
 *
 *     deno task bench [--only ROW]... [--rounds N] [--seconds N] [--write]
 *
 * With `--write`, it also writes the figures into docs/performance.md.
 *
 * @module
 */

import { parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { run } from "../support/programs.ts";
import { installed } from "./installed.ts";
import type { Limit } from "./compare.ts";
import { type Options, type Row, ROWS } from "./rows.ts";

const FLAGS = {
  only: { takesValue: true },
  rounds: { takesValue: true },
  seconds: { takesValue: true },
  write: { takesValue: false },
};

const PAGE = new URL("../../docs/performance.md", import.meta.url);

function chosenRows(names: readonly string[]): readonly Row[] {
  const unknown = names.find((name) => !ROWS.some((row) => row.name === name));
  if (unknown === undefined) {
    return names.length === 0 ? ROWS : ROWS.filter(({ name }) => names.includes(name));
  }
  const known = ROWS.map(({ name }) => name).join(", ");
  throw new UsageError(`Bad --only: expected one of ${known}: received ${JSON.stringify(unknown)}`);
}

function formatLimit({ least, most }: Limit): string {
  return least === undefined ? `≤ ${most}` : `≥ ${least}`;
}

/** Describes the machine and the programs that the figures depend on. */
async function machine(): Promise<string> {
  // Deno itself would need all permissions to read /proc.
  const { stdout } = await run("cat", ["/proc/cpuinfo"]);
  const model = /model name\s*: (.*)/.exec(stdout)?.[1] ?? "an unknown processor";
  const wrkVersion = /wrk \S+/.exec((await run("wrk", ["-v"])).stdout)?.[0] ?? "wrk";
  return `${new Date().toISOString().slice(0, 10)}, Deno ${Deno.version.deno}, ${wrkVersion}, ` +
    `Linux ${Deno.osRelease()}, ${navigator.hardwareConcurrency} cores of ${model}`;
}

/** Measures rows, prints them, and returns the block for docs/performance.md and whether all limits hold. */
async function bench(
  options: Options,
  rows: readonly Row[],
): Promise<{ readonly block: string; readonly allHold: boolean }> {
  const setting = `${await machine()}; ${options.rounds} rounds of ${options.seconds} s`;
  console.log(`${setting}\n`);
  console.log("| row | work | compared with | hacheck | other | ratio | limit | |");
  console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
  let block = `${setting}\n\n| row | hacheck | compared with | ratio | limit | |\n` +
    "| --- | --- | --- | --- | --- | --- |\n";
  let allHold = true;
  for (const { name, work, against, limit, measure } of rows) {
    const { own, rival, ratio, holds } = await measure(options);
    allHold &&= holds;
    const figures = [own, rival, ratio, formatLimit(limit), holds ? "" : "**no**"].join(" | ");
    console.log(`| \`${name}\` | ${work} | ${against} | ${figures} |`);
    block += `| \`${name}\` | ${figures} |\n`;
  }
  return { block, allHold };
}

/** Replaces the figures in docs/performance.md. */
async function writePage(block: string): Promise<void> {
  const page = Deno.readTextFileSync(PAGE);
  const written = page.replace(
    /(<!-- bench -->\n\n)[^]*(\n<!-- end of bench -->)/,
    (_, start, end) => start + block + end,
  );
  Deno.writeTextFileSync(PAGE, written);
  await run(Deno.execPath(), ["fmt", "--quiet", PAGE.pathname]);
}

async function main(): Promise<number> {
  try {
    const line = parseFlags(Deno.args, FLAGS);
    const rows = chosenRows(line.all("only"));
    if (line.has("write") && rows !== ROWS) {
      throw new UsageError("--write needs all rows: leave out --only");
    }
    const rounds = wholeNumber("--rounds", line.one("rounds") ?? "5", 1, 1000);
    const seconds = wholeNumber("--seconds", line.one("seconds") ?? "3", 1, 600);
    using programs = await installed();
    const { block, allHold } = await bench({ rounds, seconds, programs }, rows);
    if (line.has("write")) await writePage(block);
    return allHold ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
}

// As in the installed scripts, no program checks for updates of Deno.
Deno.env.set("DENO_NO_UPDATE_CHECK", "1");
Deno.exit(await main());
