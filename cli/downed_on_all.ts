import { parseActiveEntries } from "./daemons/responses.ts";
import type { CommandContext } from "./command.ts";
import { recordLine } from "./report/lines.ts";
import { reportAll } from "./daemons/fleet.ts";

/**
 * Tells of everything that is marked down, or as draining, on the daemons that are named.
 *
 * @param context The daemons.
 * @returns 0 if all warn, else 1.
 */
export function downedOnAll(context: CommandContext): Promise<number> {
  return reportAll(context, async (daemon, signal) => {
    const { downtimes } = parseActiveEntries(await daemon.ask("/status/downtimes", null, signal));
    const lines = downtimes.map((downtime) => recordLine(downtime, downtime));
    return { lines, json: { downtimes }, isWell: true };
  });
}
