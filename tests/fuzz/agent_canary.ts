import { askInParts } from "../load/agent_lines.ts";
import type { Dice } from "../load/dice.ts";
import { ALWAYS_DOWN } from "./world.ts";

/** Lines of agent checks, and the expected response to each. */
const AGENT_CHECKS: readonly (readonly [line: string, expected: string])[] = [
  ["canary", "ready up 100%\n"],
  ["canary/8080", "ready up 100%\n"],
  ...ALWAYS_DOWN.map(([service, port]) =>
    [port === 0 ? service : `${service}/${port}`, "maint\n"] as const
  ),
];

/** Sends agent checks, in several pieces or incomplete, and counts the responses. */
export class AgentCanary {
  /** The number of correct responses. */
  correct = 0;
  /** The number of checks without a response, which is correct after an incomplete line. */
  unanswered = 0;
  /** The unexpected responses. */
  readonly failures: string[] = [];

  /**
   * Sends agent checks until the signal aborts.
   *
   * @param port The daemon's port for agent checks.
   * @param dice The source of randomness.
   * @param signal Stops the checks.
   */
  async run(port: number, dice: Dice, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const [line, expected] = dice.pick(AGENT_CHECKS);
      const { manner, answer } = await askInParts(port, line, dice, signal);
      if (answer === "") this.unanswered++;
      else if (answer === expected && manner !== "half") this.correct++;
      else this.failures.push(`agent check of ${line} (${manner}): ${JSON.stringify(answer)}`);
    }
  }
}
