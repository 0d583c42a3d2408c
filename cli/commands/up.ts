import { recordName } from "../../src/spool/names.ts";
import { type CommandContext, explained, printJson, tell } from "../command.ts";
import { awaitDaemon } from "../daemon.ts";
import { more } from "../more.ts";
import { changeOf, toldUp } from "../told.ts";

/**
 * Marks services up.
 *
 * @returns 0, or 1 if the spool cannot be written or the daemon does not follow.
 */
export async function up(context: CommandContext): Promise<number> {
  const { subjects, daemons, json } = context;
  if (daemons.length > 0) {
    return await (await more()).markUpOnAll(context);
  }
  for (const subject of subjects) {
    const name = recordName(subject);
    try {
      await context.store.markUp(name);
    } catch (error) {
      tell(`cannot mark ${name} up: ${explained(error)}`);
      return 1;
    }
  }
  if (json) {
    printJson({ services: subjects.map((subject) => changeOf(toldUp(subject))) });
  }
  return await awaitDaemon(context) ? 0 : 1;
}
