import { isExpired, type Mode } from "../src/spool/entry.ts";
import { recordName, type Subject, weightName } from "../src/spool/names.ts";
import type { SpoolStore } from "../src/spool/store.ts";
import { type Change, changeJson, describeChange } from "./change.ts";
import type { CommandContext } from "./command.ts";
import { awaitAgreement } from "./daemons/agreement.ts";
import { changeOnAll } from "./daemons/fleet_changes.ts";
import { otherAuthor, warnOfNeverAsked, warnOfOtherRecords } from "./notices.ts";
import { authorOf, reasonOf } from "./reason.ts";
import { errorMessage, printJson, warn } from "./terminal.ts";

/**
 * Takes services out: writes records of a mode.
 *
 * @param context The services.
 * @param mode The mode.
 * @returns The exit status: 1 without a reason, otherwise that of {@linkcode changeServices}.
 */
export async function takeOut(context: CommandContext, mode: Mode): Promise<number> {
  const reason = await reasonOf(context);
  if (reason === undefined) return 1;
  const entry = { mode, reason, expiration: context.expiration };
  return await changeServices(context, { kind: "downtime", entry });
}

/**
 * Changes the records or the weights of services, and waits until the daemon reports the change.
 *
 * @param context The services; the daemons, if the command line names some.
 * @param change The change.
 * @returns The exit status: 1 if the change cannot be made, or a daemon contradicts it.
 */
export async function changeServices(context: CommandContext, change: Change): Promise<number> {
  const { subjects, store, daemons, json } = context;
  if (daemons.length > 0) return await changeOnAll(context, change);
  const changed = [];
  for (const subject of subjects) {
    try {
      changed.push([subject, await changeEntry(store, subject, change)] as const);
    } catch (error) {
      warn(`cannot ${describeChange(change, recordName(subject))}: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) printJson(changeJson(change.kind, changed));
  const isAgreed = await awaitAgreement(context, change.kind);
  if (change.kind === "downtime" && change.entry === null) warnOfOtherRecords(context);
  if (isAgreed !== null) await warnOfNeverAsked(context);
  return isAgreed === false ? 1 : 0;
}

async function changeEntry(store: SpoolStore, subject: Subject, { kind, entry }: Change) {
  const name = recordName(subject);
  const file = kind === "weight" ? weightName(subject) : name;
  if (entry !== null) store.create();
  const before = kind === "weight" ? undefined : store.readDowntime(name)?.record;
  // Finding out the name may take long, and who removes a record without an author needs none.
  const by = entry === null && before?.by === undefined ? undefined : await authorOf();
  let written = null;
  if (entry === null) await store.remove(file);
  else written = await store.set(file, { ...entry, by });
  const notice = otherAuthor(name, before, by, entry === null ? "removed" : "replaced");
  if (notice !== null) warn(notice);
  if (written !== null && isExpired(written, Date.now() / 1000)) {
    const effect = kind === "weight"
      ? `the weight of ${name} has no effect`
      : `${name} counts as up`;
    warn(`${effect}: its expiration ${written.expiration} is in the past`);
  }
  return written;
}
