/**
 * `deno task fuzz`: sends the daemon a million requests, most of which make no sense.
 *
 * @module
 */

import { parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { table } from "../load/table.ts";
import { fuzz, type FuzzOptions, type FuzzReport } from "./fuzz.ts";

const USAGE = `deno task fuzz [--requests N] [--seed N] [--connections N] [--only N]

  --requests N      how many requests to send (default 1000000)
  --seed N          where chance begins: the same seed sends the same (default: any)
  --connections N   how many connections to send them on at once (default 64)
  --only N          hold this one conversation of the seed's, to look into it`;

const FLAGS = {
  requests: { takesValue: true },
  seed: { takesValue: true },
  connections: { takesValue: true },
  only: { takesValue: true },
  help: { short: "h", takesValue: false },
};

function optionsOf(args: readonly string[]): FuzzOptions | null {
  const line = parseFlags(args, FLAGS);
  if (line.has("help")) return null;
  const number = (name: "requests" | "seed" | "connections" | "only", most: number) => {
    const text = line.one(name);
    return text === undefined ? undefined : wholeNumber(`--${name}`, text, 0, most);
  };
  return {
    requests: number("requests", 1e9) ?? 1_000_000,
    seed: number("seed", 2 ** 31) ?? Math.floor(Math.random() * 2 ** 31),
    connections: number("connections", 256) ?? 64,
    only: number("only", 1e9) ?? null,
  };
}

function show(report: FuzzReport): string {
  const {
    sent,
    statuses,
    endings,
    canary,
    agents,
    stalls,
    seconds,
    rss,
    descriptors,
    idle,
    wrong,
  } = report;
  return table([
    ["requests", sent.requests],
    ["connections", sent.connections],
    ["seconds", seconds],
    ["requests a second", sent.requests / seconds],
    ...[...statuses].sort(([a], [b]) => a - b).map((
      [status, count],
    ) => [`answers ${status}`, count]),
    ...[...endings].sort(([a], [b]) => a < b ? -1 : 1).map((
      [kind, count],
    ) => [`ended: ${kind}`, count]),
    ["canary's right answers", canary.right],
    ["its slowest, in ms", canary.slowest],
    ["agent checks answered rightly, and not at all", agents.right, agents.silent],
    ["stalls", stalls],
    ["MiB at first, at last, at most", rss.first, rss.last, rss.max],
    ["MiB in the second and the last quarter", rss.before, rss.after],
    ["descriptors at first, at last, at most", idle.before, idle.after, descriptors.max],
    ["wrong", wrong.length],
  ]);
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = optionsOf(args);
    if (options === null) {
      console.log(USAGE);
      return 0;
    }
    console.log(`seed ${options.seed}`);
    const report = await fuzz(options);
    console.log(show(report));
    for (const wrong of report.wrong) console.error(wrong);
    return report.wrong.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`fuzz: ${error.message}`);
    return 2;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
