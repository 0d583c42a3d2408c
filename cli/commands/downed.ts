import type { CommandContext } from "../command.ts";
import { askAll, reportAll } from "../daemons/fleet.ts";
import { fetchActiveEntries } from "../daemons/responses.ts";
import { readActiveDowntimes } from "../report/active_entries.ts";
import { recordLine } from "../report/lines.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";

/**
 * Prints every record in force.
 *
 * @returns The exit status: 1 if the spool cannot be read, or a daemon failed.
 */
export async function downed(context: CommandContext): Promise<number> {
  const { store, daemons, json } = context;
  if (daemons.length > 0) {
    return await reportAll(context, askAll(context, fetchActiveEntries), ({ downtimes }) => {
      return { lines: downtimes.map((record) => recordLine(record, record)), json: { downtimes } };
    });
  }
  let downtimes;
  try {
    downtimes = await readActiveDowntimes(store);
  } catch (error) {
    warn(`cannot read spool ${store.root}: ${errorMessage(error)}`);
    return 1;
  }
  if (json) printJson({ downtimes });
  else if (downtimes.length > 0) {
    console.log(downtimes.map((record) => recordLine(record, record)).join("\n"));
  }
  return 0;
}
