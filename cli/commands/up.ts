import { changeServices } from "../change_service.ts";
import type { CommandContext } from "../command.ts";
import { unhealthyServices } from "../daemons/health.ts";
import { LocalDaemon } from "../daemons/local.ts";
import { warn } from "../terminal.ts";

/**
 * Puts services back: removes their records, with `--healthy` once their checks succeed.
 *
 * @returns The exit status: 1 if checks do not succeed in time, otherwise that of {@linkcode changeServices}.
 */
export async function up(context: CommandContext): Promise<number> {
  const { subjects, port, trust, daemons, healthy } = context;
  if (healthy !== null && daemons.length === 0) {
    const daemon = new LocalDaemon(port, trust.token);
    const unhealthy = await unhealthyServices(daemon, subjects, healthy);
    for (const message of unhealthy) warn(message);
    if (unhealthy.length > 0) return 1;
  }
  return await changeServices(context, { kind: "downtime", entry: null });
}
