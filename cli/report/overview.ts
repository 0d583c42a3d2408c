import { columns, type Row } from "./columns.ts";
import type { CommandContext } from "../command.ts";
import { printJson, warn } from "../terminal.ts";
import { tellExpiry } from "../daemons/fleet.ts";
import { look } from "../daemons/fetch_status.ts";
import { lineOf } from "./service_status.ts";

/**
 * Tells of the things that are named or of all, on this host or on those that are named: in columns on a
 * terminal, else a line for each.
 *
 * @param context What to tell of.
 * @returns 0 if nothing is marked down, 1 if something is or a daemon does not answer.
 */
export async function overview(context: CommandContext): Promise<number> {
  const { daemons, json } = context;
  const forPeople = !json && Deno.stdout.isTerminal();
  const rows: Row[] = [];
  const told = [];
  let failed = 0;
  for await (const outcome of look(context)) {
    const { url, error } = outcome;
    if (error !== null) {
      failed++;
      warn(url === "" ? error : `${url}: ${error}`);
      told.push({ url, error });
      continue;
    }
    const { services, silence } = outcome.answer;
    await tellExpiry(outcome.daemon);
    if (silence !== null) {
      failed++;
      warn(silence);
    }
    told.push({ url, error, services });
    const found = services.map((told) => ({ url, told }));
    rows.push(...found);
    if (!json && !forPeople && found.length > 0) console.log(found.map(lineOfRow).join("\n"));
  }
  if (json) printJson(daemons.length > 0 ? { daemons: told } : jsonHere(told));
  if (forPeople) console.log(drawn(rows));
  if (failed > 0 && daemons.length > 1) warn(`${failed} of ${daemons.length} daemons failed`);
  return failed === 0 && rows.every(({ told }) => told.state === "up") ? 0 : 1;
}

/**
 * The line of something for scripts, with the daemon's URL before it unless that is this host's.
 *
 * @param row What it is.
 */
export function lineOfRow({ url, told }: Row): string {
  return url === "" ? lineOf(told) : `${url}\t${lineOf(told)}`;
}

/**
 * Things in columns as wide as the terminal: what is marked comes first.
 *
 * @param rows The things.
 */
export function drawn(rows: readonly Row[]): string {
  if (rows.length === 0) return "Nothing is marked down.";
  const marked = rows.filter(({ told }) => told.state !== "up");
  const others = rows.filter(({ told }) => told.state === "up");
  // Some terminals say that they have no columns at all.
  const width = Deno.consoleSize().columns || 80;
  return columns([...marked, ...others], Date.now() / 1000, width).join("\n");
}

function jsonHere(told: readonly Record<string, unknown>[]): unknown {
  return { services: told[0]?.services ?? [] };
}
