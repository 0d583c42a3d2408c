import type { CommandContext } from "../command.ts";
import { SHELLS } from "../completions.ts";

/**
 * Prints what completes hactl's command line.
 *
 * @returns 0.
 */
export function completions({ words: [shell] }: CommandContext): Promise<number> {
  console.log(SHELLS.get(shell!)!().trimEnd());
  return Promise.resolve(0);
}
