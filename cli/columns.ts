/**
 * What is so, in columns for people.
 *
 * @module
 */

import * as untyped from "@std/fmt/colors";
import { oneLine } from "../src/control_characters.ts";
import { inWords, type Told } from "./told.ts";

type Paint = (text: string) => string;
const { bold, dim, green, red, yellow } = untyped as unknown as Record<string, Paint>;

/** A thing, and the daemon that tells of it. */
export interface Row {
  /** The daemon's URL; empty for this host's. */
  readonly url: string;
  /** What is told. */
  readonly told: Told;
}

const HEADS = ["DAEMON", "STATE", "SERVICE", "SINCE", "UNTIL", "WEIGHT", "LAST ANSWER", "REASON"];

/**
 * Writes things in columns. `NO_COLOR` is respected.
 *
 * @param rows The things.
 * @param now The time in unix seconds.
 * @param width How many characters go on a line; more are cut off.
 * @returns The lines, with colours.
 */
export function columns(rows: readonly Row[], now: number, width: number): string[] {
  const cells = rows.map(({ url, told }) => cellsOf(url, told, now));
  const used = HEADS.map((_, i) => cells.some((row) => row[i] !== ""));
  const widths = HEADS.map((head, i) =>
    Math.max(head.length, ...cells.map((row) => row[i]!.length))
  );
  const line = (row: readonly string[], paint: (text: string, column: number) => string) => {
    let room = width;
    const parts = [];
    const end = row.findLastIndex((text, i) => used[i] && text !== "");
    for (const [i, text] of row.slice(0, end + 1).entries()) {
      if (!used[i]) continue;
      const padded = i === end ? text : text.padEnd(widths[i]! + 2);
      const shown = [...padded].slice(0, Math.max(room, 0)).join("");
      room -= shown.length;
      parts.push(paint(shown, i));
    }
    return parts.join("");
  };
  return [
    line(HEADS, (text) => bold!(text)),
    ...rows.map(({ told }, i) => line(cells[i]!, (text, column) => painted(text, column, told))),
  ];
}

function cellsOf(url: string, told: Told, now: number): string[] {
  const { name, state, reason, creation, expiration, kept_out_by, weight, last } = told;
  const why = kept_out_by === null ? reason ?? "" : inWords(kept_out_by);
  return [
    url,
    state.toUpperCase(),
    name,
    creation === null ? "" : localTime(creation),
    expiration === null ? "" : localTime(expiration),
    weight === null ? "" : `${weight}%`,
    last === null ? "" : `${last.code}, ${age(now - last.ts)} ago`,
    oneLine(why),
  ];
}

function painted(text: string, column: number, { state, kept_out_by, last }: Told): string {
  switch (HEADS[column]) {
    case "STATE":
      if (state !== "up") return (state === "down" ? red : yellow)!(text);
      return (kept_out_by === null ? green : yellow)!(text);
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
  return seconds < 3600 ? `${Math.floor(seconds / 60)}m` : `${Math.floor(seconds / 3600)}h`;
}
