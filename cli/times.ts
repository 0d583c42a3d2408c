/**
 * Durations and times as operators write them.
 *
 * @module
 */

import { UsageError } from "../src/flags.ts";

const SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 };

const DURATION = /^(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/;

/**
 * Parses a duration: `90s`, `30m`, `1h30m`, `2d`, `1w`.
 *
 * @param flag The flag that gives it, for the message.
 * @param text What was given.
 * @returns The duration in seconds, more than 0.
 * @throws {UsageError} If it is invalid.
 *
 * @example
 * ```ts
 * import { parseDuration } from "./times.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseDuration("--for", "1h30m"), 5400);
 * ```
 */
export function parseDuration(flag: string, text: string): number {
  const [, ...counts] = DURATION.exec(text) ?? [];
  const seconds = Object.values(SECONDS)
    .reduce((sum, unit, i) => sum + unit * Number(counts[i] ?? 0), 0);
  if (seconds > 0) return seconds;
  throw new UsageError(
    `Bad ${flag}: expected weeks, days, hours, minutes or seconds such as 30m, 1h30m or 2d: ` +
      `received ${JSON.stringify(text)}`,
  );
}

const DAY = String.raw`\d{4}-\d\d-\d\d`;
const CLOCK = String.raw`\d\d:\d\d(?::[0-5]\d)?`;
const ZONE = String.raw`(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)`;
const WITH_ZONE = new RegExp(`^${DAY}[T ]${CLOCK}${ZONE}$`, "i");
const WITHOUT_ZONE = new RegExp(`^${DAY}(?:[T ]${CLOCK})?$`, "i");
const TIME_OF_DAY = new RegExp(`^${CLOCK}$`);

/**
 * Parses a future time: a date and a time (`2026-12-01T08:00`) in this host's zone or in the zone that
 * follows (`Z`, `+01:00`); a date, which means its first midnight; or a time of day, which means the next one.
 *
 * @param flag The flag that gives it, for the message.
 * @param text What was given.
 * @param now The current time in unix seconds.
 * @returns The time in unix seconds.
 * @throws {UsageError} If there is no such time, or if it is over.
 *
 * @example
 * ```ts
 * import { parseTime } from "./times.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseTime("--until", "2026-12-01T08:00+01:00", 0), 1796108400);
 * ```
 */
export function parseTime(flag: string, text: string, now: number): number {
  const bad = (expected: string, problem = "") =>
    new UsageError(
      `Bad ${flag}: expected ${expected}: received ${JSON.stringify(text)}${problem}`,
    );
  const isLocal = !WITH_ZONE.test(text);
  if (isLocal && new Intl.DateTimeFormat().resolvedOptions().timeZone === undefined) {
    throw bad("a time with its zone, such as 2026-12-01T08:00Z", ", as the zone of TZ is unknown");
  }
  let date;
  try {
    date = dateOf(text, now);
  } catch (error) {
    // A part is out of range, such as the 30th of February.
    if (!(error instanceof RangeError)) throw error;
  }
  if (date === undefined) {
    throw bad("a time such as 2026-12-01T08:00, 2026-12-01T08:00Z, 2026-12-01 or 08:00");
  }
  if (date === "skipped") throw bad("a time that exists", ", which daylight saving time skips");
  const time = date.getTime() / 1000;
  if (time > now) return time;
  throw bad("a time to come", ", which is over");
}

function dateOf(text: string, now: number): Date | "skipped" | undefined {
  if (WITH_ZONE.test(text)) return new Date(Temporal.Instant.from(text).epochMilliseconds);
  if (WITHOUT_ZONE.test(text)) return localDate(Temporal.PlainDateTime.from(text));
  if (!TIME_OF_DAY.test(text)) return undefined;
  const time = Temporal.PlainTime.from(text);
  const date = new Date(now * 1000);
  const today = new Temporal.PlainDate(date.getFullYear(), date.getMonth() + 1, date.getDate())
    .toPlainDateTime(time);
  return localDate(new Date(today.toString()) > date ? today : today.add({ days: 1 }));
}

/**
 * Converts a time of this host's zone. `Date` knows that zone also where `TZ` is empty or like `GMT+2`, which
 * `Temporal.Now.timeZoneId()` of Deno 2.9.6 rejects or turns the wrong way round.
 */
function localDate(time: Temporal.PlainDateTime): Date | "skipped" {
  const date = new Date(time.toString());
  return date.getHours() === time.hour && date.getMinutes() === time.minute ? date : "skipped";
}
