/**
 * Changes on many daemons.
 *
 * @module
 */

import { type DowntimeRecord, FULL_WEIGHT, type Mode } from "../../src/spool/entry.ts";
import { ALL, recordName, type Subject } from "../../src/spool/names.ts";
import { type EntryReport, isStatus, parseEntryReport } from "./responses.ts";
import type { CommandContext } from "../command.ts";
import { describeResponse, errorMessage } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import { DEFAULT_PATIENCE, reportAll } from "./fleet.ts";
import { awaitHealthy } from "./health.ts";
import { neverAsked, whoseRecord } from "../notices.ts";
import { authorOf } from "../reason.ts";
import type { RemoteDaemon } from "./remote.ts";
import { askState } from "./state.ts";
import { changeOf, inWords, toldDown, toldUp } from "../report/service_status.ts";

/** How long a daemon has to agree with a change, in milliseconds. */
const AGREE_TIMEOUT_MS = 1000;

/** How often it is asked meanwhile, in milliseconds. */
const ASK_EVERY_MS = 50;

/** A change of what a daemon says of services. */
interface Change {
  /** The form that asks for it. */
  readonly form: Readonly<Record<string, string>>;
  /** What it does, for messages: such as "write the record". */
  readonly what: string;
  /** What the JSON holds of it. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Whether the daemon reports what was changed. */
  readonly agrees: (entry: EntryReport) => boolean;
}

/**
 * Removes the records of services on many daemons.
 *
 * @param context The services and the daemons.
 * @returns 0 if all daemons report the change, else 1.
 */
export function putBackOnAll(context: CommandContext): Promise<number> {
  const services = context.subjects.map((subject) => changeOf(toldUp(subject)));
  const what = "remove the record";
  const agrees = ({ record }: EntryReport) => record === null;
  return changeAll(context, { form: { status: "up" }, what, json: { services }, agrees });
}

/**
 * Writes records of services on many daemons.
 *
 * @param context The services and the daemons.
 * @param mode The mode of the records.
 * @param reason The reason.
 * @returns 0 if all daemons report the change, else 1.
 */
export function takeOutOnAll(
  context: CommandContext,
  mode: Mode,
  reason: string,
): Promise<number> {
  const { subjects, expiration } = context;
  const services = subjects.map((subject) => {
    const name = recordName(subject);
    return changeOf(toldDown({ name, ...subject, mode, reason, expiration, creation: null }));
  });
  const form = { status: mode, reason, ...ending(expiration) };
  const what = "write the record";
  const agrees = ({ record }: EntryReport) =>
    isOver(expiration)
      ? record === null
      : record?.mode === mode && isSame(record, reason, expiration);
  return changeAll(context, { form, what, json: { services }, agrees });
}

/**
 * Sets the weight of services on many daemons.
 *
 * @param context The services and the daemons.
 * @param weight The weight.
 * @param reason The reason.
 * @returns 0 if all daemons report the change, else 1.
 */
export function setWeightOnAll(
  context: CommandContext,
  weight: number,
  reason: string,
): Promise<number> {
  const expiration = weight === FULL_WEIGHT ? null : context.expiration;
  const weights = context.subjects.map((subject) => {
    return { name: recordName(subject), ...subject, weight, reason, expiration, creation: null };
  });
  const form = { weight: String(weight), reason, ...ending(expiration) };
  const what = "change the weight";
  const agrees = ({ weight: present }: EntryReport) =>
    weight === FULL_WEIGHT || isOver(expiration)
      ? present === null
      : present?.weight === weight && isSame(present, reason, expiration);
  return changeAll(context, { form, what, json: { weights }, agrees });
}

function isOver(expiration: number | null): boolean {
  return expiration !== null && expiration < Date.now() / 1000;
}

/** Whether a record says why and until when as it should. Daemons strip blanks from what they are sent. */
function isSame(
  record: { readonly reason: string; readonly expiration: number | null },
  reason: string,
  expiration: number | null,
): boolean {
  return record.reason.trim() === reason.trim() && record.expiration === expiration;
}

function ending(expiration: number | null): Record<string, string> {
  return expiration === null ? {} : { expiration: String(expiration) };
}

