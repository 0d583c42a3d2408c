/**
 * Measures the program as it is installed against its rivals, and prints a table.
 *
 *     deno task bench [--only NAME]... [--rounds N] [--seconds N]
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
};

function chosenRows(names: readonly string[]): readonly Row[] {
  const unknown = names.find((name) => !ROWS.some((row) => row.name === name));
  if (unknown === undefined) {
    return names.length === 0 ? ROWS : ROWS.filter(({ name }) => names.includes(name));
  }
  const known = ROWS.map(({ name }) => name).join(", ");
  throw new UsageError(`Bad --only: expected one of ${known}: received ${JSON.stringify(unknown)}`);
}

function shown({ least, most }: Limit): string {
  return least === undefined ? `≤ ${most}` : `≥ ${least}`;
}

/** What the figures are figures of. */
async function machine(): Promise<string> {
  // Deno itself looks into /proc with all permissions only.
  const { stdout } = await run("cat", ["/proc/cpuinfo"]);
  const model = /model name\s*: (.*)/.exec(stdout)?.[1] ?? "an unknown processor";
  const wrkVersion = /wrk \S+/.exec((await run("wrk", ["-v"])).stdout)?.[0] ?? "wrk";
  return `${new Date().toISOString().slice(0, 10)}, Deno ${Deno.version.deno}, ${wrkVersion}, ` +
    `Linux ${Deno.osRelease()}, ${navigator.hardwareConcurrency} cores of ${model}`;
}

async function bench(options: Options, rows: readonly Row[]): Promise<boolean> {
  console.log(`${await machine()}; ${options.rounds} rounds of ${options.seconds} s\n`);
  console.log("| name | work | against | hacheck | rival | ratio | to be | |");
  console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
  let allHold = true;
  for (const { name, work, against, limit, measure } of rows) {
    const { own, rival, ratio, holds } = await measure(options);
    allHold &&= holds;
    const cells = [`\`${name}\``, work, against, own, rival, ratio, shown(limit)];
    console.log(`| ${cells.join(" | ")} | ${holds ? "" : "**no**"} |`);
  }
  return allHold;
}

async function main(): Promise<number> {
  try {
    const line = parseFlags(Deno.args, FLAGS);
    const rows = chosenRows(line.all("only"));
    const rounds = wholeNumber("--rounds", line.one("rounds") ?? "5", 1, 1000);
    const seconds = wholeNumber("--seconds", line.one("seconds") ?? "3", 1, 600);
    using programs = await installed();
    return await bench({ rounds, seconds, programs }, rows) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
}

// As what is installed has it. For the rivals too, so that nobody looks for newer releases meanwhile.
Deno.env.set("DENO_NO_UPDATE_CHECK", "1");
Deno.exit(await main());
