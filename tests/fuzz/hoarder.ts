import type { Dice } from "../load/dice.ts";
import { pipelined, withClosedWindow } from "../load/hoarding.ts";
import { rest } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";

/** Pages that are worth to ask for often. */
const PAGES = ["/recent", "/status/count", "/metrics", "/status"] as const;

/** How long a connection is held, in milliseconds. */
const HOLD_MS = 2000;

/**
 * Asks for much and reads nothing, on one connection after the other.
 *
 * @param port The daemon's.
 * @param dice Chance.
 * @param signal Ends it.
 */
export async function hoardOn(port: number, dice: Dice, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    using wire = await Wire.open(port);
    const page = dice.pick(PAGES);
    const bytes = dice.percent(50)
      ? withClosedWindow(page, dice.between(1, 200))
      : pipelined(page, dice.between(10, 5000));
    const held = rest(dice.below(HOLD_MS), signal);
    await Promise.race([wire.send(bytes), held]);
    await held;
  }
}
