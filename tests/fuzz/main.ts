/**
 * `deno task fuzz`: sends the daemon a million random requests, many of them invalid.
 *
 * @module
 */

import { parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { table } from "../load/table.ts";
import { fuzz, type FuzzOptions, type FuzzReport } from "./fuzz.ts";

const USAGE = `deno task fuzz [--requests N] [--seed N] [--connections N] [--only N]

  --requests N      number of requests (default 1000000)
  --seed N          seed of the random numbers: repeats a run (default: random)
  --connections N   number of connections at once (default 64)
  --only N          run only conversation N of the seed, to debug it`;

const FLAGS = {
  requests: { takesValue: true },
  seed: { takesValue: true },
  connections: { takesValue: true },
  only: { takesValue: true },
  help: { short: "h", takesValue: false },
};

function parseOptions(args: readonly string[]): FuzzOptions | null {
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

function format(report: FuzzReport): string {
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
    failures,
  } = report;
  return table([
    ["requests", sent.requests],
    ["connections", sent.connections],
    ["seconds", seconds],
    ["requests per second", sent.requests / seconds],
    ...[...statuses].sort(([a], [b]) => a - b).map((
      [status, count],
    ) => [`responses ${status}`, count]),
    ...[...endings].sort(([a], [b]) => a < b ? -1 : 1).map((
      [kind, count],
    ) => [`ended: ${kind}`, count]),
    ["canary: correct responses", canary.correct],
    ["canary: slowest response, ms", canary.slowest],
    ["agent checks: correct, no response", agents.correct, agents.unanswered],
    ["stalls", stalls],
    ["MiB: first, last, maximum", rss.first, rss.last, rss.max],
    ["MiB: second quarter, last quarter", rss.before, rss.after],
    ["descriptors: first, last, maximum", idle.before, idle.after, descriptors.max],
    ["failures", failures.length],
  ]);
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options === null) {
      console.log(USAGE);
      return 0;
    }
    console.log(`seed ${options.seed}`);
    const report = await fuzz(options);
    console.log(format(report));
    for (const failure of report.failures) console.error(failure);
    return report.failures.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`fuzz: ${error.message}`);
    return 2;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
