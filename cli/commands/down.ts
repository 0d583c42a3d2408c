import { recordName } from "../../src/spool/names.ts";
import { isExpired } from "../../src/spool/record.ts";
import { type CommandContext, explained, tell } from "../command.ts";
import { awaitDaemon } from "../daemon.ts";

/** Accounts that many people share; their names are no reason. One a line, `#` begins a comment. */
const NONHUMANS = "/etc/nonhumans";

/**
 * Marks services down.
 *
 * @returns 0, or 1 if nobody says why, the spool cannot be written or the daemon does not follow.
 */
export async function down(context: CommandContext): Promise<number> {
  const { subjects, store, expiration } = context;
  const reason = context.reason ?? await whoAsks();
  if (reason === undefined) return 1;
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      store.create();
      const record = await store.markDown(name, reason, expiration);
      if (isExpired(record, Date.now() / 1000)) {
        tell(`${name} counts as up: its expiration ${expiration} is in the past`);
      }
    } catch (error) {
      tell(`cannot mark ${name} down: ${explained(error)}`);
      return 1;
    }
  }
  return await awaitDaemon(context) ? 0 : 1;
}

/** The name of the human who asks; undefined, and the operator told, where there is none. */
async function whoAsks(): Promise<string | undefined> {
  try {
    const name = Deno.env.get("SUDO_USER") || Deno.env.get("SSH_USER") || await userName();
    if (!nonhumans().has(name)) return name;
    tell(`${name} is a shared account: say with -r why, or who you are`);
  } catch (error) {
    tell(`cannot tell who you are: say why with -r: ${explained(error)}`);
  }
  return undefined;
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
