import type { CommandContext } from "../command.ts";
import { warnOfFailing } from "../notices.ts";
import { printOverview } from "../report/overview.ts";
import { printNamed } from "./named_status.ts";

/**
 * Prints the state of the services that are named, or of all.
 *
 * @returns 0 if all are up, else 1.
 */
export async function status(context: CommandContext): Promise<number> {
  const { subjects, daemons, json } = context;
  if (daemons.length > 0 || subjects.length === 0) return await printOverview(context);
  const { code, services } = await printNamed(context);
  if (!json && Deno.stdout.isTerminal()) await warnOfFailing(services, context);
  return code;
}
