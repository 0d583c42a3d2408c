import type { CommandContext } from "../command.ts";
import { tellFailing } from "../notices.ts";
import { overview } from "../report/overview.ts";
import { printNamed } from "./named_status.ts";

/**
 * Prints the state of the services that are named, or of all.
 *
 * @returns 0 if all are up, else 1.
 */
export async function status(context: CommandContext): Promise<number> {
  const { subjects, daemon, daemons, json } = context;
  if (daemons.length > 0 || subjects.length === 0) return await overview(context);
  const { code, services } = await printNamed(context);
  if (!json && Deno.stdout.isTerminal()) await tellFailing(services, daemon);
  return code;
}
