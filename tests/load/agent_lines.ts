import type { Dice } from "./dice.ts";
import { rest } from "./stalls.ts";
import { Wire } from "./wire.ts";

/** How a line comes. */
const MANNERS = ["whole", "whole", "in two parts", "late", "half"] as const;

/** Later than a line may come, in milliseconds. */
const LATE_MS = 150;

/** The longest pause within a line that comes in time, in milliseconds. */
const PAUSE_MS = 50;

/** What came of an agent check. */
export interface AgentOutcome {
  /** How the line came. */
  readonly manner: typeof MANNERS[number];
  /** All that was answered. */
  readonly answer: string;
}

/**
 * Asks for an agent check, by a line that comes whole, in two parts, late or never.
 *
 * @param port The port of 127.0.0.1 on which agent checks are answered.
 * @param question The line without its end.
 * @param dice Chance.
 * @param signal Ends the pauses.
 */
export async function askInParts(
  port: number,
  question: string,
  dice: Dice,
  signal: AbortSignal,
): Promise<AgentOutcome> {
  const manner = dice.pick(MANNERS);
  const line = `${question}\n`;
  const cut = manner === "whole" ? line.length : dice.below(line.length);
  using wire = await Wire.open(port);
  await wire.send(line.slice(0, cut));
  if (manner === "late") await rest(LATE_MS, signal);
  if (manner === "in two parts") await rest(dice.below(PAUSE_MS), signal);
  if (manner !== "half") await wire.send(line.slice(cut));
  return { manner, answer: await wire.rest() };
}

/** The port for agent checks, in the log of a daemon. */
export const AGENT_PORT = /agent checks are answered on \S+ port (\d+)\n/;
