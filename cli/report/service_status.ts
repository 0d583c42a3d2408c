/**
 * The status of services, of this host and of others, for people, scripts and programs.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { ALL, byName, parseRecordName, recordName, type Subject } from "../../src/spool/names.ts";
import type { ActiveEntries } from "../../src/spool/active_entries.ts";
import type { DowntimeRecord, Mode } from "../../src/spool/entry.ts";
import type { LastResponse, RecentService } from "../../src/metrics/stats.ts";
import { recordLine, upLine } from "./lines.ts";

/** A service, and the fields of its own record. Its keys are those of the JSON that hactl prints. */
export interface RecordFields extends Subject {
  /** The name of the record, whether there is one or not. */
  readonly name: string;
  /** The mode of the record; up without one. */
  readonly state: "up" | Mode;
  /** The reason; null without a record. */
  readonly reason: string | null;
  /** When the record expires, in unix seconds; null if never, or without one. */
  readonly expiration: number | null;
  /** When the record was created, in unix seconds; null if unknown, or without one. */
  readonly creation: number | null;
  /** The login name of the record's author; missing if the record does not have it. */
  readonly by?: string;
}

/** A wider record that keeps a service out. */
export interface WiderRecord {
  /** The name of the record. */
  readonly name: string;
  /** Its mode. */
  readonly state: Mode;
}

/** The status of a service. */
export interface ServiceStatus extends RecordFields {
  /** The wider record that keeps the service out, if it has none itself; null if there is none. */
  readonly kept_out_by: WiderRecord | null;
  /** Its own weight; null if it has none, or an invalid one. */
  readonly weight: number | null;
  /** The last response to a balancer; null if unknown. */
  readonly last: LastResponse | null;
}

/**
 * Returns the fields of a service that has a record.
 *
 * @param name The name of the record.
 * @param record The record.
 */
export function downFields(name: string, { mode, ...fields }: DowntimeRecord): RecordFields {
  const { service, port, host } = parseRecordName(name)!;
  return { name, service, port, host, state: mode, ...fields };
}

/**
 * Returns the fields of a service without a record.
 *
 * @param subject The service.
 */
export function upFields(subject: Subject): RecordFields {
  const { service, port, host } = subject;
  const fields = { state: "up", reason: null, expiration: null, creation: null } as const;
  return { name: recordName(subject), service, port, host, ...fields };
}

/**
 * Finds the wider record that keeps a service out: one that is down before one that drains, as the daemon does.
 *
 * @param subject The service.
 * @param modeOf Returns the mode of the record of a name; undefined if there is none.
 */
export function findWiderRecord(
  { service, port, isPortZero = false }: Subject,
  modeOf: (name: string) => Mode | undefined,
): WiderRecord | null {
  const names = [
    ...service === ALL ? [] : [ALL],
    ...port === 0 && !isPortZero ? [] : [service],
  ];
  const records = names.flatMap((name) => {
    const state = modeOf(name);
    return state === undefined ? [] : [{ name, state }];
  });
  return records.find(({ state }) => state === "down") ?? records[0] ?? null;
}

/**
 * Describes a record in messages.
 *
 * @param record The record.
 */
export function describeRecord({ name, state }: WiderRecord): string {
  return `${name} is ${state === "drain" ? "draining" : "down"}`;
}

/**
 * Returns the status of the services that are named.
 *
 * @param subjects The services.
 * @param entries All records and weights in force.
 */
export function statusOfNamed(
  subjects: readonly Subject[],
  entries: ActiveEntries,
): ServiceStatus[] {
  return withStatus(subjects, entries, []);
}

/**
 * Returns the status of all services: those with a record, then the others, each sorted by name.
 *
 * @param entries All records and weights in force.
 * @param recent The services that balancers asked for lately.
 */
export function statusOfAll(
  entries: ActiveEntries,
  recent: readonly RecentService[],
): ServiceStatus[] {
  const { downtimes, weights } = entries;
  const others = new Map<string, Subject & { readonly name: string }>(recent.map(([service]) => {
    return [service, { name: service, service, port: 0, host: LOCAL_ADDRESS }];
  }));
  for (const weight of weights) others.set(weight.name, weight);
  for (const { name } of downtimes) others.delete(name);
  const subjects = [...downtimes.toSorted(byName), ...[...others.values()].sort(byName)];
  return withStatus(subjects, entries, recent);
}

function withStatus(
  subjects: readonly (Subject & { readonly name?: string })[],
  { downtimes, weights }: ActiveEntries,
  recent: readonly RecentService[],
): ServiceStatus[] {
  const records = new Map(downtimes.map((downtime) => [downtime.name, downtime]));
  const weightsByName = new Map(weights.map(({ name, weight }) => [name, weight]));
  const responses = new Map(recent);
  return subjects.map((subject) => {
    const { service, port, name = recordName(subject) } = subject;
    const record = records.get(name);
    const weight = weightsByName.get(name) ?? null;
    const last = port === 0 ? responses.get(service) ?? null : null;
    if (record !== undefined) {
      return { ...downFields(name, record), kept_out_by: null, weight, last };
    }
    const kept_out_by = findWiderRecord(subject, (name) => records.get(name)?.mode);
    return { ...upFields(subject), name, kept_out_by, weight, last };
  });
}

/**
 * Tests whether the last check of a service failed that is up by the records. HAProxy takes 2xx and 3xx as up.
 *
 * @param status The service's status.
 */
export function isFailing({ state, kept_out_by, last }: ServiceStatus): boolean {
  return state === "up" && kept_out_by === null && last !== null && last.code >= 400;
}

/**
 * Formats the line of a service for scripts.
 *
 * @param fields The service.
 */
export function statusLine(fields: RecordFields): string {
  const { state, reason, expiration, creation } = fields;
  if (state === "up") return upLine(fields);
  return recordLine(fields, { mode: state, reason: reason ?? "", expiration, creation });
}

/**
 * Formats the line of a service as the older tools do.
 *
 * @param fields The service.
 * @param typedHost The host as it was typed; null if none was.
 */
export function oldStatusLine(fields: RecordFields, typedHost: string | null): string {
  const { state, service, port } = fields;
  if (state === "up") return `UP\t${service}`;
  const name = typedHost === null ? fields.name : `${service}:${typedHost}:${port}`;
  return statusLine({ ...fields, name });
}
