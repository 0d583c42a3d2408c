/**
 * What is so at one moment, on this host or on others.
 *
 * @module
 */

import type { RecentService } from "../../src/metrics/stats.ts";
import { parseActiveEntries, parseRecent } from "./responses.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage } from "../terminal.ts";
import { readActiveDowntimes, readActiveWeights } from "../report/active_entries.ts";
import { askAll, type Outcome } from "./fleet.ts";
import { askRecent } from "./recent.ts";
import { type Told, toldOfAll, toldOfNamed } from "../report/service_status.ts";

/** What is so on one host. */
export interface Snapshot {
  /** The things that are named, or all. */
  readonly services: readonly Told[];
  /** Why its daemon does not tell what it was asked for lately; null if it does, or was not asked. */
  readonly silence: string | null;
}

/**
 * Looks at what is so.
 *
 * @param context What to look at, and where: on this host, or on those that are named.
 * @returns What is so there, or what is wrong. The URL of this host is empty.
 */
export function look(context: CommandContext): AsyncIterable<Outcome<Snapshot>> {
  const { subjects, daemons } = context;
  if (daemons.length === 0) return lookHere(context);
  return askAll(context, async (daemon, signal) => {
    const inForce = parseActiveEntries(await daemon.ask("/status/downtimes", null, signal));
    if (subjects.length > 0) return { services: toldOfNamed(subjects, inForce), silence: null };
    const recent = parseRecent(await daemon.ask("/recent", null, signal));
    return { services: toldOfAll(inForce, recent), silence: null };
  });
}

async function* lookHere(
  { subjects, store, daemon }: CommandContext,
): AsyncGenerator<Outcome<Snapshot>> {
  try {
    const inForce = {
      downtimes: await readActiveDowntimes(store),
      weights: readActiveWeights(store),
    };
    if (subjects.length > 0) {
      const answer = { services: toldOfNamed(subjects, inForce), silence: null };
      yield { url: "", error: null, answer };
      return;
    }
    let recent: RecentService[] = [];
    let silence = null;
    try {
      recent = await askRecent(daemon);
    } catch (error) {
      silence = `cannot ask the daemon on port ${daemon.port}: ${errorMessage(error)}`;
    }
    yield { url: "", error: null, answer: { services: toldOfAll(inForce, recent), silence } };
  } catch (error) {
    yield { url: "", error: `cannot read spool ${store.root}: ${errorMessage(error)}` };
  }
}
