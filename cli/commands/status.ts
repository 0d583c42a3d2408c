import { ALL, recordName, type Subject } from "../../src/spool/names.ts";
import { isExpired, type SpoolRecord } from "../../src/spool/record.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { type CommandContext, explained, recordLine, tell, upLine } from "../command.ts";

/**
 * Tells which services are marked down, or as draining, themselves.
 *
 * @returns 0 if none is, else 1.
 */
export async function status({ subjects, store }: CommandContext): Promise<number> {
  let code = 0;
  for (const subject of subjects) {
    try {
      const record = await recordOf(recordName(subject), store);
      console.log(record === undefined ? upLine(subject) : recordLine(subject, record));
      if (record !== undefined) code = 1;
      else await tellOfWider(subject, store);
    } catch (error) {
      tell(`cannot tell of ${recordName(subject)}: ${explained(error)}`);
      code = 1;
    }
  }
  return code;
}

/** The record in force; one whose time is over is removed if that can be. */
async function recordOf(name: string, store: SpoolStore): Promise<SpoolRecord | undefined> {
  const record = store.read(name)?.record;
  if (record === undefined || !isExpired(record, Date.now() / 1000)) return record;
  await store.removeExpired(name).catch(() => {});
  return undefined;
}

/** Scripts read of the very thing they name; a human wants to know what else keeps it down. */
async function tellOfWider({ service, port }: Subject, store: SpoolStore): Promise<void> {
  const wider = [];
  if (service !== ALL) wider.push(ALL);
  if (port !== 0) wider.push(service);
  for (const name of wider) {
    const record = await recordOf(name, store);
    if (record !== undefined) {
      const how = record.mode === "drain" ? "is draining" : "is marked down";
      tell(`${service} is not in service all the same: ${name} ${how}`);
      return;
    }
  }
}