async function changeAll(context: CommandContext, change: Change): Promise<number> {
  const { subjects, healthy, timeout } = context;
  const by = await authorOf();
  const writes = change.form.status !== "up" && by !== undefined;
  const form = writes ? { ...change.form, by } : change.form;
  const patience = (timeout ?? DEFAULT_PATIENCE) + (healthy ?? 0);
  return await reportAll({ ...context, timeout: patience }, async (daemon, signal) => {
    const notices: string[] = [];
    if (healthy !== null) await demandHealthy(subjects, healthy, daemon, signal);
    for (const subject of subjects) {
      const name = recordName(subject);
      const path = `/spool/${subject.service}/${subject.port}/status`;
      const before = await recordOf(subject, daemon, signal);
      const { status, body } = await daemon.ask(path, new URLSearchParams(form), signal);
      if (status !== 200) {
        throw new Error(`cannot ${change.what} of ${name}: ${describeResponse(status, body)}`);
      }
      if (form.weight === undefined) {
        const whose = whoseRecord(name, before, by, form.status === "up" ? "lifted" : "replaced");
        if (whose !== null) notices.push(whose);
      }
      const entry = await agreed(subject, change, daemon, signal);
      if (entry === null) continue;
      if (change.form.status === "up" && entry.kept_out_by !== null) {
        const { name: wider, mode: state } = entry.kept_out_by;
        notices.push(`${name} is not wholly in service: ${inWords({ name: wider, state })}`);
      }
      if (entry.last_asked === null && subject.service !== ALL) {
        // The change was made, whatever comes of this. Not every host has every service.
        const ask = (path: string) => daemon.ask(path, null, signal);
        for (const { service, near } of await neverAsked([subject.service], ask).catch(() => [])) {
          if (near === undefined) continue;
          notices.push(`no balancer has asked this daemon for ${service}: did you mean ${near}?`);
        }
      }
    }
    return { lines: ["OK"], json: change.json, isWell: true, notices };
  });
}

/** The record that a service has before a change; undefined if there is none, or the daemon does not say. */
async function recordOf(
  { service, port }: Subject,
  daemon: RemoteDaemon,
  signal: AbortSignal,
): Promise<DowntimeRecord | undefined> {
  const answer = await daemon.ask(`/status/services/${service}/${port}`, null, signal);
  if (answer.status !== 200) return undefined;
  try {
    return parseEntryReport(answer).record ?? undefined;
  } catch {
    return undefined;
  }
}

async function demandHealthy(
  subjects: readonly Subject[],
  seconds: number,
  daemon: RemoteDaemon,
  signal: AbortSignal,
): Promise<void> {
  const giveUp = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
  const ask = (path: string, signal: AbortSignal) => daemon.ask(path, null, signal);
  const all = await Promise.all(subjects.map(async (subject) => {
    const why = await awaitHealthy(subject, ask, giveUp);
    return why === undefined
      ? []
      : [`the record of ${recordName(subject)} stays: not healthy after ${seconds} s: ${why}`];
  }));
  if (all.flat().length > 0) throw new Error(all.flat().join("; "));
}

/**
 * Waits until the daemon reports a change: any program may respond with 200.
 *
 * @returns The report; null from a Python hacheck, which has none, and agrees.
 * @throws {Error} If it does not agree in time.
 */
async function agreed(
  subject: Subject,
  { form, what, agrees }: Change,
  daemon: RemoteDaemon,
  signal: AbortSignal,
): Promise<EntryReport | null> {
  const { service, port } = subject;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(AGREE_TIMEOUT_MS)]);
  const ask = (path: string) => daemon.ask(path, null, signal);
  const failed = (why: string) =>
    new Error(
      `cannot ${what} of ${
        recordName(subject)
      }: the daemon accepted the change but does not report it: ` +
        why,
    );
  for (;;) {
    let found;
    try {
      found = await askState(subject, ask, signal);
    } catch (error) {
      throw failed(errorMessage(error));
    }
    const { report, state, response: { status, body } } = found;
    if (report !== null) {
      if (report.service === service && report.port === port && agrees(report)) return report;
    } else if (state !== null || status === 404) {
      const isAsSent = form.weight === undefined &&
        state === (form.status === "up" ? "up" : "down");
      if (isAsSent && isStatus(await ask("/status"))) return null;
      throw failed(
        `received ${describeResponse(status, body)}: another program, or an older hacheck`,
      );
    }
    if (deadline.aborted) throw failed(`received ${describeResponse(status, body)}`);
    await sleep(ASK_EVERY_MS, deadline);
  }
}
