import type { CommandContext } from "../command.ts";
import { commandName } from "../command_line.ts";
import { helpOn, usage } from "../help.ts";

/**
 * Prints the help on a command, or on hactl.
 *
 * @returns 0.
 */
export function help({ operands: [name] }: Pick<CommandContext, "operands">): Promise<number> {
  console.log(name === undefined ? usage() : helpOn(commandName(name)));
  return Promise.resolve(0);
}
