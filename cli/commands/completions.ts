import type { CommandContext } from "../command.ts";
import { COMPLETIONS } from "../completions.ts";
import { SHELLS } from "../command_spec.ts";

/**
 * Prints what completes hactl's command line.
 *
 * @returns 0.
 */
export function completions({ words: [shell] }: CommandContext): Promise<number> {
  const known = SHELLS.find((name) => name === shell)!;
  console.log(COMPLETIONS[known]().trimEnd());
  return Promise.resolve(0);
}
