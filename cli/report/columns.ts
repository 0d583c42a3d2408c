/**
 * What is so, in columns for people.
 *
 * @module
 */

import { oneLine } from "../../src/control_characters.ts";
import { bold, dim, green, red, yellow } from "../../src/std/fmt.ts";
import { describeRecord, isFailing, type ServiceStatus } from "./service_status.ts";

/** A thing, and the daemon that tells of it. */
export interface Row {
  /** The daemon's URL; empty for this host's. */
  readonly url: string;
  /** What is status. */
  readonly status: ServiceStatus;
}

const HEADS = ["DAEMON", "STATE", "SERVICE", "SINCE", "UNTIL", "WEIGHT", "LAST ANSWER"] as const;

const SHORT_HEADS = HEADS.map((head) => head === "LAST ANSWER" ? "LAST" : head);

/** How times are written: as dates, as `3m ago`, or as `3m` alone and without the time of the last answer. */
type Style = "absolute" | "relative" | "short";

/** The columns that are cut if there is no room for all, the first first. */
const CUT: readonly (typeof HEADS[number])[] = ["DAEMON", "SERVICE"];

/** How narrow a column is cut at most, in characters. */
const NARROWEST = 8;

/** How many characters the column of reasons has at least; in less, each has lines of its own. */
const REASON_WIDTH = 24;

/** How far a reason on lines of its own is indented. */
const INDENT = 2;

/** A thing, as its cells. The reason is apart: it may take several lines. */
interface Cells {
  readonly cells: readonly string[];
  readonly reason: string;
}

/**
 * Writes things in columns. `NO_COLOR` is respected. Where there is not enough room, times become relative,
 * names are cut, which `…` shows, and reasons go on below: no reason is ever cut.
 *
 * @param rows The things.
 * @param now The time in unix seconds.
 * @param width How many characters go on a line.
 * @returns The lines, with colours.
 */
export function formatColumns(rows: readonly Row[], now: number, width: number): string[] {
  const written = (style: Style) => rows.map(({ url, status }) => cellsOf(url, status, now, style));
  let style: Style = "absolute";
  let all = written(style);
  if (neededFor(all, HEADS) > width) all = written(style = "relative");
  if (sumCounters(widthsOf(all, HEADS)) - GAP > width) all = written(style = "short");
  const heads = style === "short" ? SHORT_HEADS : HEADS;
  const widths = widthsOf(all, heads);
  for (const head of CUT) {
    const i = HEADS.indexOf(head);
    const tooMuch = sumCounters(widths) - GAP - width;
    if (widths[i] !== 0 && tooMuch > 0) {
      widths[i] = Math.max(widths[i]! - tooMuch, Math.min(widths[i]!, NARROWEST + GAP));
    }
  }
  const room = width - sumCounters(widths);
  const isBeside = room >= REASON_WIDTH || all.every(({ reason }) => lengthOf(reason) <= room);
  const hasReasons = all.some(({ reason }) => reason !== "");
  const line = (
    cells: readonly string[],
    reason: string,
    paint: (text: string, column: number) => string,
  ): string[] => {
    const shown = cells.map((text, i) => widths[i] === 0 ? "" : cut(text, widths[i]! - GAP));
    const beside = isBeside ? wrap(reason, room) : [];
    const below = isBeside ? [] : wrap(reason, width - INDENT);
    const [first = "", ...others] = beside;
    const end = first === "" ? shown.findLastIndex((text) => text !== "") : shown.length;
    let left = width;
    const parts = shown.slice(0, end + 1).map((text, i) => {
      const padded = cut(i === end ? text : pad(text, widths[i]!), left);
      left -= lengthOf(padded);
      return paint(padded, i);
    });
    return [
      parts.join("") + first,
      ...others.map((text) => " ".repeat(sumCounters(widths)) + text),
      ...below.filter((text) => text !== "").map((text) => " ".repeat(INDENT) + text),
    ];
  };
  const heading = line(heads, hasReasons && isBeside ? "REASON" : "", (text) => bold!(text));
  if (hasReasons && isBeside) heading[0] = heading[0]!.replace(/REASON$/, bold!("REASON"));
  return [
    ...heading,
    ...rows.flatMap(({ status }, i) => {
      const { cells, reason } = all[i]!;
      return line(cells, reason, (text, column) => painted(text, column, status));
    }),
  ];
}

