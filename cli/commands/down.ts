import { takeOut } from "../change_service.ts";
import type { CommandContext } from "../command.ts";

/**
 * Takes services out, by records of mode down.
 *
 * @returns The exit status.
 */
export function down(context: CommandContext): Promise<number> {
  return takeOut(context, "down");
}
