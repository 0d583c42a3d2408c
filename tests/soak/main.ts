/**
 * `deno task soak`: ten minutes of mixed load, in which every answer is judged.
 *
 * @module
 */

import { parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { table } from "../load/table.ts";
import { soak, type SoakReport } from "./soak.ts";

const USAGE = `deno task soak [--seconds N] [--seed N]

  --seconds N   how long (default 600)
  --seed N      where chance begins (default: any)`;

const FLAGS = {
  seconds: { takesValue: true },
  seed: { takesValue: true },
  help: { short: "h", takesValue: false },
};

function show(report: SoakReport): string {
  const {
    answers,
    latencies,
    changes,
    tricks,
    stalls,
    unread,
    seconds,
    rss,
    descriptors,
    idle,
    wrong,
  } = report;
  const total = [...answers.values()].reduce((sum, count) => sum + count, 0);
  const byName = (counts: ReadonlyMap<string, number>) =>
    [...counts].sort(([a], [b]) => a < b ? -1 : 1);
  return table([
    ["seconds", seconds],
    ["answers", total],
    ["answers a second", total / seconds],
    ...byName(answers),
    ...[...latencies].sort(([a], [b]) => a < b ? -1 : 1)
      .map(([protocol, { p50, p99 }]) => [`${protocol}: p50 and p99, in ms`, p50, p99]),
    ["services changed", changes.services],
    ["downtimes", changes.downtimes],
    ...byName(tricks).map(([name, count]) => [`clients: ${name}`, count]),
    ["stalls", stalls],
    ["responses while the log is not read", unread],
    ["MiB at first, at last, at most", rss.first, rss.last, rss.max],
    ["MiB in the second and the last quarter", rss.before, rss.after],
    ["descriptors at first, at last, at most", idle.before, idle.after, descriptors.max],
    ["descriptors in the second and the last quarter", descriptors.before, descriptors.after],
    ["wrong", wrong.length],
  ]);
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) {
      console.log(USAGE);
      return 0;
    }
    const number = (name: "seconds" | "seed", fallback: number) =>
      wholeNumber(`--${name}`, line.one(name) ?? String(fallback), 1, 2 ** 31);
    const seed = number("seed", Math.floor(Math.random() * 2 ** 31) + 1);
    console.log(`seed ${seed}`);
    const report = await soak({ seconds: number("seconds", 600), seed });
    console.log(show(report));
    for (const wrong of report.wrong.slice(0, 20)) console.error(wrong);
    return report.wrong.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`soak: ${error.message}`);
    return 2;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
