import type { ActiveEntries } from "../../src/spool/active_entries.ts";
import type { CommandContext } from "../command.ts";
import { readActiveDowntimes, readActiveWeights } from "../report/active_entries.ts";
import { type ServiceStatus, statusOfAll, statusOfNamed } from "../report/service_status.ts";
import { errorMessage } from "../terminal.ts";
import { askAll, describeFailure, type Outcome } from "./fleet.ts";
import { fetchActiveEntries, fetchRecent } from "./responses.ts";

/** The status of the services of one host. */
export interface HostStatus {
  /** The services that are named, or all. */
  readonly services: readonly ServiceStatus[];
  /** Why the spool or the daemon of this host cannot be read; null if both can. */
  readonly error: string | null;
}

/**
 * Fetches the status of services: by the spool of this host, or by the daemons that are named. Without names
 * of services, the daemon of this host reports what balancers ask for.
 *
 * @param context The services, the spool and the daemons.
 * @returns An outcome for each daemon.
 */
export function fetchStatus(context: CommandContext): AsyncIterable<Outcome<HostStatus>> {
  const { subjects, daemons } = context;
  return askAll(context, async (daemon, signal) => {
    const isLocal = daemons.length === 0;
    let entries: ActiveEntries;
    try {
      entries = isLocal ? await readSpool(context) : await fetchActiveEntries(daemon, signal);
    } catch (error) {
      if (!isLocal) throw error;
      const { root } = context.store;
      return { services: [], error: `cannot read spool ${root}: ${errorMessage(error)}` };
    }
    if (subjects.length > 0) return { services: statusOfNamed(subjects, entries), error: null };
    try {
      const recent = await fetchRecent(daemon, signal);
      return { services: statusOfAll(entries, recent), error: null };
    } catch (error) {
      if (!isLocal) throw error;
      // The spool of this host is worth printing without its daemon.
      const problem = `${daemon.name}: ${describeFailure(error, signal, context)}`;
      return { services: statusOfAll(entries, []), error: problem };
    }
  });
}

async function readSpool({ store }: CommandContext): Promise<ActiveEntries> {
  return { downtimes: await readActiveDowntimes(store), weights: readActiveWeights(store) };
}
