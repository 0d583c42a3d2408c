/**
 * The status of services in columns, for people.
 *
 * @module
 */

import { oneLine } from "../../src/text/control_characters.ts";
import { bold, dim, green, red, yellow } from "../../src/std/fmt.ts";
import { age, localTime } from "./times.ts";
import { describeRecord, isFailing, type ServiceStatus } from "./service_status.ts";

/** A service, and the daemon that reports it. */
export interface Row {
  /** The daemon's URL; empty for the daemon of this host. */
  readonly url: string;
  readonly status: ServiceStatus;
}

const HEADS = ["DAEMON", "STATE", "SERVICE", "SINCE", "UNTIL", "WEIGHT", "LAST RESPONSE"] as const;

const SHORT_HEADS = HEADS.map((head) => head === "LAST RESPONSE" ? "LAST" : head);

/** How times are formatted: as dates, as `3m ago`, or as `3m` and without the time of the last response. */
type Style = "absolute" | "relative" | "short";

/** The columns that are cut on short lines, in this order. */
const CUT_COLUMNS: readonly (typeof HEADS[number])[] = ["DAEMON", "SERVICE"];

/** The least width that a column is cut to, in characters. */
const MIN_CUT_WIDTH = 8;

/** The least width of the column of reasons. On shorter lines each reason gets lines of its own. */
const MIN_REASON_WIDTH = 24;

/** The indentation of a reason on lines of its own. */
const INDENT = 2;

/** The number of blanks between columns. */
const GAP = 2;

/** The cells of a service. The reason is apart: it may take several lines. */
interface Cells {
  readonly cells: readonly string[];
  readonly reason: string;
}

/**
 * Formats services in columns. Respects `NO_COLOR`. On short lines times become relative, names are cut, shown by
 * `…`, and reasons go to the next line. A reason is never cut.
 *
 * @param rows The services.
 * @param now The time in unix seconds.
 * @param width The length of a line, in characters.
 * @returns The lines, with colours.
 */
export function formatColumns(rows: readonly Row[], now: number, width: number): string[] {
  const format = (style: Style) => rows.map(({ url, status }) => cellsOf(url, status, now, style));
  let style: Style = "absolute";
  let all = format(style);
  if (lineLength(all, HEADS) > width) all = format(style = "relative");
  if (sum(widthsOf(all, HEADS)) - GAP > width) all = format(style = "short");
  const heads = style === "short" ? SHORT_HEADS : HEADS;
  const widths = widthsOf(all, heads);
  for (const head of CUT_COLUMNS) {
    const i = HEADS.indexOf(head);
    const excess = sum(widths) - GAP - width;
    if (widths[i] !== 0 && excess > 0) {
      widths[i] = Math.max(widths[i]! - excess, Math.min(widths[i]!, MIN_CUT_WIDTH + GAP));
    }
  }
  const room = width - sum(widths);
  const isBeside = room >= MIN_REASON_WIDTH || all.every(({ reason }) => lengthOf(reason) <= room);
  const hasReasons = all.some(({ reason }) => reason !== "");
  const line = (
    cells: readonly string[],
    reason: string,
    paint: (text: string, column: number) => string,
  ): string[] => {
    const fitting = cells.map((text, i) => widths[i] === 0 ? "" : cut(text, widths[i]! - GAP));
    const [first = "", ...others] = isBeside ? wrap(reason, room) : [];
    const below = isBeside ? [] : wrap(reason, width - INDENT);
    const end = first === "" ? fitting.findLastIndex((text) => text !== "") : fitting.length;
    let left = width;
    const parts = fitting.slice(0, end + 1).map((text, i) => {
      const padded = cut(i === end ? text : pad(text, widths[i]!), left);
      left -= lengthOf(padded);
      return paint(padded, i);
    });
    return [
      parts.join("") + first,
      ...others.map((text) => " ".repeat(sum(widths)) + text),
      ...below.filter((text) => text !== "").map((text) => " ".repeat(INDENT) + text),
    ];
  };
  const heading = line(heads, hasReasons && isBeside ? "REASON" : "", (text) => bold!(text));
  if (hasReasons && isBeside) heading[0] = heading[0]!.replace(/REASON$/, bold!("REASON"));
  return [
    ...heading,
    ...rows.flatMap(({ status }, i) => {
      const { cells, reason } = all[i]!;
      return line(cells, reason, (text, column) => paintCell(text, column, status));
    }),
  ];
}

/** Returns the widths of the columns, each with the gap behind it; 0 for an empty one. */
function widthsOf(all: readonly Cells[], heads: readonly string[]): number[] {
  return heads.map((head, i) => {
    const longest = Math.max(0, ...all.map(({ cells }) => lengthOf(cells[i]!)));
    return longest === 0 ? 0 : Math.max(head.length, longest) + GAP;
  });
}

/** Returns the length of the longest line, uncut. */
function lineLength(all: readonly Cells[], heads: readonly string[]): number {
  const longest = Math.max(0, ...all.map(({ reason }) => lengthOf(reason)));
  return sum(widthsOf(all, heads)) + (longest === 0 ? -GAP : Math.max(longest, "REASON".length));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function lengthOf(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - lengthOf(text)));
}

/** Cuts a text to a width; `…` shows that it was cut. */
function cut(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return width < 1 ? "" : `${characters.slice(0, width - 1).join("")}…`;
}

/** Wraps a text into lines of a width, between words where possible. */
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
  const timeOf = (time: number, relative: string) => {
    if (style === "absolute") return localTime(time);
    return style === "short" ? age(Math.abs(now - time)) : relative;
  };
  const response = (code: number, ts: number) =>
    style === "short" ? `${code}` : `${code}, ${age(now - ts)} ago`;
  return {
    cells: [
      url,
      isFailing(status) ? "UP, failing" : state.toUpperCase(),
      name,
      creation === null ? "" : timeOf(creation, `${age(now - creation)} ago`),
      expiration === null ? "" : timeOf(expiration, `in ${age(expiration - now)}`),
      weight === null ? "" : `${weight}%`,
      last === null ? "" : response(last.code, last.ts),
    ],
    reason: by === undefined || by === reason ? why : `${why} (${oneLine(by)})`.trimStart(),
  };
}

function paintCell(text: string, column: number, status: ServiceStatus): string {
  const { state, kept_out_by, last } = status;
  switch (HEADS[column]) {
    case "STATE":
      if (state !== "up") return (state === "down" ? red : yellow)!(text);
      return (kept_out_by === null && !isFailing(status) ? green : yellow)!(text);
    case "LAST RESPONSE":
      return last !== null && last.code > 200 ? red!(text) : dim!(text);
    case "DAEMON":
    case "SINCE":
    case "UNTIL":
      return dim!(text);
    default:
      return text;
  }
}
