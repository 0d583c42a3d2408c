import { recordName } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { awaitDowntimes } from "../daemons/local.ts";
import { markUpOnAll } from "../daemons/fleet_changes.ts";
import { awaitHealthy } from "../daemons/health.ts";
import { tellKeptOut, tellNeverAsked, whoseRecord } from "../notices.ts";
import { authorOf } from "../reason.ts";
import { changeOf, toldUp } from "../report/service_status.ts";

/**
 * Marks services up.
 *
 * @returns 0, or 1 if the spool cannot be written or the daemon does not follow.
 */
export async function up(context: CommandContext): Promise<number> {
  const { subjects, daemons, json } = context;
  if (daemons.length > 0) return await markUpOnAll(context);
  if (context.healthy !== null && !await areHealthy(context, context.healthy)) return 1;
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      const before = context.store.readDowntime(name)?.record;
      await context.store.remove(name);
      const by = before?.by === undefined ? undefined : await authorOf();
      const whose = whoseRecord(name, before, by, "lifted");
      if (whose !== null) warn(whose);
    } catch (error) {
      warn(`cannot mark ${name} up: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) {
    printJson({ services: subjects.map((subject) => changeOf(toldUp(subject))) });
  }
  const outcome = await awaitDowntimes(context);
  tellKeptOut(context);
  if (outcome !== "no daemon") await tellNeverAsked(context);
  return outcome === "disagrees" ? 1 : 0;
}

/** Waits until the checks of all services are good, and tells of those that are not in time. */
async function areHealthy(
  { subjects, daemon }: CommandContext,
  seconds: number,
): Promise<boolean> {
  const ask = (path: string, signal: AbortSignal) => daemon.ask(path, [], signal);
  const giveUp = AbortSignal.timeout(seconds * 1000);
  const all = await Promise.all(subjects.map(async (subject) => {
    const why = await awaitHealthy(subject, ask, giveUp);
    if (why === undefined) return true;
    warn(`${recordName(subject)} is left as it is: not healthy after ${seconds} s: ${why}`);
    return false;
  }));
  return all.every((isHealthy) => isHealthy);
}
