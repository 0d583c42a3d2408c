import type { CommandContext } from "../command.ts";
import { mark } from "../change_service.ts";

/**
 * Marks services as draining: they finish what they have, and get nothing new.
 *
 * @returns 0, or 1 if nobody says why, the spool cannot be written or the daemon does not follow.
 */
export async function drain(context: CommandContext): Promise<number> {
  const { store, expiration } = context;
  return await mark(context, {
    mode: "drain",
    what: (name) => `drain ${name}`,
    write: (name, reason, by) => store.set(name, { mode: "drain", reason, expiration, by }),
  });
}
