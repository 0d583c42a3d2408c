/**
 * Command lines, read strictly: what is not understood is refused, not passed over.
 *
 * @module
 */

import { parseArgs as parseArgsUntyped } from "@std/cli/parse-args";

type Parsed = Record<string, unknown> & { _: (string | number)[] };

const parseArgs: (args: readonly string[], options: Record<string, unknown>) => Parsed =
  parseArgsUntyped;

/** Thrown at a command line that makes no sense. Its message names the flag and what would be right. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A flag: its one-letter form, and whether a value follows. */
export interface Flag {
  /** The letter of its short form. */
  readonly short?: string;
  /** Whether it takes a value; one that does not is either there or not. */
  readonly takesValue: boolean;
  /** Whether that value may be empty. */
  readonly mayBeEmpty?: boolean;
}

/** A command line, taken apart. */
export interface CommandLine {
  /** What is not a flag, in order. */
  readonly operands: readonly string[];
  /** Tells whether a flag without a value is there. */
  has(name: string): boolean;
  /** The values of a flag, in order. */
  all(name: string): readonly string[];
  /**
   * The value of a flag; undefined where it is missing.
   *
   * @throws {UsageError} If it is there twice.
   */
  one(name: string): string | undefined;
}

/**
 * Takes a command line apart.
 *
 * @param args The arguments.
 * @param flags What is understood, by its long name.
 * @returns The command line.
 * @throws {UsageError} If something is not understood, or a value is missing.
 *
 * @example
 * ```ts
 * import { parseFlags } from "./flags.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const line = parseFlags(["down", "-r", "maint", "web"], { reason: { short: "r", takesValue: true } });
 * assertEquals(line.operands, ["down", "web"]);
 * assertEquals(line.one("reason"), "maint");
 * ```
 */
export function parseFlags(
  args: readonly string[],
  flags: Readonly<Record<string, Flag>>,
): CommandLine {
  const withValue = Object.keys(flags).filter((name) => flags[name]!.takesValue);
  const short = Object.entries(flags).flatMap(([name, flag]) =>
    flag.short === undefined ? [] : [[flag.short, name]]
  );
  const parsed = parseArgs(args, {
    string: [...withValue, "_"],
    boolean: Object.keys(flags).filter((name) => !flags[name]!.takesValue),
    collect: withValue,
    alias: Object.fromEntries(short),
    unknown: (arg: string, key?: string) => {
      if (key !== undefined) throw new UsageError(`Unknown flag: ${arg}`);
      return true;
    },
  });
  const all = (name: string) => (parsed[name] ?? []) as string[];
  for (const name of withValue) {
    if (!all(name).includes("")) continue;
    // An empty value and a missing one look the same by now.
    const given = args.includes("") || args.includes(`--${name}=`);
    if (!given || !flags[name]!.mayBeEmpty) {
      throw new UsageError(`Flag ${nameOf(name, flags)} needs a value`);
    }
  }
  return {
    operands: parsed._.map(String),
    has: (name) => parsed[name] === true,
    all,
    one: (name) => {
      const values = all(name);
      if (values.length > 1) {
        throw new UsageError(`Flag ${nameOf(name, flags)} was given more than once`);
      }
      return values[0];
    },
  };
}

function nameOf(name: string, flags: Readonly<Record<string, Flag>>): string {
  const { short } = flags[name]!;
  return short === undefined ? `--${name}` : `-${short}`;
}

/**
 * Reads a whole number from a command line.
 *
 * @param what What it is, for the message.
 * @param text What was given.
 * @param least The smallest number that makes sense.
 * @param most The largest.
 * @throws {UsageError} If it is none, or out of bounds.
 */
export function wholeNumber(what: string, text: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(
    `Bad ${what}: expected a number from ${least} to ${most}: received ${JSON.stringify(text)}`,
  );
}
