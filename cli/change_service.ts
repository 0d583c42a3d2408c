import { recordName } from "../src/spool/names.ts";
import { type DowntimeRecord, isExpired, type Mode } from "../src/spool/entry.ts";
import type { CommandContext } from "./command.ts";
import { errorMessage, printJson, warn } from "./terminal.ts";
import { awaitDowntimes } from "./daemons/local.ts";
import { markAll } from "./daemons/fleet_changes.ts";
import { tellNeverAsked, whoseRecord } from "./notices.ts";
import { authorOf, reasonOf } from "./reason.ts";
import { changeOf, downtimeOf, toldDown } from "./report/service_status.ts";

/** A way to mark services. */
export interface Marking {
  /** What it makes of them. */
  readonly mode: Mode;
  /** What is done to the record of a name, in words. */
  readonly what: (name: string) => string;
  /** Does it. */
  readonly write: (name: string, reason: string, by?: string) => Promise<DowntimeRecord>;
}

/**
 * Marks services, and waits until the daemon says so.
 *
 * @param context Which, and why.
 * @param marking How.
 * @returns 0, or 1 if nobody says why, the spool cannot be written or the daemon does not follow.
 */
export async function mark(context: CommandContext, marking: Marking): Promise<number> {
  const { mode, what, write } = marking;
  const { subjects, store, expiration, daemons, json } = context;
  const reason = await reasonOf(context);
  if (reason === undefined) return 1;
  if (daemons.length > 0) return await markAll(context, mode, reason, what);
  const by = await authorOf();
  const services = [];
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      store.create();
      const before = store.readDowntime(name)?.record;
      const record = await write(name, reason, by);
      const whose = whoseRecord(name, before, by, "replaced");
      if (whose !== null) warn(whose);
      services.push(changeOf(toldDown(downtimeOf(name, record))));
      if (isExpired(record, Date.now() / 1000)) {
        warn(`${name} counts as up: its expiration ${expiration} is in the past`);
      }
    } catch (error) {
      warn(`cannot ${what(name)}: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) printJson({ services });
  const outcome = await awaitDowntimes(context);
  if (outcome !== "no daemon") await tellNeverAsked(context);
  return outcome === "disagrees" ? 1 : 0;
}
