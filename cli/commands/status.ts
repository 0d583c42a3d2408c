import { recordName, type Subject, weightName } from "../../src/spool/names.ts";
import { isExpired } from "../../src/spool/record.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { type CommandContext, explained, printJson, tell } from "../command.ts";
import { more } from "../more.ts";
import { downtimeOf, inWords, lineOf, type Told, toldDown, toldUp, widerThan } from "../told.ts";

/**
 * Tells which services are marked down, or as draining, themselves, or of everything.
 *
 * @returns 0 if nothing that is told of is, else 1.
 */
export async function status(context: CommandContext): Promise<number> {
  const { subjects, store, daemons, json } = context;
  if (daemons.length > 0 || subjects.length === 0) {
    return await (await more()).overview(context);
  }
  let code = 0;
  const services = [];
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      const told = await toldOf(subject, store, json);
      if (json) services.push(told);
      else console.log(lineOf(told));
      if (told.state !== "up") code = 1;
      // Scripts read of the very thing they name; a human wants to know what else keeps it down.
      if (told.kept_out_by !== null && !json) {
        tell(`${told.service} is not in service all the same: ${inWords(told.kept_out_by)}`);
      }
    } catch (error) {
      tell(`cannot tell of ${name}: ${explained(error)}`);
      code = 1;
    }
  }
  if (json) printJson({ services });
  return code;
}

/** Reads what is asked for, and no more. */
async function toldOf(subject: Subject, store: SpoolStore, withWeight: boolean): Promise<Told> {
  const name = recordName(subject);
  const stored = store.read(name)?.record;
  const record = inForce(stored);
  const weight = withWeight
    ? inForce(store.readWeight(weightName(subject))?.record)?.weight ?? null
    : null;
  if (record !== undefined) return toldDown(downtimeOf(name, record), { weight });
  if (stored !== undefined) await store.removeExpired(name).catch(() => {});
  const kept_out_by = widerThan(subject, (name) => inForce(store.read(name)?.record)?.mode);
  return toldUp(subject, { kept_out_by, weight });
}

function inForce<T extends { readonly expiration: number | null }>(
  record: T | undefined,
): T | undefined {
  return record === undefined || isExpired(record, Date.now() / 1000) ? undefined : record;
}
