import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { recordLine } from "../report/lines.ts";
import { readActiveDowntimes } from "../report/active_entries.ts";
import { downedOnAll } from "../downed_on_all.ts";

/**
 * Prints every record in force.
 *
 * @returns The exit status: 1 if the spool cannot be read.
 */
export async function downed(context: CommandContext): Promise<number> {
  const { store, daemons, json } = context;
  if (daemons.length > 0) return await downedOnAll(context);
  try {
    const downtimes = await readActiveDowntimes(store);
    if (json) printJson({ downtimes });
    else if (downtimes.length > 0) {
      console.log(downtimes.map((downtime) => recordLine(downtime, downtime)).join("\n"));
    }
    return 0;
  } catch (error) {
    warn(`cannot read spool ${store.root}: ${errorMessage(error)}`);
    return 1;
  }
}
