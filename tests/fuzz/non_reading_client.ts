import type { Dice } from "../load/dice.ts";
import { pipelined, withClosedWindow } from "../load/hoarding.ts";
import { rest } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";

/** Pages with large responses. */
const PAGES = ["/recent", "/status/count", "/metrics", "/status"] as const;

/** The most time that a connection stays open, in milliseconds. */
const HOLD_MS = 2000;

/**
 * Sends many requests and reads no response, on one connection after another.
 *
 * @param port The daemon's port.
 * @param dice The source of randomness.
 * @param signal Stops the requests.
 */
export async function requestWithoutReading(
  port: number,
  dice: Dice,
  signal: AbortSignal,
): Promise<void> {
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
