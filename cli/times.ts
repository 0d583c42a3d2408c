/**
 * Times as people say them.
 *
 * @module
 */

import { UsageError } from "../src/flags.ts";

const SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 };

const DURATION = /^(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/;

/**
 * Reads a duration: `90s`, `30m`, `1h30m`, `2d`, `1w`.
 *
 * @param flag The flag that gives it, for the message.
 * @param text What was given.
 * @returns How many seconds it is, more than 0.
 * @throws {UsageError} If it is none.
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

const DAY = String.raw`(?<year>\d{4})-(?<month>\d\d)-(?<day>\d\d)`;
const CLOCK = String.raw`(?<hour>\d\d):(?<minute>\d\d)(?::(?<second>\d\d))?`;
const ZONE = String.raw`(?:Z|(?<sign>[+-])(?<ahead>\d\d):?(?<minutesAhead>\d\d))`;
const MOMENT = new RegExp(`^${DAY}(?:[T ]${CLOCK}(?<zone>${ZONE})?)?$`, "i");
const TIME_OF_DAY = new RegExp(`^${CLOCK}$`);

/**
 * Reads a time to come: a date and a time (`2026-12-01T08:00`), of this host's zone unless one is written
 * behind it (`Z`, `+01:00`); a date alone, which is the midnight that it begins with; or a time alone,
 * which is when the clock shows it next.
 *
 * @param flag The flag that gives it, for the message.
 * @param text What was given.
 * @param now The time in unix seconds.
 * @returns The time in unix seconds.
 * @throws {UsageError} If it is none, such as the 30th of February, or over already.
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
  const time = momentOf(text) ?? nextOf(text, now);
  if (time === undefined) {
    throw new UsageError(
      `Bad ${flag}: expected a time such as 2026-12-01T08:00, 2026-12-01T08:00Z, 2026-12-01 or ` +
        `08:00: received ${JSON.stringify(text)}`,
    );
  }
  if (time > now) return time;
  throw new UsageError(
    `Bad ${flag}: expected a time to come: received ${JSON.stringify(text)}, which is over`,
  );
}

/** A time by its parts. A month is counted from 1 on. */
type Parts = readonly [
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
];

function momentOf(text: string): number | undefined {
  const groups = MOMENT.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const of = (name: string) => Number(groups[name] ?? 0);
  const parts: Parts = [
    of("year"),
    of("month"),
    of("day"),
    of("hour"),
    of("minute"),
    of("second"),
  ];
  if (groups.zone === undefined) return localTime(parts);
  const [ahead, minutesAhead] = [of("ahead"), of("minutesAhead")];
  const time = isTimeOf(parts) ? utc(parts) / 1000 : undefined;
  if (time === undefined || ahead > 14 || minutesAhead > 59) return undefined;
  const offset = ahead * 3600 + minutesAhead * 60;
  return groups.sign === "-" ? time + offset : time - offset;
}

/** When the clock shows this next: today, or tomorrow if that is over. */
function nextOf(text: string, now: number): number | undefined {
  const groups = TIME_OF_DAY.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const [hour, minute, second] = [groups.hour, groups.minute, groups.second ?? "0"].map(Number);
  for (let days = 0; days <= 1; days++) {
    const day = new Date(now * 1000);
    day.setDate(day.getDate() + days);
    const time = localTime(
      [day.getFullYear(), day.getMonth() + 1, day.getDate(), hour!, minute!, second!],
    );
    if (time === undefined || time > now) return time;
  }
  return undefined;
}

/** A time of this host's zone, in unix seconds. One that clocks leap over there is none. */
function localTime(parts: Parts): number | undefined {
  const [year, month, day, hour, minute, second] = parts;
  const date = new Date(year, month - 1, day, hour, minute, second);
  return isTimeOf(parts) && date.getHours() === hour && date.getMinutes() === minute
    ? date.getTime() / 1000
    : undefined;
}

/** Whether there is such a day, and such a time of day: a `Date` counts on instead. */
function isTimeOf(parts: Parts): boolean {
  const date = new Date(utc(parts));
  return [
    date.getUTCFullYear(),
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ].every((part, i) => part === parts[i]);
}

function utc([year, month, day, hour, minute, second]: Parts): number {
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
