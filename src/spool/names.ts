/**
 * The names of the spool's files, and the services that they stand for.
 *
 * @module
 */

import { canonicalAddress, LOCAL_ADDRESS } from "../net/addresses.ts";

/** The name of the record of all services of this host. */
export const ALL = "all";

/** The length limit of a service's name. The name of each of its records is then short enough for a file. */
export const MAX_SERVICE_LENGTH = 200;

/** The prefix of a weight's file. Other hachecks ignore names that begin with a dot. */
export const WEIGHT_PREFIX = ".weight:";

/** A service, its port, or its port on one host. */
export interface Subject {
  /** The service's name, or {@linkcode ALL}. */
  readonly service: string;
  /** The port, from 1 to 65535; 0 for all ports, unless {@linkcode isPortZero}. */
  readonly port: number;
  /** Whether it is port 0 (`web:0`), which checks use that name no port. */
  readonly isPortZero?: boolean;
  /** The canonical IP address; 127.0.0.1 for this machine. */
  readonly host: string;
}

/** Compares two things by name, for sorting. */
export function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : 1;
}

/** Tests whether a URL can name a service like this. */
export function isServiceName(text: string): boolean {
  return /^[.\w-]+$/.test(text) && text.length <= MAX_SERVICE_LENGTH && text !== "." &&
    text !== "..";
}

/** Tests whether a service can have a record. In the spool, names that begin with a dot are ignored. */
export function canHaveRecord(service: string): boolean {
  return isServiceName(service) && !service.startsWith(".");
}

/**
 * Parses the name of a service in an agent check: `web/8080`, or `web` for all its ports.
 *
 * @returns The subject; undefined if the name is invalid.
 */
export function parseAgentName(text: string): Subject | undefined {
  const [, service = "", digits = ""] = /^([^/]*)(?:\/(\d{0,5}))?$/.exec(text) ?? [];
  const port = Number(digits);
  return isServiceName(service) && port <= 65535
    ? { service, port, host: LOCAL_ADDRESS }
    : undefined;
}

/**
 * Returns the name of a record: `web`, `web:8080` or `web:10.1.1.1:8080`. An IPv6 address needs no brackets,
 * since a service's name has no colon and the port comes last: `web:2001:db8::1:8080`.
 */
export function recordName({ service, port, host, isPortZero = false }: Subject): string {
  if (port === 0 && !isPortZero) return service;
  return host === LOCAL_ADDRESS ? `${service}:${port}` : `${service}:${host}:${port}`;
}

/**
 * Parses the name of a record.
 *
 * @returns The subject; undefined if the name is not that of a record.
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

/** Returns the name of a weight's file: `.weight:` and the name of a record. */
export function weightName(subject: Subject): string {
  return WEIGHT_PREFIX + recordName(subject);
}

/**
 * Parses the name of a weight's file.
 *
 * @returns The subject; undefined if the name is not that of a weight.
 */
export function parseWeightName(name: string): Subject | undefined {
  return name.startsWith(WEIGHT_PREFIX)
    ? parseRecordName(name.slice(WEIGHT_PREFIX.length))
    : undefined;
}

/** Tests whether a file is a record or a weight by its name. */
export function isSpoolName(name: string): boolean {
  return (parseWeightName(name) ?? parseRecordName(name)) !== undefined;
}

/**
 * Tests whether a file's name is invalid: an operator may have meant a record by it. Other names that begin with
 * a dot, and the folder `lost+found` of a file system, are ignored.
 */
export function isMisnamed(name: string): boolean {
  const isIgnored = name === "lost+found" ||
    (name.startsWith(".") && !name.startsWith(WEIGHT_PREFIX));
  return !isIgnored && !isSpoolName(name);
}
