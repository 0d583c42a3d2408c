import type { ActiveDowntime, ActiveWeight } from "../../src/spool/active_entries.ts";
import { isExpired } from "../../src/spool/entry.ts";
import type { SpoolStore } from "../../src/spool/store.ts";

/**
 * Reads the records in force. Removes expired records, if hactl may.
 *
 * @param store The spool.
 * @returns The records, sorted by name; none if the spool does not exist.
 * @throws {Error} The system's error.
 */
export async function readActiveDowntimes(store: SpoolStore): Promise<ActiveDowntime[]> {
  const now = Date.now() / 1000;
  const downtimes = readIfExists(() => store.readDowntimes());
  for (const { name } of downtimes.filter((downtime) => isExpired(downtime, now))) {
    await store.removeExpired(name).catch(() => {});
  }
  return downtimes.filter((downtime) => !isExpired(downtime, now));
}

/**
 * Reads the weights in force.
 *
 * @param store The spool.
 * @returns The weights, sorted by name; none if the spool does not exist.
 * @throws {Error} The system's error.
 */
export function readActiveWeights(store: SpoolStore): ActiveWeight[] {
  const now = Date.now() / 1000;
  return readIfExists(() => store.readWeights()).filter((weight) => !isExpired(weight, now));
}

function readIfExists<E>(read: () => E[]): E[] {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
