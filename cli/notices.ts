/**
 * What an operator may not expect about a change that was made. All of it goes to stderr.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../src/net/addresses.ts";
import { oneLine, terminalJson } from "../src/text/control_characters.ts";
import { ALL, parseRecordName, recordName, type Subject } from "../src/spool/names.ts";
import { type DowntimeRecord, isExpired } from "../src/spool/entry.ts";
import { closest } from "../src/text/closest.ts";
import type { CommandContext } from "./command.ts";
import type { Daemon } from "./daemons/daemon.ts";
import { LocalDaemon } from "./daemons/local.ts";
import { fetchRecent, fetchState } from "./daemons/responses.ts";
import {
  describeRecord,
  findWiderRecord,
  isFailing,
  type ServiceStatus,
} from "./report/service_status.ts";
import { warn } from "./terminal.ts";

/** How long the daemon may take for a response, in milliseconds. */
const DAEMON_TIMEOUT_MS = 2000;

/** Balancers ask every few seconds: all that the daemon remembers counts, however long ago. */
const ANY_TIME = 999_999_999;

/** How many names are listed at most. */
const MAX_LISTED = 5;

/**
 * Warns of the wider and narrower records that still keep services out.
 *
 * @param context The services, whose own records were removed, and the spool.
 */
export function warnOfOtherRecords({ subjects, store }: CommandContext): void {
  const now = Date.now() / 1000;
  const modeOf = (name: string) => {
    const record = store.readDowntime(name)?.record;
    return record === undefined || isExpired(record, now) ? undefined : record.mode;
  };
  try {
    const names = store.listDowntimes().sort();
    for (const subject of subjects) {
      const wider = findWiderRecord(subject, modeOf);
      const narrower = names.filter((name) => isNarrower(parseRecordName(name)!, subject))
        .flatMap((name) => {
          const state = modeOf(name);
          return state === undefined ? [] : [{ name, state }];
        });
      const records = [...wider === null ? [] : [wider], ...narrower];
      if (records.length === 0) continue;
      const listed = records.slice(0, MAX_LISTED).map(describeRecord);
      if (records.length > MAX_LISTED) listed.push(`${records.length - MAX_LISTED} more`);
      warn(`${recordName(subject)} is not fully in service: ${listed.join(", ")}`);
    }
  } catch {
    // The change was made; the other records cannot be read.
  }
}

/** Tests whether a record is about a part of a subject. */
function isNarrower(record: Subject, subject: Subject): boolean {
  if (recordName(record) === recordName(subject)) return false;
  if (subject.service === ALL) return true;
  if (record.service !== subject.service || isServiceWide(record)) return false;
  return isServiceWide(subject) ||
    (record.port === subject.port && subject.host === LOCAL_ADDRESS);
}

function isServiceWide({ port, isPortZero = false }: Subject): boolean {
  return port === 0 && !isPortZero;
}

/**
 * Returns a warning if the record that was replaced or removed had another author.
 *
 * @param name The name of the record.
 * @param before The record that was replaced or removed.
 * @param by The login name of the operator; undefined if unknown.
 * @param action What happened to the record.
 * @returns The warning; null if the record was the operator's own, or had expired.
 */
export function otherAuthor(
  name: string,
  before: DowntimeRecord | undefined,
  by: string | undefined,
  action: "replaced" | "removed",
): string | null {
  if (before?.by === undefined || before.by === by) return null;
  if (isExpired(before, Date.now() / 1000)) return null;
  const { reason, by: author } = before;
  const why = reason === "" || reason === author ? "" : ` (${terminalJson(reason)})`;
  return `${name}: ${action} the record of ${oneLine(author)}${why}`;
}

/**
 * Warns of services that are up by the records and fail their checks.
 *
 * @param services The services.
 * @param context The daemon of this host.
 */
export async function warnOfFailing(
  services: readonly ServiceStatus[],
  { port, trust }: CommandContext,
): Promise<void> {
  const daemon = new LocalDaemon(port, trust.token);
  try {
    const recent = new Map(await fetchRecent(daemon, AbortSignal.timeout(DAEMON_TIMEOUT_MS)));
    for (const status of services) {
      const last = recent.get(status.service) ?? null;
      if (last === null || !isFailing({ ...status, last })) continue;
      const age = Math.max(0, Math.round(Date.now() / 1000 - last.ts));
      warn(
        `${status.service} is up, but failing: its last check returned ${last.code}, ${age} s ago`,
      );
    }
  } catch {
    // Without a daemon, the last checks are unknown.
  }
}

/**
 * Warns of services that no balancer has asked the daemon of this host for, if one has asked for others.
 *
 * @param context The services and the daemon.
 */
export async function warnOfNeverAsked({ subjects, port, trust }: CommandContext): Promise<void> {
  const daemon = new LocalDaemon(port, trust.token);
  const deadline = () => AbortSignal.timeout(DAEMON_TIMEOUT_MS);
  try {
    const unknown = [];
    for (const service of new Set(subjects.map(({ service }) => service))) {
      if (service === ALL) continue;
      const subject = { service, port: 0, host: LOCAL_ADDRESS };
      const { report } = await fetchState(daemon, subject, deadline());
      if (report?.last_asked === null) unknown.push(service);
    }
    for (const { service, near } of await neverAsked(daemon, unknown, deadline())) {
      const hint = near === undefined ? "" : `: did you mean ${near}?`;
      warn(`no balancer has asked ${daemon.name} for ${service}${hint}`);
    }
  } catch {
    // The change was made; this daemon does not report what balancers ask for.
  }
}

/**
 * Finds similar names of services that no balancer has asked a daemon for.
 *
 * @param daemon The daemon.
 * @param services The services.
 * @param signal The deadline.
 * @returns Each service with the most similar one that a balancer asked for; none if no balancer asked at all.
 */
export async function neverAsked(
  daemon: Daemon,
  services: readonly string[],
  signal: AbortSignal,
): Promise<{ service: string; near: string | undefined }[]> {
  if (services.length === 0) return [];
  const known = (await fetchRecent(daemon, signal, ANY_TIME)).map(([service]) => service);
  if (known.length === 0) return [];
  return services.map((service) => ({ service, near: closest(service, known) }));
}
