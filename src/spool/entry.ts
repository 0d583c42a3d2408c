/**
 * What stands in a file of the spool.
 *
 * @module
 */

import { oneLine } from "../control_characters.ts";

/** What every file tells, whatever it is that it marks. */
interface Marking {
  /** Why, in an operator's words; may be empty. */
  readonly reason: string;
  /** When it ends, in unix seconds; null if it does not end by itself. */
  readonly expiration: number | null;
  /** When it was made, in unix seconds; null if nobody knows. */
  readonly creation: number | null;
  /** The login name of who wrote it; missing where the file does not say. */
  readonly by?: string;
}

/** How something is marked: down, or draining, which finishes what it has and takes nothing new. */
export type Mode = "down" | "drain";

/** A downtime, as its file tells it. */
export interface DowntimeRecord extends Marking {
  /** How it is marked; down where the file says something else. */
  readonly mode: Mode;
}

/** The weight that an operator gave something, as its file tells it. */
export interface WeightRecord extends Marking {
  /** From 0 to 100, per cent of the weight that the balancer knows; null where the file does not tell. */
  readonly weight: number | null;
}

/** The weight of what was given none. */
export const FULL_WEIGHT = 100;

/** From here on numbers are not spelled in digits alone, and who parses the line expects digits. */
const END_OF_TIME = 1e21;

/**
 * Tells whether a number can be a time in unix seconds.
 *
 * @param value What should be one.
 */
export function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < END_OF_TIME;
}

/**
 * Tells whether a number can be a weight: a whole one from 0 to 100.
 *
 * @param value What should be one.
 */
export function isWeight(value: unknown): value is number {
  return Number.isInteger(value) && value as number >= 0 && value as number <= FULL_WEIGHT;
}

/**
 * Reads the content of a record. A time that makes no sense is none, so that such a
 * record does not expire; what is not a JSON object is itself the reason.
 *
 * @param content The content of a file.
 * @returns The record.
 */
export function parseRecord(content: string): DowntimeRecord {
  const fields = parseObject(content);
  return { mode: fields?.mode === "drain" ? "drain" : "down", ...markingOf(fields, content) };
}

/**
 * Reads the content of a weight's file.
 *
 * @param content The content of the file.
 * @returns The record. Its times are those that {@linkcode parseRecord} reads.
 */
export function parseWeight(content: string): WeightRecord {
  const fields = parseObject(content);
  return {
    weight: isWeight(fields?.weight) ? fields.weight : null,
    ...markingOf(fields, content),
  };
}

function markingOf(fields: Record<string, unknown> | undefined, content: string): Marking {
  if (fields === undefined) return { reason: content.trim(), expiration: null, creation: null };
  const { reason = null, expiration, creation, by } = fields;
  return {
    reason: typeof reason === "string" ? reason : reason === null ? "" : JSON.stringify(reason),
    expiration: isTime(expiration) ? expiration : null,
    creation: isTime(creation) ? creation : null,
    ...typeof by === "string" && by !== "" ? { by } : {},
  };
}

/**
 * Tells why a record may not say what was meant, and is down, or does not end by itself.
 *
 * @param content The content of a file.
 * @returns What is wrong with it, or null.
 *
 * @example
 * ```ts
 * import { faultOf } from "./entry.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(faultOf('{"expiration": "soon"}'), 'its expiration makes no sense: "soon"');
 * assertEquals(faultOf('{"expiration": 4000000000}'), null);
 * assertEquals(faultOf("text"), null);
 * ```
 */
export function faultOf(content: string): string | null {
  const fields = parseObject(content);
  if (fields === undefined) {
    return /^\s*\{/.test(content) ? "it is not the JSON it begins as" : null;
  }
  const { expiration = null, mode = null } = fields;
  if (expiration !== null && !isTime(expiration)) return senseless("expiration", expiration);
  if (mode !== null && mode !== "down" && mode !== "drain") return senseless("mode", mode);
  return null;
}

/**
 * Tells why a weight's file may not say what was meant, and changes no weight, or does not end by itself.
 *
 * @param content The content of the file.
 * @returns What is wrong with it, or null.
 */
export function weightFaultOf(content: string): string | null {
  const fields = parseObject(content);
  if (fields === undefined) return "it is not a JSON object";
  const { expiration = null, weight = null } = fields;
  if (!isWeight(weight)) return senseless("weight", weight);
  return expiration === null || isTime(expiration) ? null : senseless("expiration", expiration);
}

function senseless(key: string, value: unknown): string {
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
  return `its ${key} makes no sense: ${shown.slice(0, MAX_SHOWN)}`;
}

/** How much of what makes no sense is shown. */
const MAX_SHOWN = 100;

function parseObject(content: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/**
 * Writes the content of a record: JSON with the spaces and the ASCII escapes of Python's `json.dump`.
 *
 * @param record The record.
 * @returns The content of its file.
 */
export function formatRecord({ mode, reason, expiration, creation, by }: DowntimeRecord): string {
  // The other hachecks ignore the keys that they do not know: to them, draining is down.
  return spaced({
    reason,
    expiration,
    creation,
    ...mode === "down" ? {} : { mode },
    ...writtenBy(by),
  });
}

/**
 * Writes the content of a weight's file.
 *
 * @param record The record.
 * @returns The content of its file.
 */
export function formatWeight({ weight, reason, expiration, creation, by }: WeightRecord): string {
  return spaced({ reason, expiration, creation, weight, ...writtenBy(by) });
}

function writtenBy(by: string | undefined): { by?: string } {
  return by === undefined ? {} : { by };
}

function spaced(fields: Readonly<Record<string, unknown>>): string {
  return `{${
    Object.entries(fields).map(([key, value]) => `"${key}": ${ascii(value)}`).join(", ")
  }}`;
}

/** JSON in ASCII alone: readers of the spool may expect what Python writes. */
function ascii(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Tells whether a record's time is over, and it counts as up.
 *
 * @param record The record.
 * @param now The time in unix seconds.
 */
export function isExpired(
  { expiration }: Pick<DowntimeRecord, "expiration">,
  now: number,
): boolean {
  return expiration !== null && expiration < now;
}

/**
 * The line that tells a balancer of a downtime.
 *
 * @param name The name that is marked: the service's, or `all`.
 * @param record Its record.
 * @returns One line, without its end.
 *
 * @example
 * ```ts
 * import { stateLine } from "./entry.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   stateLine("web", {
 *     mode: "down",
 *     reason: "maint",
 *     expiration: null,
 *     creation: 1435694078.778886,
 *   }),
 *   "Service web in down state since 1435694078.778886: maint",
 * );
 * ```
 */
export function stateLine(name: string, record: DowntimeRecord): string {
  const { mode, reason, expiration, creation } = record;
  let line = `Service ${name} in ${mode} state`;
  if (creation !== null) line += ` since ${creation.toFixed(6)}`;
  if (expiration !== null) line += ` until ${expiration.toFixed(6)}`;
  if (reason !== "") line += `: ${oneLine(reason)}`;
  return line;
}
