import { recordName } from "../../src/spool/names.ts";
import { type CommandContext, explained, tell } from "../command.ts";
import { awaitDaemon } from "../daemon.ts";

/**
 * Marks services up.
 *
 * @returns 0, or 1 if the spool cannot be written or the daemon does not follow.
 */
export async function up(context: CommandContext): Promise<number> {
  for (const subject of context.subjects) {
    const name = recordName(subject);
    try {
      await context.store.markUp(name);
    } catch (error) {
      tell(`cannot mark ${name} up: ${explained(error)}`);
      return 1;
    }
  }
  return await awaitDaemon(context) ? 0 : 1;
}
