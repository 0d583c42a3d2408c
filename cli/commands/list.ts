import type { LastResponse, RecentService } from "../../src/metrics/stats.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { parseRecent } from "../daemons/responses.ts";
import { reportAll } from "../daemons/fleet.ts";
import { askRecent } from "../daemons/recent.ts";

/**
 * Prints the services that HAProxy asked the daemon for lately, with the last response.
 *
 * @returns The exit status: 1 if the daemon does not report them.
 */
export async function list(context: CommandContext): Promise<number> {
  const { daemon, daemons, json } = context;
  if (daemons.length > 0) return await listOfAll(context);
  try {
    const recent = await askRecent(daemon);
    if (json) printJson(jsonOf(recent));
    else for (const service of recent) console.log(lineOf(service));
    return 0;
  } catch (error) {
    warn(`cannot ask the daemon on port ${daemon.port}: ${errorMessage(error)}`);
    return 1;
  }
}

async function listOfAll(context: CommandContext): Promise<number> {
  return await reportAll(context, async (daemon, signal) => {
    const recent = parseRecent(await daemon.ask("/recent", null, signal));
    return { lines: recent.map(lineOf), json: jsonOf(recent), isWell: true };
  });
}

function jsonOf(recent: readonly RecentService[]): Record<string, unknown> {
  return { services: recent.map(([service, last]) => ({ service, last })) };
}

function lineOf([service, last]: RecentService): string {
  return `${service} last_response=${lastResponse(last)}`;
}

/** Formats a response as the Python hachecks do: with blanks in the JSON. */
function lastResponse(last: LastResponse | null): string {
  if (last === null) return "null";
  const { code, remote_ip, ts } = last;
  return `{"code": ${code}, "remote_ip": ${JSON.stringify(remote_ip)}, "ts": ${ts}}`;
}
