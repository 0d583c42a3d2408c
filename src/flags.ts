/**
 * Command lines: read as Python's optparse reads them, which the older tools use. Unknown flags are rejected.
 *
 * @module
 */

import { parseArgs } from "./std/cli.ts";

/** Thrown for an invalid command line. Its message names the flag and what was expected. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A flag of a program. */
export interface Flag {
  /** The letter of its short form. */
  readonly short?: string;
  /** Whether it takes a value. */
  readonly takesValue: boolean;
  /** Whether that value may be empty. */
  readonly mayBeEmpty?: boolean;
  /** If set, the value is optional: the next argument is the value only if it matches this. */
  readonly optionalValue?: RegExp;
  /** Another long name that the older tools have for it. */
  readonly alias?: string;
  /** Whether the older tools have it: their abbreviations of it stay valid when a newer flag begins the same. */
  readonly isOld?: boolean;
}

/** The flags of a program, by their long names. */
export type Flags = Readonly<Record<string, Flag>>;

/** A parsed command line. */
export interface CommandLine {
  /** The arguments that are not flags, in order. */
  readonly operands: readonly string[];
  /** Returns whether a flag was given, with or without a value. */
  has(name: string): boolean;
  /** Returns the values of a flag, in order. */
  all(name: string): readonly string[];
  /** Returns the last value of a flag, as optparse does; undefined where the flag is missing. */
  one(name: string): string | undefined;
}

/**
 * Parses a command line.
 *
 * A flag that takes a value takes the next argument, even one that begins with a dash. Long names can be
 * abbreviated as long as they stay unambiguous.
 *
 * @throws {UsageError} If a flag is unknown or ambiguous, or a value is missing.
 *
 * @example
 * ```ts
 * import { parseFlags } from "./flags.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const line = parseFlags(["down", "--reas", "-x", "web"], { reason: { short: "r", takesValue: true } });
 * assertEquals(line.operands, ["down", "web"]);
 * assertEquals(line.one("reason"), "-x");
 * ```
 */
export function parseFlags(args: readonly string[], flags: Flags): CommandLine {
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
    has: (name) => parsed[name] === true || (flags[name]!.takesValue && all(name).length > 0),
    all,
    one: (name) => all(name).at(-1),
  };
}

/**
 * Writes each flag as `--name=value`, and rejects unknown ones. The library alone ignores unknown flags, and
 * takes a missing value for an empty one.
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
      const { takesValue, mayBeEmpty, optionalValue } = flags[name]!;
      if (!takesValue && attached !== undefined) {
        throw new UsageError(`Flag --${name} takes no value: received ${arg}`);
      }
      let value = attached;
      if (value === undefined && takesValue) {
        if (optionalValue === undefined) value = rest.shift();
        else value = rest[0] !== undefined && optionalValue.test(rest[0]) ? rest.shift() : "";
      }
      const needsValue = takesValue && optionalValue === undefined;
      if (needsValue && (value === undefined || (value === "" && !mayBeEmpty))) {
        throw new UsageError(`Flag ${nameOf(name, flags)} needs a value`);
      }
      spelled.push(`--${name}=${value ?? "true"}`);
    }
  }
  return spelled;
}

function looksLikeFlag(arg: string): boolean {
  return arg.startsWith("-") && arg !== "-";
}

/** A flag of an argument, and the value attached to it. */
interface WrittenFlag {
  readonly name: string;
  readonly attached: string | undefined;
}

/** The flags in one argument: `--name`, `--name=value`, `-n`, `-nvalue`, `-n=value`, or letters such as `-vn`. */
function flagsIn(arg: string, flags: Flags): WrittenFlag[] {
  const [, long, value] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
  if (long !== undefined) return [{ name: longName(long, arg, flags), attached: value }];

  const names = Object.keys(flags);
  const written: WrittenFlag[] = [];
  // `-port 1` is a mistyped `--port 1`, not the flag -p with the value "ort".
  if (names.includes(arg.slice(1).split("=")[0]!)) throw new UsageError(`Unknown flag: ${arg}`);
  for (let letters = arg.slice(1); letters !== "";) {
    const letter = String.fromCodePoint(letters.codePointAt(0)!);
    letters = letters.slice(letter.length);
    const name = names.find((name) => flags[name]!.short === letter);
    if (name === undefined) throw new UsageError(`Unknown flag: ${arg}`);
    if (flags[name]!.takesValue) {
      const attached = letters === "" ? undefined : letters.replace(/^=/, "");
      return [...written, { name, attached }];
    }
    written.push({ name, attached: undefined });
  }
  return written;
}

/** The flag that a long name, an alias or an unambiguous abbreviation of either means. */
function longName(typed: string, arg: string, flags: Flags): string {
  if (Object.hasOwn(flags, typed)) return typed;
  const matching = Object.entries(flags).filter(([name, { alias }]) =>
    name.startsWith(typed) || alias?.startsWith(typed)
  );
  const exact = matching.filter(([, { alias }]) => alias === typed);
  const old = matching.filter(([, { isOld }]) => isOld);
  const [meant] = [exact, matching, old].find(({ length }) => length === 1)?.[0] ?? [];
  if (meant !== undefined) return meant;
  if (matching.length === 0) throw new UsageError(`Unknown flag: ${arg}`);
  const candidates = matching.map(([name]) => `--${name}`).join(", ");
  throw new UsageError(`Ambiguous flag: ${arg}: could be ${candidates}`);
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
