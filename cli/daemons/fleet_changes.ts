/**
 * Changes services by many daemons.
 *
 * @module
 */

import { type DowntimeRecord, type Entry, FULL_WEIGHT, isExpired } from "../../src/spool/entry.ts";
import { ALL, recordName, type Subject } from "../../src/spool/names.ts";
import { type Change, changeJson, describeChange } from "../change.ts";
import type { CommandContext } from "../command.ts";
import { neverAsked, otherAuthor } from "../notices.ts";
import { authorOf } from "../reason.ts";
import { describeRecord } from "../report/service_status.ts";
import { sleep } from "../sleep.ts";
import { describeResponse, errorMessage } from "../terminal.ts";
import type { Daemon } from "./daemon.ts";
import { askAll, DEFAULT_TIMEOUT, reportAll } from "./fleet.ts";
import { unhealthyServices } from "./health.ts";
import { type EntryReport, fetchState, isHacheck } from "./responses.ts";

/** How long a daemon has to report a change, in milliseconds. */
const AGREE_TIMEOUT_MS = 1000;

/** How often hactl asks meanwhile, in milliseconds. */
const ASK_EVERY_MS = 50;

/**
 * Changes the records or the weights of services by all daemons that are named.
 *
 * @param context The services and the daemons.
 * @param change The change.
 * @returns 0 if all daemons report the change, else 1.
 */
export async function changeOnAll(context: CommandContext, change: Change): Promise<number> {
  const { subjects, healthy, timeout } = context;
  const by = await authorOf();
  const form = formOf(change, by);
  const entry = change.entry === null ? null : { ...change.entry, creation: null };
  const json = changeJson(change.kind, subjects.map((subject) => [subject, entry]));
  const limits = { ...context, timeout: (timeout ?? DEFAULT_TIMEOUT) + (healthy ?? 0) };
  const outcomes = askAll(limits, async (daemon, signal) => {
    if (healthy !== null) {
      const unhealthy = await unhealthyServices(daemon, subjects, healthy, signal);
      if (unhealthy.length > 0) throw new Error(unhealthy.join("; "));
    }
    const warnings = [];
    for (const subject of subjects) {
      const before = await presentRecord(subject, daemon, signal);
      await post(subject, form, change, daemon, signal);
      const report = await awaitReport(subject, change, daemon, signal);
      const { service } = subject;
      if (change.kind === "downtime") {
        warnings.push(...recordWarnings(recordName(subject), change, before, by, report));
      }
      if (report?.last_asked === null && service !== ALL) {
        warnings.push(...await similarNames(service, daemon, signal));
      }
    }
    return warnings;
  });
  return await reportAll(context, outcomes, (warnings) => ({ lines: ["OK"], json, warnings }));
}

function formOf({ kind, entry }: Change, by: string | undefined): URLSearchParams {
  if (entry === null) {
    return new URLSearchParams(
      kind === "weight" ? { weight: String(FULL_WEIGHT) } : { status: "up" },
    );
  }
  const { reason, expiration } = entry;
  return new URLSearchParams({
    ..."weight" in entry ? { weight: String(entry.weight) } : { status: entry.mode },
    reason,
    ...expiration === null ? {} : { expiration: String(expiration) },
    ...by === undefined ? {} : { by },
  });
}

/** Returns the record that a change replaces; undefined if there is none, or the daemon does not report it. */
async function presentRecord(
  subject: Subject,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<DowntimeRecord | undefined> {
  try {
    return (await fetchState(daemon, subject, signal)).report?.record ?? undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

async function post(
  subject: Subject,
  form: URLSearchParams,
  change: Change,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<void> {
  const path = `/spool/${subject.service}/${subject.port}/status`;
  const { status, body } = await daemon.ask({ path, form }, signal);
  if (status === 200) return;
  const what = describeChange(change, recordName(subject));
  throw new Error(`cannot ${what}: ${describeResponse(status, body)}`);
}

/**
 * Waits until the daemon reports a change: any program may respond with 200.
 *
 * @returns The report; null from a Python hacheck, which has none, and agrees.
 * @throws {Error} If it does not agree in time.
 */
async function awaitReport(
  subject: Subject,
  change: Change,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<EntryReport | null> {
  const { service, port } = subject;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(AGREE_TIMEOUT_MS)]);
  const what = describeChange(change, recordName(subject));
  const failed = (why: string) =>
    new Error(`cannot ${what}: the daemon accepted the change but does not report it: ${why}`);
  for (;;) {
    let found;
    try {
      found = await fetchState(daemon, subject, signal);
    } catch (error) {
      throw signal.aborted ? error : failed(errorMessage(error));
    }
    const { report, state, response: { status, body } } = found;
    const received = `received ${describeResponse(status, body)}`;
    if (report !== null) {
      if (report.service === service && report.port === port && agrees(report, change)) {
        return report;
      }
    } else if (state !== null || status === 404) {
      const isAsSent = change.kind === "downtime" &&
        state === (change.entry === null ? "up" : "down");
      if (isAsSent && await isHacheck(daemon, signal)) return null;
      throw failed(`${received}: another program, or an older hacheck`);
    }
    if (deadline.aborted) throw failed(received);
    await sleep(ASK_EVERY_MS, deadline);
  }
}

/** Tests whether a report has the record or the weight of a change. Daemons strip blanks from a reason. */
function agrees({ record, weight }: EntryReport, { kind, entry }: Change): boolean {
  const found: Entry | null = kind === "weight" ? weight : record;
  if (entry === null || isExpired(entry, Date.now() / 1000)) return found === null;
  if (found === null || found.expiration !== entry.expiration) return false;
  const hasEffect = "weight" in entry
    ? weight?.weight === entry.weight
    : record?.mode === entry.mode;
  return hasEffect && found.reason.trim() === entry.reason.trim();
}

function recordWarnings(
  name: string,
  { entry }: Change,
  before: DowntimeRecord | undefined,
  by: string | undefined,
  report: EntryReport | null,
): string[] {
  const author = otherAuthor(name, before, by, entry === null ? "removed" : "replaced");
  const wider = entry === null ? report?.kept_out_by ?? null : null;
  return [
    ...author === null ? [] : [author],
    ...wider === null ? [] : [
      `${name} is not fully in service: ${describeRecord({ name: wider.name, state: wider.mode })}`,
    ],
  ];
}

/** Suggests a similar name. Not every host has every service, so the name alone is no reason to warn. */
async function similarNames(
  service: string,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const [similar] = await neverAsked(daemon, [service], signal);
    if (similar?.near === undefined) return [];
    return [`no balancer has asked this daemon for ${service}: did you mean ${similar.near}?`];
  } catch {
    // The change was made.
    return [];
  }
}
