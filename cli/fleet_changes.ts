/**
 * Changes on many daemons.
 *
 * @module
 */

import { FULL_WEIGHT, type Mode } from "../src/spool/record.ts";
import { recordName } from "../src/spool/names.ts";
import { type CommandContext, shown } from "./command.ts";
import { reportAll } from "./fleet.ts";
import { changeOf, toldDown, toldUp } from "./told.ts";

/** A change of what a daemon says of services. */
interface Change {
  /** The form that asks for it. */
  readonly form: Readonly<Record<string, string>>;
  /** What is done to the record of a name, in words. */
  readonly what: (name: string) => string;
  /** What the JSON holds of it. */
  readonly json: Readonly<Record<string, unknown>>;
}

/**
 * Marks services up on all daemons that are named.
 *
 * @param context The services and the daemons.
 * @returns 0 if all have done so, else 1.
 */
export function markUpOnAll(context: CommandContext): Promise<number> {
  const services = context.subjects.map((subject) => changeOf(toldUp(subject)));
  const what = (name: string) => `mark ${name} up`;
  return changeAll(context, { form: { status: "up" }, what, json: { services } });
}

/**
 * Marks services down, or as draining, on all daemons that are named.
 *
 * @param context The services and the daemons.
 * @param mode How.
 * @param reason Why.
 * @param what What is done to the record of a name, in words.
 * @returns 0 if all have done so, else 1.
 */
export function markAll(
  context: CommandContext,
  mode: Mode,
  reason: string,
  what: (name: string) => string,
): Promise<number> {
  const { subjects, expiration } = context;
  const services = subjects.map((subject) => {
    const name = recordName(subject);
    return changeOf(toldDown({ name, ...subject, mode, reason, expiration, creation: null }));
  });
  const form = { status: mode, reason, ...ending(expiration) };
  return changeAll(context, { form, what, json: { services } });
}

/**
 * Gives services a weight on all daemons that are named.
 *
 * @param context The services and the daemons.
 * @param weight The weight.
 * @param reason Why.
 * @returns 0 if all have done so, else 1.
 */
export function weighAll(context: CommandContext, weight: number, reason: string): Promise<number> {
  const expiration = weight === FULL_WEIGHT ? null : context.expiration;
  const weights = context.subjects.map((subject) => {
    return { name: recordName(subject), ...subject, weight, reason, expiration, creation: null };
  });
  const form = { weight: String(weight), reason, ...ending(expiration) };
  const what = (name: string) => `give ${name} the weight ${weight}`;
  return changeAll(context, { form, what, json: { weights } });
}

function ending(expiration: number | null): Record<string, string> {
  return expiration === null ? {} : { expiration: String(expiration) };
}

function changeAll(context: CommandContext, { form, what, json }: Change): Promise<number> {
  return reportAll(context, async (daemon, signal) => {
    for (const subject of context.subjects) {
      const path = `/spool/${subject.service}/${subject.port}/status`;
      const { status, body } = await daemon.ask(path, new URLSearchParams(form), signal);
      if (status === 200) continue;
      throw new Error(`cannot ${what(recordName(subject))}: ${shown(status, body)}`);
    }
    return { lines: ["OK"], json, isWell: true };
  });
}
