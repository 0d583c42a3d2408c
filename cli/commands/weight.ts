import { recordName, weightName } from "../../src/spool/names.ts";
import { FULL_WEIGHT, isExpired } from "../../src/spool/entry.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { awaitWeights } from "../daemons/local.ts";
import { setWeightOnAll } from "../daemons/fleet_changes.ts";
import { tellNeverAsked } from "../notices.ts";
import { authorOf, reasonOf } from "../reason.ts";

/**
 * Sets the weight of services, and waits until the daemon reports it. A weight of 100 removes the entry.
 *
 * @returns The exit status: 1 without a reason, if an entry cannot be written, or if the daemon contradicts it.
 */
export async function weight(context: CommandContext): Promise<number> {
  const { subjects, store, expiration, weight = FULL_WEIGHT, daemons, json } = context;
  const reason = weight === FULL_WEIGHT ? "" : await reasonOf(context);
  if (reason === undefined) return 1;
  if (daemons.length > 0) return await setWeightOnAll(context, weight, reason);
  const by = await authorOf();
  const weights = [];
  for (const subject of subjects) {
    const name = recordName(subject);
    const file = weightName(subject);
    try {
      if (weight === FULL_WEIGHT) {
        await store.remove(file);
        weights.push({ name, ...subject, weight, reason, expiration: null, creation: null });
        continue;
      }
      store.create();
      const record = await store.set(file, { weight, reason, expiration, by });
      weights.push({ name, ...subject, ...record });
      if (isExpired(record, Date.now() / 1000)) {
        warn(`the weight of ${name} has no effect: its expiration ${expiration} is in the past`);
      }
    } catch (error) {
      warn(`cannot change the weight of ${name}: ${errorMessage(error)}`);
      return 1;
    }
  }
  if (json) printJson({ weights });
  const outcome = await awaitWeights(context);
  if (outcome !== "no daemon") await tellNeverAsked(context);
  return outcome === "disagrees" ? 1 : 0;
}
