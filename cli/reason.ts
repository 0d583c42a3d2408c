import type { CommandContext } from "./command.ts";
import { errorMessage, warn } from "./terminal.ts";

/** The file of shared accounts, whose names are no reason: one a line, comments after `#`. */
const NONHUMANS = "/etc/nonhumans";

/**
 * Returns the reason of a change: that of `-r`, or else the login name of the operator.
 *
 * @param context The context of the command.
 * @returns The reason; undefined, after a warning, where the login name is unknown or that of a shared account.
 */
export async function reasonOf({ reason }: CommandContext): Promise<string | undefined> {
  if (reason !== undefined) return reason;
  try {
    const name = await loginName();
    if (!sharedAccounts().has(name)) return name;
    warn(`${name} is a shared account, by ${NONHUMANS}: give a reason with -r`);
  } catch (error) {
    warn(`your login name is unknown: give a reason with -r: ${errorMessage(error)}`);
  }
  return undefined;
}

/** Returns the login name of the operator, for the record; undefined where it is unknown. */
export function authorOf(): Promise<string | undefined> {
  return loginName().catch(() => undefined);
}

async function loginName(): Promise<string> {
  const name = Deno.env.get("SUDO_USER") || Deno.env.get("SSH_USER");
  return name || (await import("node:os")).userInfo().username;
}

function sharedAccounts(): Set<string> {
  let content;
  try {
    content = Deno.readTextFileSync(NONHUMANS);
  } catch {
    return new Set();
  }
  const names = content.split("\n").map((line) => line.split("#")[0]!.trim());
  return new Set(names.filter((name) => name !== ""));
}
