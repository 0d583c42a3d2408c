import { UsageError } from "../../src/flags.ts";
import type { CommandContext } from "../command.ts";
import { COMPLETIONS } from "../completions.ts";
import { SHELLS } from "../command_spec.ts";

/**
 * Prints the completion script of a shell.
 *
 * @returns 0.
 */
export function completions({ operands: [typed = ""] }: CommandContext): Promise<number> {
  const shell = SHELLS.find((name) => name === typed);
  if (shell === undefined) {
    throw new UsageError(
      `Bad shell: expected one of ${SHELLS.join(", ")}: received ${JSON.stringify(typed)}`,
    );
  }
  console.log(COMPLETIONS[shell].trimEnd());
  return Promise.resolve(0);
}
