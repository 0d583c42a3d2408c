/**
 * The lines that hactl prints for scripts, as the older tools print them.
 *
 * @module
 */

import { oneLine } from "../../src/text/control_characters.ts";
import type { DowntimeRecord } from "../../src/spool/entry.ts";

/** Something that has the name of a record. */
export interface Named {
  /** The name of the record. */
  readonly name: string;
}

/**
 * Formats the line of a service that has no record.
 *
 * @param named The service.
 */
export function upLine({ name }: Named): string {
  return `UP\t${printedName(name)}`;
}

/**
 * Formats the line of a record.
 *
 * @param named The service.
 * @param record Its record.
 */
export function recordLine(
  { name }: Named,
  { mode, expiration, reason }: DowntimeRecord,
): string {
  const until = expiration === null ? "inf" : expiration.toFixed(6);
  return `${mode.toUpperCase()}\t${until}\t${printedName(name)}\t${oneLine(reason)}`;
}

/** Returns `web`, `web::8080` or `web:10.1.1.1:8080`: a port always follows a host, be it an empty one. */
function printedName(name: string): string {
  return name.replace(/^([^:]+):(\d+)$/, "$1::$2");
}

/**
 * Puts the URL of a daemon before a line.
 *
 * @param url The URL; empty for the daemon of this host.
 * @param line The line.
 */
export function withUrl(url: string, line: string): string {
  return url === "" ? line : `${url}\t${line}`;
}
