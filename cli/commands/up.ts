import { recordName } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { awaitDowntimes } from "../daemons/local.ts";
import { putBackOnAll } from "../daemons/fleet_changes.ts";
import { awaitHealthy } from "../daemons/health.ts";
import { tellKeptOut, tellNeverAsked, whoseRecord } from "../notices.ts";
import { authorOf } from "../reason.ts";
import { changeOf, toldUp } from "../report/service_status.ts";

/**
 * Puts services back: removes their records, and waits until the daemon reports it.
 *
 * @returns The exit status: 1 if checks are not healthy in time, if a record cannot be removed, or if the
 * daemon contradicts it.
 */
export async function up(context: CommandContext): Promise<number> {
  const { subjects, store, daemons, healthy, json } = context;
  if (daemons.length > 0) return await putBackOnAll(context);
  if (healthy !== null && !await areHealthy(context, healthy)) return 1;
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      const before = store.readDowntime(name)?.record;
      await store.remove(name);
      const by = before?.by === undefined ? undefined : await authorOf();
      const whose = whoseRecord(name, before, by, "lifted");
      if (whose !== null) warn(whose);
    } catch (error) {
      warn(`cannot remove the record of ${name}: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) printJson({ services: subjects.map((subject) => changeOf(toldUp(subject))) });
  const outcome = await awaitDowntimes(context);
  tellKeptOut(context);
  if (outcome !== "no daemon") await tellNeverAsked(context);
  return outcome === "disagrees" ? 1 : 0;
}

/** Waits until the checks of all services succeed, and warns of those that do not in time. */
async function areHealthy({ subjects, daemon }: CommandContext, seconds: number): Promise<boolean> {
  const ask = (path: string, signal: AbortSignal) => daemon.ask(path, [], signal);
  const deadline = AbortSignal.timeout(seconds * 1000);
  const all = await Promise.all(subjects.map(async (subject) => {
    const why = await awaitHealthy(subject, ask, deadline);
    if (why === undefined) return true;
    warn(`the record of ${recordName(subject)} stays: not healthy after ${seconds} s: ${why}`);
    return false;
  }));
  return all.every((isHealthy) => isHealthy);
}
