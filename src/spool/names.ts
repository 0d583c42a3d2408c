/**
 * What may be marked down, and the name of the file that does it.
 *
 * @module
 */

import { canonicalAddress, LOCAL_ADDRESS } from "../net/addresses.ts";

/** The name that marks everything on this host down. */
export const ALL = "all";

/** How long a service's name may be, so that every record of it has a name that a file can have. */
export const MAX_SERVICE_LENGTH = 200;

/** What is marked down: a service, or the part of it on one port or on one port of one host. */
export interface Subject {
  /** The service's name, or {@linkcode ALL}. */
  readonly service: string;
  /** The port, from 1 to 65535; 0 for the service whatever the port, unless {@linkcode isPortZero}. */
  readonly port: number;
  /** Whether it is the service on port 0 (`web:0`): checks ask about that port where they name no port. */
  readonly isPortZero?: boolean;
  /** The canonical IP address; 127.0.0.1 for this machine. */
  readonly host: string;
}

/**
 * What the name of a weight's file begins with; that of a record follows. A hacheck that knows of no
 * weights must not take it for a downtime, and to each of them names that begin with a dot are nobody's.
 */
export const WEIGHT_PREFIX = ".weight:";

/** The order of what has a name, by that. */
export function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : 1;
}

/** Tells whether a URL may name a service so. */
export function isServiceName(text: string): boolean {
  return /^[.\w-]+$/.test(text) && text.length <= MAX_SERVICE_LENGTH && text !== "." &&
    text !== "..";
}

/** Tells whether a service of this name can be marked down: in the spool, names beginning with a dot are nobody's. */
export function canHaveRecord(service: string): boolean {
  return isServiceName(service) && !service.startsWith(".");
}

/**
 * Reads a service's name as agent checks give it: `web/8080`, or `web` for the service as a whole.
 *
 * @param text The name.
 * @returns What it names; undefined where it names nothing.
 */
export function parseAgentName(text: string): Subject | undefined {
  const [, service = "", digits = ""] = /^([^/]*)(?:\/(\d{0,5}))?$/.exec(text) ?? [];
  const port = Number(digits);
  return isServiceName(service) && port <= 65535
    ? { service, port, host: LOCAL_ADDRESS }
    : undefined;
}

/**
 * Names the file of a record: `web`, `web:8080` or `web:10.1.1.1:8080`. An IPv6 host needs no
 * brackets, since a service's name has no colon and the port comes last: `web:2001:db8::1:8080`.
 *
 * @param subject What is marked down.
 * @returns The file's name in the spool.
 */
export function recordName({ service, port, host, isPortZero = false }: Subject): string {
  if (port === 0 && !isPortZero) return service;
  return host === LOCAL_ADDRESS ? `${service}:${port}` : `${service}:${host}:${port}`;
}

/**
 * Reads the name of a file in the spool back.
 *
 * @param name The file's name.
 * @returns What it marks down, or undefined where the name is not that of a record.
 *
 * @example
 * ```ts
 * import { parseRecordName } from "./names.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseRecordName("web:2001:db8::1:8080"), { service: "web", port: 8080, host: "2001:db8::1" });
 * ```
 */
export function parseRecordName(name: string): Subject | undefined {
  const [, service, host, digits] = /^([^:]+)(?::(?:(.+):)?(\d{1,5}))?$/.exec(name) ?? [];
  if (service === undefined || !canHaveRecord(service)) return undefined;
  if (digits === undefined) return { service, port: 0, host: LOCAL_ADDRESS };
  const port = Number(digits);
  const address = host === undefined ? LOCAL_ADDRESS : canonicalAddress(host);
  if (port > 65535 || address === undefined) return undefined;
  const subject = { service, port, host: address };
  return port === 0 ? { ...subject, isPortZero: true } : subject;
}

/**
 * Names the file of a weight: `.weight:web`, and so on as {@linkcode recordName} has it.
 *
 * @param subject What has the weight.
 * @returns The file's name in the spool.
 */
export function weightName(subject: Subject): string {
  return WEIGHT_PREFIX + recordName(subject);
}

/**
 * Reads the name of a weight's file back.
 *
 * @param name The file's name.
 * @returns What has the weight, or undefined where the name is not that of a weight.
 */
export function parseWeightName(name: string): Subject | undefined {
  return name.startsWith(WEIGHT_PREFIX)
    ? parseRecordName(name.slice(WEIGHT_PREFIX.length))
    : undefined;
}

/**
 * Tells whether a file in the spool says something of a service.
 *
 * @param name The file's name.
 */
export function isSpoolName(name: string): boolean {
  return (parseWeightName(name) ?? parseRecordName(name)) !== undefined;
}

/**
 * Tells whether somebody may have meant a record by a file that is none by its name. Names that begin with a
 * dot are nobody's, and file systems of their own have a folder `lost+found`.
 *
 * @param name The file's name.
 */
export function isMisnamed(name: string): boolean {
  const isNobodys = name.startsWith(".") && !name.startsWith(WEIGHT_PREFIX);
  return !isSpoolName(name) && !isNobodys && name !== "lost+found";
}
