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

/** What a command line may say, by the flags' long names. */
export type Flags = Readonly<Record<string, Flag>>;

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
  flags: Flags,
): CommandLine {
  const names = Object.keys(flags);
  const withValue = names.filter((name) => flags[name]!.takesValue);
  const parsed = parseArgs(spelledOut(args, flags), {
    string: [...withValue, "_"],
    boolean: names.filter((name) => !flags[name]!.takesValue),
    collect: withValue,
  });
  const all = (name: string) => (parsed[name] ?? []) as string[];
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

/**
 * Spells every flag out as `--name=value`, and refuses what is none. By itself the library passes over
 * what it does not understand, and takes a missing value for an empty one.
 */
function spelledOut(args: readonly string[], flags: Flags): string[] {
  const rest = [...args];
  const spelled: string[] = [];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") return [...spelled, arg, ...rest];
    if (!looksLikeFlag(arg)) {
      spelled.push(arg);
      continue;
    }
    for (const { name, attached } of flagsIn(arg, flags)) {
      const { takesValue, mayBeEmpty } = flags[name]!;
      if (!takesValue && attached !== undefined) {
        throw new UsageError(`Flag --${name} takes no value: received ${arg}`);
      }
      const follows = rest[0] !== undefined && !looksLikeFlag(rest[0]);
      const value = attached ?? (!takesValue ? "true" : follows ? rest.shift() : undefined);
      if (value === undefined || (value === "" && !mayBeEmpty)) {
        throw new UsageError(`Flag ${nameOf(name, flags)} needs a value`);
      }
      spelled.push(`--${name}=${value}`);
    }
  }
  return spelled;
}

function looksLikeFlag(arg: string): boolean {
  return arg.startsWith("-") && arg !== "-";
}

/** A flag of an argument, and the value that is written on to it. */
interface WrittenFlag {
  readonly name: string;
  readonly attached: string | undefined;
}

/** The flags in one argument: `--name`, `--name=value`, `-n`, `-nvalue`, `-n=value`, or letters such as `-vh`. */
function flagsIn(arg: string, flags: Flags): WrittenFlag[] {
  const [, long, value] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
  if (long !== undefined && Object.hasOwn(flags, long)) return [{ name: long, attached: value }];

  const names = Object.keys(flags);
  // A long name with one hyphen would be a letter with the rest as its value.
  const isSlip = names.includes(arg.slice(1).split("=")[0]!);
  const letters = isSlip
    ? [undefined]
    : [...arg.slice(1)].map((letter) => names.find((name) => flags[name]!.short === letter));
  const [first] = letters;
  if (first !== undefined && flags[first]!.takesValue && letters.length > 1) {
    return [{ name: first, attached: arg.slice(2).replace(/^=/, "") }];
  }
  return letters.map((name, i) => {
    const isLast = i === letters.length - 1;
    if (name !== undefined && (isLast || !flags[name]!.takesValue)) {
      return { name, attached: undefined };
    }
    throw new UsageError(`Unknown flag: ${arg}`);
  });
}

function nameOf(name: string, flags: Flags): string {
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
