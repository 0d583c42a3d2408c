import { FULL_WEIGHT } from "../../src/spool/entry.ts";
import { changeServices } from "../change_service.ts";
import type { CommandContext } from "../command.ts";
import { reasonOf } from "../reason.ts";

/**
 * Sets the weight of services. A weight of 100 removes the entry.
 *
 * @returns The exit status: 1 without a reason, otherwise that of {@linkcode changeServices}.
 */
export async function weight(context: CommandContext): Promise<number> {
  const { expiration, weight = FULL_WEIGHT } = context;
  if (weight === FULL_WEIGHT) return await changeServices(context, { kind: "weight", entry: null });
  const reason = await reasonOf(context);
  if (reason === undefined) return 1;
  return await changeServices(context, { kind: "weight", entry: { weight, reason, expiration } });
}
