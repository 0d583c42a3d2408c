import type { CommandContext } from "../command.ts";
import { mark } from "../change_service.ts";

/**
 * Marks services down.
 *
 * @returns 0, or 1 if nobody says why, the spool cannot be written or the daemon does not follow.
 */
export async function down(context: CommandContext): Promise<number> {
  const { store, expiration } = context;
  return await mark(context, {
    mode: "down",
    what: (name) => `mark ${name} down`,
    write: (name, reason, by) => store.set(name, { mode: "down", reason, expiration, by }),
  });
}
