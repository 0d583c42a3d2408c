/**
 * The manual pages, in the macros of man(7): hactl's from the table that its help comes from, hacheck's
 * from the README and docs/configuration.md.
 *
 * @module
 */

import { PURPOSE, sentence, synopsis } from "../cli/help.ts";
import { COMMANDS, type FlagName, FLAGS, type FlagSpec, OLD_NAMES } from "../cli/command_spec.ts";
import { DEFAULT_SPOOL_ROOT } from "../src/spool/store.ts";
import { VERSION } from "../src/version.ts";

/**
 * Writes hactl(1).
 *
 * @param date The day it is of, as `2026-12-01`.
 * @returns The page.
 */
export function hactlPage(date: string): string {
  return page("HACTL", 1, date, [
    section("NAME", "hactl \\- mark services down, draining or up for a hacheck, and look at it"),
    section(
      "SYNOPSIS",
      [...COMMANDS].map(([name, command]) => {
        const [program, sub, ...rest] = synopsis(name, command).split(" ");
        return `.B ${program} ${sub}\n${plain(rest.join(" "))}`;
      }).join("\n.br\n"),
    ),
    section("DESCRIPTION", plain(PURPOSE), ".PP", plain(`${OLD_NAMES_TEXT}.`)),
    section(
      "COMMANDS",
      ...[...COMMANDS].map(([name, command]) => {
        const { summary, details, flags, examples } = command;
        return [
          `.SS ${plain(synopsis(name, command))}`,
          plain(sentence(summary)),
          ...details.flatMap((paragraph) => [".PP", plain(paragraph)]),
          ...flags.length === 0
            ? []
            : [".PP", prose(`Flags: ${flags.map((flag) => bold(`--${flag}`)).join(", ")}.`)],
          ...examples.flatMap(([line, what]) => [".TP", bold(line), plain(what)]),
        ].join("\n");
      }),
    ),
    section("OPTIONS", ...(Object.keys(FLAGS) as FlagName[]).map(option)),
    section(
      "EXIT STATUS",
      ...item("0", "All is well."),
      ...item(
        "1",
        "Status finds something marked down or draining, wait has waited for too long, or something fails.",
      ),
      ...item("2", "The command line makes no sense."),
    ),
    section(
      "ENVIRONMENT",
      ...item(
        "SUDO_USER, SSH_USER",
        "Who gives no reason is the reason: the first of them that is set.",
      ),
      ...item("NO_COLOR", "Nothing is coloured if it is set."),
    ),
    section(
      "FILES",
      ...item(DEFAULT_SPOOL_ROOT, "What is marked."),
      ...item("/etc/nonhumans", "Names that are no reason, one a line, # comments."),
    ),
    section("SEE ALSO", ".BR hacheck (8)"),
  ]);
}

const OLD_NAMES_TEXT = `Called as ${[...OLD_NAMES.keys()].join(", ")} it is ` +
  `${[...OLD_NAMES.values()].join(", ")}, in that order`;

function option(name: FlagName): string {
  const { short, value, summary }: FlagSpec = FLAGS[name];
  const spellings = short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
  const tag = spellings.map(bold).join(", ") + (value === null ? "" : ` ${italic(value)}`);
  return [".TP", tag, plain(sentence(summary))].join("\n");
}

/**
 * Writes hacheck(8).
 *
 * @param readme The README.
 * @param configuration docs/configuration.md.
 * @param date The day it is of, as `2026-12-01`.
 * @returns The page.
 * @throws {Error} If they do not have what the page is made of.
 */
export function hacheckPage(readme: string, configuration: string, date: string): string {
  const description = part(readme, "# hacheck\n", "\n\n");
  const [usage, ...rest] = blocksOf(part(configuration, "# Configuration\n", "\n## "));
  const keys = rest.findIndex((block) => block.startsWith("| key"));
  const introduction = keys - 1;
  return page("HACHECK", 8, date, [
    section("NAME", "hacheck \\- answer the health checks of HAProxy"),
    section("SYNOPSIS", plain(usage!.trim())),
    section("DESCRIPTION", plain(description.trim().replace(/:$/, "."))),
    section("OPTIONS", ...rest.slice(0, introduction).map(blockOf)),
    section("CONFIGURATION", ...rest.slice(introduction).map(blockOf)),
    section(
      "FILES",
      ...item(DEFAULT_SPOOL_ROOT, "What is marked."),
      ...item("/etc/hacheck", "The configuration."),
    ),
    section("SEE ALSO", ".BR hactl (1)"),
  ]);
}

/** What stands between two texts. */
function part(text: string, start: string, end: string): string {
  const from = text.indexOf(start);
  const body = text.slice(from + start.length).trimStart();
  const to = body.indexOf(end);
  if (from >= 0 && to >= 0) return body.slice(0, to);
  throw new Error(
    `Cannot write hacheck(8): the documentation has no ${JSON.stringify(start.trim())}`,
  );
}

function blocksOf(markdown: string): string[] {
  return markdown.trimEnd().split(/\n{2,}/);
}

/** A paragraph, a table, or lines that stand as they are. */
function blockOf(block: string): string {
  if (block.startsWith("    ")) {
    const lines = block.split("\n").map((line) => safe(escaped(line.slice(4))));
    return [".PP", ".EX", ...lines, ".EE"].join("\n");
  }
  if (!block.startsWith("|")) return [".PP", inline(block)].join("\n");
  const [heads, , ...rows] = block.split("\n")
    .map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
  return rows.map(([tag, ...cells]) => {
    const told = cells.at(-1)!;
    const facts = cells.slice(0, -1).flatMap((cell, i) => {
      if (cell === "") return [];
      return [heads![i + 1] === "default" ? `default: ${cell}` : cell];
    });
    const text = facts.length === 0 ? told : `${told} (${facts.join("; ")})`;
    return [".TP", inline(tag!), inline(text)].join("\n");
  }).join("\n");
}

/** Markdown's inline marks: code is bold, of a link only its text stays. */
function inline(markdown: string): string {
  const text = markdown.replaceAll("\n", " ").replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1");
  return prose(
    text.split("`").map((piece, i) => i % 2 === 0 ? escaped(piece) : bold(piece)).join(""),
  );
}

function page(title: string, number: number, date: string, sections: readonly string[]): string {
  return `.TH ${title} ${number} ${date} "hacheck ${VERSION}" "hacheck"\n${sections.join("\n")}\n`;
}

function section(name: string, ...parts: readonly string[]): string {
  // A paragraph follows a heading anyway.
  const [first, ...rest] = parts.join("\n").split("\n");
  const body = first === ".PP" ? rest : [first, ...rest];
  return `.SH ${name}\n${body.join("\n")}`;
}

function item(tag: string, text: string): string[] {
  return [".TP", bold(tag), plain(text)];
}

function bold(text: string): string {
  return `\\fB${escaped(text)}\\fR`;
}

function italic(text: string): string {
  return `\\fI${escaped(text)}\\fR`;
}

function plain(text: string): string {
  return prose(escaped(text));
}

/** How long a line may be, in bytes. */
const WIDTH = 80;

/** Text in lines of their width, of which none begins as a macro does. */
function prose(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(safe(word));
  }
  return lines.join("\n");
}

/** A hyphen that may be typed is a minus. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("–", "\\(en");
}

/** A line that begins as a macro does would be one. */
function safe(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}
