import type { CommandContext } from "../command.ts";
import { helpOn, usage } from "../help.ts";
import { COMMANDS } from "../command_spec.ts";

/**
 * Prints the help on a sub-command, or on hactl as a whole.
 *
 * @returns 0.
 */
export function help({ words: [name] }: CommandContext): Promise<number> {
  const command = name === undefined ? undefined : COMMANDS.get(name);
  console.log(command === undefined ? usage() : helpOn(name!, command));
  return Promise.resolve(0);
}
