import type { RecentService } from "../../src/metrics/stats.ts";
import type { CommandContext } from "../command.ts";
import { askAll, reportAll } from "../daemons/fleet.ts";
import { fetchRecent } from "../daemons/responses.ts";

/**
 * Prints the services that HAProxy asked the daemon for lately, with the last response.
 *
 * @returns The exit status: 1 if a daemon does not report them.
 */
export async function list(context: CommandContext): Promise<number> {
  return await reportAll(context, askAll(context, fetchRecent), (recent) => ({
    lines: recent.map(lineOf),
    json: { services: recent.map(([service, last]) => ({ service, last })) },
  }));
}

/** Formats a service as the Python hachecks do: with blanks in the JSON. */
function lineOf([service, last]: RecentService): string {
  if (last === null) return `${service} last_response=null`;
  const { code, remote_ip, ts } = last;
  const ip = JSON.stringify(remote_ip);
  return `${service} last_response={"code": ${code}, "remote_ip": ${ip}, "ts": ${ts}}`;
}
