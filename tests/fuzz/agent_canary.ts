import { askInParts } from "../load/agent_lines.ts";
import type { Dice } from "../load/dice.ts";
import { CONDEMNED } from "./world.ts";

/** Agent checks, whole ones and others, and what is right to answer them. */
const QUESTIONS: readonly (readonly [question: string, answer: string])[] = [
  ["canary", "ready up 100%\n"],
  ["canary/8080", "ready up 100%\n"],
  ...CONDEMNED.map(([service, port]) =>
    [port === 0 ? service : `${service}/${port}`, "maint\n"] as const
  ),
];

/** Asks for agent checks until it is told to stop. */
export class AgentCanary {
  /** How often it was answered rightly. */
  right = 0;
  /** How often it got no answer, as is right for less than a line in time. */
  silent = 0;
  /** What it was told wrongly. */
  readonly wrong: string[] = [];

  /**
   * Asks.
   *
   * @param port Where agent checks are answered.
   * @param dice Chance.
   * @param signal Ends it.
   */
  async askOn(port: number, dice: Dice, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const [question, right] = dice.pick(QUESTIONS);
      const { manner, answer } = await askInParts(port, question, dice, signal);
      if (answer === "") this.silent++;
      else if (answer === right && manner !== "half") this.right++;
      else this.wrong.push(`agent check of ${question} (${manner}): ${JSON.stringify(answer)}`);
    }
  }
}
