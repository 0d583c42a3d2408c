import type { CommandContext } from "../command.ts";
import { fetchStatus } from "../daemons/fetch_status.ts";
import { reportAll } from "../daemons/fleet.ts";
import { formatColumns, type Row } from "./columns.ts";
import { statusLine } from "./service_status.ts";

/**
 * Prints the status of services: in columns on a terminal, else a line for each.
 *
 * @param context The services, named or all, and the daemons.
 * @returns 0, or 1 if a service is down or draining, or a daemon failed.
 */
export async function printOverview(context: CommandContext): Promise<number> {
  const isForPeople = !context.json && Deno.stdout.isTerminal();
  const rows: Row[] = [];
  const code = await reportAll(context, fetchStatus(context), ({ services, error }, { url }) => {
    rows.push(...services.map((status) => ({ url, status })));
    return { lines: isForPeople ? [] : services.map(statusLine), json: { services }, error };
  });
  if (isForPeople) console.log(renderTable(rows));
  return rows.every(({ status }) => status.state === "up") ? code : 1;
}

/**
 * Renders the status of services in columns as wide as the terminal, those that are down or draining first.
 *
 * @param rows The services.
 */
export function renderTable(rows: readonly Row[]): string {
  if (rows.length === 0) return "Nothing is down.";
  const [up, out] = [true, false].map((isUp) =>
    rows.filter(({ status }) => (status.state === "up") === isUp)
  ) as [Row[], Row[]];
  // Some terminals report no columns at all.
  const width = Deno.consoleSize().columns || 80;
  return formatColumns([...out, ...up], Date.now() / 1000, width).join("\n");
}
