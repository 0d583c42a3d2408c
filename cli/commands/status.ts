import { recordName, type Subject, weightName } from "../../src/spool/names.ts";
import { isExpired } from "../../src/spool/entry.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { more } from "../more.ts";
import {
  downtimeOf,
  inWords,
  lineOf,
  oldLineOf,
  type Told,
  toldDown,
  toldUp,
  widerThan,
} from "../report/service_status.ts";

/**
 * Tells which services are marked down, or as draining, themselves, or of everything.
 *
 * @returns 0 if nothing that is told of is, else 1.
 */
export async function status(context: CommandContext): Promise<number> {
  const { store, daemon, daemons, json, byOldName, typedHost } = context;
  if (daemons.length > 0 || context.subjects.length === 0) {
    return await (await more()).overview(context);
  }
  // The older tools know a host by its name, and print one line for it.
  const subjects = byOldName ? await oneOfEach(context) : context.subjects;
  let code = 0;
  const services: Told[] = [];
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      const told = await toldOf(subject, store, json);
      services.push(told);
      if (!json) console.log(byOldName ? oldLineOf(told, typedHost) : lineOf(told));
      if (told.state !== "up") code = 1;
      // Scripts read of the very thing they name; a human wants to know what else keeps it down.
      if (told.kept_out_by !== null && !json) {
        warn(`${told.service} is not in service all the same: ${inWords(told.kept_out_by)}`);
      }
    } catch (error) {
      warn(`cannot tell of ${name}: ${errorMessage(error)}`);
      code = 1;
    }
  }
  if (json) printJson({ services });
  else if (Deno.stdout.isTerminal()) await (await more()).tellFailing(services, daemon);
  return code;
}

/**
 * One subject for each service: the host's name that the older tools take as it is stands for several
 * addresses here. The first of them that is not up is chosen, if there is one.
 */
async function oneOfEach({ subjects, store }: CommandContext): Promise<Subject[]> {
  if (new Set(subjects.map(({ host }) => host)).size <= 1) return [...subjects];
  const chosen = [];
  for (const service of new Set(subjects.map(({ service }) => service))) {
    const all = subjects.filter((subject) => subject.service === service);
    let found = all[0]!;
    for (const subject of all.toReversed()) {
      if ((await toldOf(subject, store, false)).state !== "up") found = subject;
    }
    chosen.push(found);
  }
  return chosen;
}

/** Reads what is asked for, and no more. */
async function toldOf(subject: Subject, store: SpoolStore, withWeight: boolean): Promise<Told> {
  const name = recordName(subject);
  const stored = store.readDowntime(name)?.record;
  const record = inForce(stored);
  const weight = withWeight
    ? inForce(store.readWeight(weightName(subject))?.record)?.weight ?? null
    : null;
  if (record !== undefined) return toldDown(downtimeOf(name, record), { weight });
  if (stored !== undefined) await store.removeExpired(name).catch(() => {});
  const kept_out_by = widerThan(subject, (name) => inForce(store.readDowntime(name)?.record)?.mode);
  return toldUp(subject, { kept_out_by, weight });
}

function inForce<T extends { readonly expiration: number | null }>(
  record: T | undefined,
): T | undefined {
  return record === undefined || isExpired(record, Date.now() / 1000) ? undefined : record;
}
