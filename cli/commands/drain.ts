import { takeOut } from "../change_service.ts";
import type { CommandContext } from "../command.ts";

/**
 * Drains services, by records of mode drain.
 *
 * @returns The exit status.
 */
export function drain(context: CommandContext): Promise<number> {
  return takeOut(context, "drain");
}
