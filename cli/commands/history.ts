import type { CommandContext } from "../command.ts";
import { askAll, reportAll } from "../daemons/fleet.ts";
import { fetchHistory } from "../daemons/outcomes.ts";
import { changeLine } from "../report/explanation.ts";

/**
 * Prints the last changes of records and of the outcomes of checks, the newest one last.
 *
 * @returns The exit status: 1 if a daemon does not report them.
 */
export async function history(context: CommandContext): Promise<number> {
  const names = new Set(context.subjects.map(({ service }) => service));
  const services = names.size === 0 ? [null] : [...names];
  return await reportAll(
    context,
    askAll(context, async (daemon, signal) => {
      const lists = await Promise.all(
        services.map((service) => fetchHistory(daemon, service, 0, signal)),
      );
      // Changes of `all` are among those of each service.
      const all = lists.flatMap(({ changes }) => changes);
      const byId = new Map(all.map((change) => [change.id, change]));
      return [...byId.values()].sort((one, other) => one.id - other.id);
    }),
    (changes) => ({ lines: changes.map(changeLine), json: { changes } }),
  );
}
