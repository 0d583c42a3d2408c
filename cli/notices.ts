/**
 * What an operator should know about a change, beside that it was made. All of it goes to stderr.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../src/net/addresses.ts";
import { oneLine, terminalJson } from "../src/control_characters.ts";
import type { HttpResponse } from "../src/net/http_client.ts";
import { ALL, parseRecordName, recordName, type Subject } from "../src/spool/names.ts";
import { type DowntimeRecord, isExpired } from "../src/spool/entry.ts";
import type { SpoolStore } from "../src/spool/store.ts";
import { parseEntryReport, parseRecent } from "./daemons/responses.ts";
import { closest } from "./closest.ts";
import type { CommandContext } from "./command.ts";
import { warn } from "./terminal.ts";
import type { LocalDaemon } from "./daemons/local.ts";
import { askRecent } from "./daemons/recent.ts";
import { inWords, isFailing, type Told, type Wider, widerThan } from "./report/service_status.ts";

/** How long the daemon may take for one answer, in milliseconds. */
const DAEMON_TIMEOUT_MS = 1000;

/** Balancers ask every few seconds, so all that the daemon remembers is asked for. */
const ALL_REMEMBERED = "/recent?threshold=999999999";

/** How many names are listed at most. */
const MAX_LISTED = 5;

/**
 * Tells what keeps services out although they have just been marked up: wider records, and narrower ones.
 *
 * @param context The services and the spool.
 */
export function tellKeptOut({ subjects, store }: CommandContext): void {
  const now = Date.now() / 1000;
  const modeOf = (name: string) => {
    const record = store.readDowntime(name)?.record;
    return record === undefined || isExpired(record, now) ? undefined : record.mode;
  };
  let names: string[] | undefined;
  for (const subject of subjects) {
    try {
      const keptOut: Wider[] = [];
      const wider = widerThan(subject, modeOf);
      if (wider !== null) keptOut.push(wider);
      names ??= namesIn(store);
      for (const name of names) {
        if (!isNarrower(parseRecordName(name)!, subject)) continue;
        const state = modeOf(name);
        if (state !== undefined) keptOut.push({ name, state });
      }
      if (keptOut.length === 0) continue;
      const shown = keptOut.slice(0, MAX_LISTED).map(inWords);
      const more = keptOut.length - shown.length;
      if (more > 0) shown.push(`${more} more`);
      warn(`${recordName(subject)} is not wholly in service: ${shown.join(", ")}`);
    } catch {
      // The change was made; what else there is cannot be read.
    }
  }
}

function namesIn(store: SpoolStore): string[] {
  try {
    return store.listDowntimes().sort();
  } catch {
    return [];
  }
}

function isWhole({ port, isPortZero = false }: Subject): boolean {
  return port === 0 && !isPortZero;
}

/** Whether a record is about a part of a subject. */
function isNarrower(record: Subject, subject: Subject): boolean {
  const { service, port, host } = subject;
  const isSame = recordName(record) === recordName(subject);
  if (service === ALL) return !isSame;
  if (record.service !== service || isWhole(record) || isSame) return false;
  return isWhole(subject) || (record.port === port && host === LOCAL_ADDRESS);
}

/**
 * Says whose record was replaced or lifted, if it was somebody else's.
 *
 * @param name The name of the record.
 * @param before The record that was there.
 * @param by The login name of who changes it; undefined if that is not known.
 * @param what What was done: "replaced" or "lifted".
 * @returns A line; null where there is nothing to say.
 */
export function whoseRecord(
  name: string,
  before: DowntimeRecord | undefined,
  by: string | undefined,
  what: "replaced" | "lifted",
): string | null {
  const isOthers = before?.by !== undefined && before.by !== by;
  if (!isOthers || isExpired(before, Date.now() / 1000)) return null;
  const why = before.reason === "" || before.reason === before.by
    ? ""
    : ` (${terminalJson(before.reason)})`;
  return `${name}: ${what} the record of ${oneLine(before.by!)}${why}`;
}

/**
 * Tells which services are not marked, but fail their checks.
 *
 * @param services What is told of them.
 * @param daemon The daemon that knows.
 */
export async function tellFailing(services: readonly Told[], daemon: LocalDaemon): Promise<void> {
  try {
    const recent = new Map(await askRecent(daemon));
    for (const told of services) {
      const last = recent.get(told.service) ?? null;
      if (last === null || !isFailing({ ...told, last })) continue;
      const age = Math.max(0, Math.round(Date.now() / 1000 - last.ts));
      warn(`${told.service} is up, but failing: its last check came to ${last.code}, ${age} s ago`);
    }
  } catch {
    // Without a daemon nobody knows.
  }
}

/**
 * Warns of services that no balancer has asked the daemon for, although balancers ask it for others.
 *
 * @param context The services and the daemon.
 */
export async function tellNeverAsked({ subjects, daemon }: CommandContext): Promise<void> {
  const ask = (path: string) => daemon.ask(path, [], AbortSignal.timeout(DAEMON_TIMEOUT_MS));
  try {
    const unknown = [];
    for (const service of new Set(subjects.map(({ service }) => service))) {
      if (service === ALL) continue;
      const { last_asked } = parseEntryReport(await ask(`/status/services/${service}/0`));
      if (last_asked === null) unknown.push(service);
    }
    for (const { service, near } of await neverAsked(unknown, ask)) {
      const hint = near === undefined ? "" : `: did you mean ${near}?`;
      warn(`no balancer has asked the daemon on port ${daemon.port} for ${service}${hint}`);
    }
  } catch {
    // It is another hacheck, which does not say.
  }
}

/**
 * Finds the services that may be meant by names that no balancer has asked a daemon for.
 *
 * @param services The names.
 * @param ask Asks the daemon for a page.
 * @returns Each name with the service that may be meant; none for a daemon that was asked for nothing yet.
 */
export async function neverAsked(
  services: readonly string[],
  ask: (path: string) => Promise<HttpResponse>,
): Promise<{ service: string; near: string | undefined }[]> {
  if (services.length === 0) return [];
  const known = parseRecent(await ask(ALL_REMEMBERED)).map(([service]) => service);
  if (known.length === 0) return [];
  return services.map((service) => ({ service, near: closest(service, known) }));
}
