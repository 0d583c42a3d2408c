import type { CommandContext } from "./command.ts";
import { errorMessage, warn } from "./terminal.ts";

/** Accounts that many people share; their names are no reason. One a line, `#` begins a comment. */
const NONHUMANS = "/etc/nonhumans";

/**
 * Why something is to be marked: what the operator says, or else who that is.
 *
 * @param context What was said.
 * @returns The reason; undefined, and the operator told, where there is none.
 */
export async function reasonOf({ reason }: CommandContext): Promise<string | undefined> {
  return reason ?? await whoAsks();
}

/** The name of the human who asks; undefined, and the operator told, where there is none. */
async function whoAsks(): Promise<string | undefined> {
  try {
    const name = await loginName();
    if (!nonhumans().has(name)) return name;
    warn(`${name} is a shared account: say with -r why, or who you are`);
  } catch (error) {
    warn(`cannot tell who you are: say why with -r: ${errorMessage(error)}`);
  }
  return undefined;
}

/** The login name of who runs hactl, for the record; undefined where that cannot be found out. */
export async function authorOf(): Promise<string | undefined> {
  try {
    return await loginName();
  } catch {
    return undefined;
  }
}

async function loginName(): Promise<string> {
  return Deno.env.get("SUDO_USER") || Deno.env.get("SSH_USER") || await userName();
}

async function userName(): Promise<string> {
  const { userInfo } = await import("node:os");
  return userInfo().username;
}

function nonhumans(): Set<string> {
  let content;
  try {
    content = Deno.readTextFileSync(NONHUMANS);
  } catch {
    return new Set();
  }
  const names = content.split("\n").map((line) => line.split("#")[0]!.trim());
  return new Set(names.filter((name) => name !== ""));
}
