/**
 * What hactl tells of itself.
 *
 * @module
 */

import {
  COMMANDS,
  type CommandSpec,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OPERANDS,
} from "./command_spec.ts";

/** How many characters a line has. */
const WIDTH = 80;

/** Where what is told of a flag or a sub-command begins. */
const INDENT = 27;

/** What hactl is for. */
export const PURPOSE =
  "Takes services out of the load balancers that ask a hacheck, and puts them back.";

/** The help on hactl as a whole. */
export function usage(): string {
  const commands = [...COMMANDS].map(([name, { summary, takes }]) =>
    entry(`  ${name} ${OPERANDS[takes]}`.trimEnd(), summary)
  );
  return [
    "hactl COMMAND [SERVICE...] [FLAG...]",
    PURPOSE,
    commands.join("\n"),
    flagLines(Object.keys(FLAGS) as FlagName[]),
    ...[
      "Exit code: 0; 1 if status finds something marked down, or something fails; 2 for a command " +
      "line that makes no sense.",
      '"hactl help COMMAND" tells more of each.',
    ].map((paragraph) => wrap(paragraph, WIDTH).join("\n")),
  ].join("\n\n");
}

/**
 * The help on a sub-command.
 *
 * @param name Its name.
 * @param command What it is.
 */
export function helpOn(name: string, command: CommandSpec): string {
  const { summary, flags, details, examples } = command;
  const parts = [synopsis(name, command), wrap(sentence(summary), WIDTH).join("\n")];
  for (const paragraph of details) parts.push(wrap(paragraph, WIDTH).join("\n"));
  if (flags.length > 0) parts.push(flagLines(flags));
  for (const [line, what] of examples) parts.push(`  ${line}\n      ${what}`);
  return parts.join("\n\n");
}

/**
 * How a sub-command is typed.
 *
 * @param name Its name.
 * @param command What it is.
 */
export function synopsis(name: string, { takes, flags }: CommandSpec): string {
  const parts = ["hactl", name, OPERANDS[takes], flags.length > 0 ? "[FLAG...]" : ""];
  return parts.filter((part) => part !== "").join(" ");
}

/**
 * A flag in all its spellings, with what its value is called.
 *
 * @param name Its long name.
 */
export function spelling(name: FlagName): string {
  const { short, value }: FlagSpec = FLAGS[name];
  const long = value === null ? `--${name}` : `--${name} ${value}`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}

/**
 * A few words as a sentence.
 *
 * @param words The words.
 */
export function sentence(words: string): string {
  return `${words[0]!.toUpperCase()}${words.slice(1)}.`;
}

function flagLines(names: readonly FlagName[]): string {
  return names.map((name) => entry(`  ${spelling(name)}`, FLAGS[name].summary)).join("\n");
}

/** A name and what is told of it, beside it or below. */
function entry(name: string, summary: string): string {
  const [first, ...rest] = wrap(summary, WIDTH - INDENT);
  const indent = " ".repeat(INDENT);
  const beside = name.length < INDENT
    ? [`${name.padEnd(INDENT)}${first}`]
    : [name, `${indent}${first}`];
  return [...beside, ...rest.map((line) => `${indent}${line}`)].join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
