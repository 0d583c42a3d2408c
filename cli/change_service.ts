import { recordName } from "../src/spool/names.ts";
import { isExpired, type Mode } from "../src/spool/entry.ts";
import type { CommandContext } from "./command.ts";
import { errorMessage, printJson, warn } from "./terminal.ts";
import { awaitDowntimes } from "./daemons/local.ts";
import { takeOutOnAll } from "./daemons/fleet_changes.ts";
import { tellNeverAsked, whoseRecord } from "./notices.ts";
import { authorOf, reasonOf } from "./reason.ts";
import { changeOf, downtimeOf, toldDown } from "./report/service_status.ts";

/**
 * Writes records of services, and waits until the daemon reports them.
 *
 * @param context The services.
 * @param mode The mode of the records.
 * @returns The exit status: 1 without a reason, if a record cannot be written, or if the daemon contradicts it.
 */
export async function takeOut(context: CommandContext, mode: Mode): Promise<number> {
  const { subjects, store, expiration, daemons, json } = context;
  const reason = await reasonOf(context);
  if (reason === undefined) return 1;
  if (daemons.length > 0) return await takeOutOnAll(context, mode, reason);
  const by = await authorOf();
  const services = [];
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      store.create();
      const before = store.readDowntime(name)?.record;
      const record = await store.set(name, { mode, reason, expiration, by });
      const whose = whoseRecord(name, before, by, "replaced");
      if (whose !== null) warn(whose);
      services.push(changeOf(toldDown(downtimeOf(name, record))));
      if (isExpired(record, Date.now() / 1000)) {
        warn(`${name} counts as up: its expiration ${expiration} is in the past`);
      }
    } catch (error) {
      warn(`cannot write the record of ${name}: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) printJson({ services });
  const outcome = await awaitDowntimes(context);
  if (outcome !== "no daemon") await tellNeverAsked(context);
  return outcome === "disagrees" ? 1 : 0;
}