/** How many blanks are between columns. */
const GAP = 2;

/** How wide the columns are, the gap behind each included; 0 for one that is empty. */
function widthsOf(all: readonly Cells[], heads: readonly string[]): number[] {
  return heads.map((head, i) => {
    const longest = Math.max(0, ...all.map(({ cells }) => lengthOf(cells[i]!)));
    return longest === 0 ? 0 : Math.max(head.length, longest) + GAP;
  });
}

function neededFor(all: readonly Cells[], heads: readonly string[]): number {
  const longest = Math.max(0, ...all.map(({ reason }) => lengthOf(reason)));
  return sumCounters(widthsOf(all, heads)) +
    (longest === 0 ? -GAP : Math.max(longest, "REASON".length));
}

function sumCounters(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function lengthOf(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - lengthOf(text)));
}

/** A text of so many characters at most; what is cut off is shown by `…`. */
function cut(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return width < 1 ? "" : `${characters.slice(0, width - 1).join("")}…`;
}

/** A text on lines of so many characters at most, parted between words where that can be. */
function wrap(text: string, width: number): string[] {
  const room = Math.max(width, 1);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").filter((word) => word !== "")) {
    let rest = [...word];
    if (line !== "" && lengthOf(line) + 1 + rest.length <= room) {
      line += ` ${word}`;
      continue;
    }
    if (line !== "") lines.push(line);
    for (; rest.length > room; rest = rest.slice(room)) lines.push(rest.slice(0, room).join(""));
    line = rest.join("");
  }
  return [...lines, line];
}

function cellsOf(url: string, status: ServiceStatus, now: number, style: Style): Cells {
  const { name, state, reason, creation, expiration, kept_out_by, weight, last, by } = status;
  const why = kept_out_by === null ? oneLine(reason ?? "") : describeRecord(kept_out_by);
  const signed = by === undefined || by === reason ? why : `${why} (${oneLine(by)})`.trimStart();
  const timeOf = (time: number, relative: string) => {
    return style === "absolute"
      ? localTime(time)
      : style === "short"
      ? age(Math.abs(now - time))
      : relative;
  };
  return {
    cells: [
      url,
      isFailing(status) ? "UP, failing" : state.toUpperCase(),
      name,
      creation === null ? "" : timeOf(creation, `${age(now - creation)} ago`),
      expiration === null ? "" : timeOf(expiration, `in ${age(expiration - now)}`),
      weight === null ? "" : `${weight}%`,
      last === null
        ? ""
        : style === "short"
        ? `${last.code}`
        : `${last.code}, ${age(now - last.ts)} ago`,
    ],
    reason: signed,
  };
}

function painted(text: string, column: number, status: ServiceStatus): string {
  const { state, kept_out_by, last } = status;
  switch (HEADS[column]) {
    case "STATE":
      if (state !== "up") return (state === "down" ? red : yellow)!(text);
      return (kept_out_by === null && !isFailing(status) ? green : yellow)!(text);
    case "LAST ANSWER":
      return last !== null && last.code > 200 ? red!(text) : dim!(text);
    case "DAEMON":
    case "SINCE":
    case "UNTIL":
      return dim!(text);
    default:
      return text;
  }
}

/** A time of this host's zone: `2026-12-01 08:00:00`. */
function localTime(time: number): string {
  const date = new Date(time * 1000);
  // A time beyond those that a Date knows.
  if (Number.isNaN(date.getTime())) return String(time);
  const [year, ...rest] = [
    date.getFullYear(),
    date.getMonth() + 1,
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  ];
  const [month, day, hour, minute, second] = rest.map((part) => String(part).padStart(2, "0"));
  return `${year}-${month}-${day} ${hour}:${minute}:${second}`;
}

/** How long it is, in its largest unit. */
function age(seconds: number): string {
  if (seconds < 60) return `${Math.max(Math.floor(seconds), 0)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
