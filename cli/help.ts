/**
 * The help of hactl.
 *
 * @module
 */

import {
  type CommandName,
  COMMANDS,
  type CommandSpec,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OPERANDS,
} from "./command_spec.ts";

/** The width of a line, in characters. */
const WIDTH = 80;

/** The column in which summaries begin. */
const INDENT = 27;

/** Returns the help on hactl. */
export function usage(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary, takes }]) =>
    entry(`  ${name} ${OPERANDS[takes]}`.trimEnd(), summary)
  );
  return [
    "hactl COMMAND [SERVICE...] [FLAG...]",
    wrap(
      "Takes services out of HAProxy and puts them back, by records in the spool of hacheck. The " +
        'service "all" stands for every service of this host.',
    ),
    commands.join("\n"),
    flagLines(Object.keys(FLAGS) as FlagName[]),
    wrap(
      "Exit status: 0 for success; 1 if status finds a service that is down or drains, if wait " +
        "times out, or if something fails; 2 for an invalid command line.",
    ),
    '"hactl help COMMAND" prints more on a command.',
  ].join("\n\n");
}

/**
 * Returns the help on a command.
 *
 * @param name The name of the command.
 */
export function helpOn(name: CommandName): string {
  const { summary, takes, flags, details, examples }: CommandSpec = COMMANDS[name];
  const synopsis = ["hactl", name, OPERANDS[takes], flags.length > 0 ? "[FLAG...]" : ""];
  return [
    synopsis.filter((part) => part !== "").join(" "),
    wrap(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`),
    ...details.map((paragraph) => wrap(paragraph)),
    ...flags.length > 0 ? [flagLines(flags)] : [],
    ...examples.map(([line, effect]) => `  ${line}\n      ${effect}`),
  ].join("\n\n");
}

function flagLines(names: readonly FlagName[]): string {
  return names.map((name) => {
    const { short, value, summary }: FlagSpec = FLAGS[name];
    const long = value === null ? `--${name}` : `--${name} ${value}`;
    return entry(`  ${short === undefined ? "   " : `-${short},`} ${long}`, summary);
  }).join("\n");
}

/** Formats a name with its summary, beside it or below. */
function entry(name: string, summary: string): string {
  const lines = wrap(summary, WIDTH - INDENT).split("\n");
  const indented = lines.map((line) => `${" ".repeat(INDENT)}${line}`).join("\n");
  return name.length < INDENT ? `${name}${indented.slice(name.length)}` : `${name}\n${indented}`;
}

/** Breaks a text into lines. */
function wrap(text: string, width = WIDTH): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last === "") lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}
