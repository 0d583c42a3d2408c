import type { ActiveDowntime, ActiveWeight } from "../../src/spool/active_entries.ts";
import { byName, parseWeightName, recordName } from "../../src/spool/names.ts";
import { type DowntimeRecord, isExpired, type ParsedEntry } from "../../src/spool/entry.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { downtimeOf } from "./service_status.ts";

/**
 * All that a spool marks, sorted by name. Records whose time is over are removed, if that can be.
 *
 * @param store The spool.
 * @returns What is marked; nothing where there is no spool.
 * @throws {Error} What the system says.
 */
export async function downtimesIn(store: SpoolStore): Promise<ActiveDowntime[]> {
  const downtimes = [];
  const now = Date.now() / 1000;
  for (const [name, { record }] of recordsIn(store)) {
    if (isExpired(record, now)) await store.removeExpired(name).catch(() => {});
    else downtimes.push(downtimeOf(name, record));
  }
  return downtimes;
}

function recordsIn(
  store: SpoolStore,
): (readonly [name: string, stored: ParsedEntry<DowntimeRecord>])[] {
  try {
    return [...store.readDowntimes()].sort(([one], [other]) => one < other ? -1 : 1);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/**
 * All weights that a spool gives, sorted by the name of what has them, as {@linkcode downtimesIn} tells what
 * it marks.
 *
 * @param store The spool.
 */
export function weightsIn(store: SpoolStore): ActiveWeight[] {
  const weights = [];
  const now = Date.now() / 1000;
  for (const file of filesIn(store)) {
    const subject = parseWeightName(file);
    const record = subject === undefined ? undefined : store.readWeight(file)?.record;
    if (subject === undefined || record === undefined || isExpired(record, now)) continue;
    weights.push({ name: recordName(subject), ...subject, ...record });
  }
  return weights.sort(byName);
}

function filesIn(store: SpoolStore): string[] {
  try {
    return store.listEntries();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
