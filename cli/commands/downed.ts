import { isExpired } from "../../src/spool/record.ts";
import { type CommandContext, explained, recordLine, subjectOf, tell } from "../command.ts";

/**
 * Tells of everything that is marked down, or as draining.
 *
 * @returns 0, or 1 if the spool cannot be read.
 */
export async function downed({ store }: CommandContext): Promise<number> {
  try {
    const lines = [];
    const now = Date.now() / 1000;
    const stored = [...store.readAll()].sort(([one], [other]) => one < other ? -1 : 1);
    for (const [name, { record }] of stored) {
      if (isExpired(record, now)) await store.removeExpired(name).catch(() => {});
      else lines.push(recordLine(subjectOf(name), record));
    }
    if (lines.length > 0) console.log(lines.join("\n"));
    return 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    tell(`cannot read spool ${store.root}: ${explained(error)}`);
    return 1;
  }
}
