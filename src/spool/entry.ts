/**
 * The content of the spool's files: records of downtimes, and weights.
 *
 * @module
 */

import { oneLine } from "../text/control_characters.ts";

/** What records and weights have in common. */
interface EntryFields {
  /** Why, in the operator's words; may be empty. */
  readonly reason: string;
  /** When it expires, in unix seconds; null if never. */
  readonly expiration: number | null;
  /** When it was created, in unix seconds; null if unknown. */
  readonly creation: number | null;
  /** The login name of its author; missing where the file has none. */
  readonly by?: string;
}

/** The mode of a record: down, or draining (finish open requests and accept no new ones). */
export type Mode = "down" | "drain";

/** A record: the content of a file that takes something out of service. */
export interface DowntimeRecord extends EntryFields {
  /** Its mode; down where the file has an unknown one. */
  readonly mode: Mode;
}

/** The content of a file that sets a weight. */
export interface WeightRecord extends EntryFields {
  /** From 0 to 100, per cent of the weight configured in the balancer; null where the file has no valid one. */
  readonly weight: number | null;
}

/** The content of a file in the spool: a record or a weight. */
export type Entry = DowntimeRecord | WeightRecord;

/** The content of a file, and whether it is valid. */
export interface ParsedEntry<E extends Entry = Entry> {
  /** The entry. An invalid one takes effect all the same: a record is down, a weight changes nothing. */
  readonly record: E;
  /** Why it may not be what its author meant; null where it is valid. */
  readonly problem: string | null;
}

/** The weight of a service that has no weight file. */
export const FULL_WEIGHT = 100;

/** JavaScript writes larger numbers with an exponent, and parsers of the status line expect digits. */
const MAX_TIME = 1e21;

/** How much of an invalid value is shown. */
const MAX_SHOWN = 100;

/** Tests whether a value is a valid time in unix seconds. */
export function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < MAX_TIME;
}

/** Tests whether a value is a valid weight: an integer from 0 to 100. */
export function isWeight(value: unknown): value is number {
  return Number.isInteger(value) && value as number >= 0 && value as number <= FULL_WEIGHT;
}

/**
 * Parses the content of a record. Content that is not a JSON object is itself the reason, an invalid mode is
 * down, and a record with an invalid expiration does not expire.
 *
 * @returns The record, and what is wrong with it.
 *
 * @example
 * ```ts
 * import { parseDowntime } from "./entry.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { record, problem } = parseDowntime('{"reason": "maint", "expiration": "soon"}');
 * assertEquals(record, { mode: "down", reason: "maint", expiration: null, creation: null });
 * assertEquals(problem, 'expiration: expected unix seconds or null: found "soon"');
 * ```
 */
export function parseDowntime(content: string): ParsedEntry<DowntimeRecord> {
  const fields = parseObject(content);
  if (fields === undefined) {
    const problem = /^\s*\{/.test(content) ? "it begins with { but is not valid JSON" : null;
    return { record: { mode: "down", ...textFields(content) }, problem };
  }
  const { mode = null } = fields;
  const isKnown = mode === null || mode === "down" || mode === "drain";
  return {
    record: { mode: mode === "drain" ? "drain" : "down", ...entryFields(fields) },
    problem: expirationProblem(fields) ?? (isKnown ? null : invalid("mode", "down or drain", mode)),
  };
}

/**
 * Parses the content of a weight's file. An invalid weight is null and changes nothing.
 *
 * @returns The weight, and what is wrong with it.
 */
export function parseWeight(content: string): ParsedEntry<WeightRecord> {
  const fields = parseObject(content);
  if (fields === undefined) {
    return { record: { weight: null, ...textFields(content) }, problem: "it is not a JSON object" };
  }
  const { weight = null } = fields;
  const isValid = isWeight(weight);
  return {
    record: { weight: isValid ? weight : null, ...entryFields(fields) },
    problem: isValid
      ? expirationProblem(fields)
      : invalid("weight", "an integer from 0 to 100", weight),
  };
}

function textFields(content: string): EntryFields {
  return { reason: content.trim(), expiration: null, creation: null };
}

function entryFields(
  { reason = null, expiration, creation, by }: Record<string, unknown>,
): EntryFields {
  return {
    reason: typeof reason === "string" ? reason : reason === null ? "" : JSON.stringify(reason),
    expiration: isTime(expiration) ? expiration : null,
    creation: isTime(creation) ? creation : null,
    ...typeof by === "string" && by !== "" ? { by } : {},
  };
}

function expirationProblem({ expiration = null }: Record<string, unknown>): string | null {
  return expiration === null || isTime(expiration)
    ? null
    : invalid("expiration", "unix seconds or null", expiration);
}

function invalid(key: string, expected: string, value: unknown): string {
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
  return `${key}: expected ${expected}: found ${shown.slice(0, MAX_SHOWN)}`;
}

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
 * Formats an entry as the content of its file: JSON with the spaces and ASCII escapes of Python's `json.dump`.
 *
 * @returns The content.
 */
export function formatEntry(entry: Entry): string {
  const { reason, expiration, creation, by } = entry;
  const fields: Record<string, unknown> = { reason, expiration, creation };
  if ("weight" in entry) fields.weight = entry.weight;
  // Other hachecks ignore unknown keys: a draining service is down for them.
  else if (entry.mode !== "down") fields.mode = entry.mode;
  if (by !== undefined) fields.by = by;
  const pairs = Object.entries(fields).map(([key, value]) => `"${key}": ${asciiJson(value)}`);
  return `{${pairs.join(", ")}}`;
}

/** Returns how many bytes a reason takes in the file of an entry. */
export function encodedLength(reason: string): number {
  return asciiJson(reason).length;
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Tests whether an entry has expired at a time in unix seconds, and is without effect. */
export function isExpired({ expiration }: Pick<Entry, "expiration">, now: number): boolean {
  return expiration !== null && expiration < now;
}

/**
 * Formats the line that a balancer gets for a service out of service.
 *
 * @param name The name of the record: the service's, or `all`.
 * @param record The record.
 * @returns One line, without a line feed.
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
