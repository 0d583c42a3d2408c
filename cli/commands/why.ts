import type { ActiveDowntime } from "../../src/spool/active_entries.ts";
import { ALL } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import type { Daemon } from "../daemons/daemon.ts";
import { askAll, type Report, reportAll } from "../daemons/fleet.ts";
import { type CheckRun, fetchHistory, fetchOutcomes, fetchRuns } from "../daemons/outcomes.ts";
import { fetchActiveEntries } from "../daemons/responses.ts";
import { warnOfNeverAsked } from "../notices.ts";
import { readActiveDowntimes } from "../report/active_entries.ts";
import {
  explainAll,
  explainRun,
  explainService,
  type Explanation,
  leftOut,
} from "../report/explanation.ts";
import { recordLine } from "../report/lines.ts";
import { errorMessage, warn } from "../terminal.ts";

/** An explanation of one service, or of all. */
interface Explained extends Explanation {
  /** The service; null for all. */
  readonly service: string | null;
  /** The checks that were run for it; null without `--now`. */
  readonly runs: readonly CheckRun[] | null;
  /** How many more checks were not run. */
  readonly runs_left_out: number;
}

/** The default timeout with `--now`, in seconds: longer than most checks wait for their services. */
const RUN_TIMEOUT_S = 60;

/**
 * Prints why services are out: records, failing checks with their reasons, and the last changes.
 *
 * @returns The exit status: 1 if a service is out or fails, or a daemon does not respond.
 */
export async function why(context: CommandContext): Promise<number> {
  const services = context.subjects.map(({ service }) => service);
  const wanted = services.length === 0 ? [null] : [...new Set(services)];
  let isOut = false;
  const code = await reportAll(
    context,
    askAll(
      { ...context, timeout: context.timeout ?? (context.now ? RUN_TIMEOUT_S : null) },
      (daemon, signal) =>
        Promise.all(wanted.map((service) => explain(context, daemon, service, signal))),
    ),
    (explained): Report => {
      const now = Date.now() / 1000;
      isOut ||= explained.some(({ downtimes, checks, runs }) =>
        downtimes.length > 0 || checks.some(({ state }) => state === "down") ||
        (runs ?? []).some(({ verdict }) => !verdict.healthy)
      );
      return {
        lines: explained.flatMap((one) => linesOf(one, now)),
        json: { services: explained },
      };
    },
  );
  if (code !== 0 && context.daemons.length === 0) await printSpool(context, wanted);
  else if (context.daemons.length === 0) await warnOfNeverAsked(context);
  return code !== 0 || isOut ? 1 : 0;
}

async function explain(
  { subjects, now }: CommandContext,
  daemon: Daemon,
  service: string | null,
  signal: AbortSignal,
): Promise<Explained> {
  const ports = subjects.filter((one) => one.service === service && one.port !== 0)
    .map(({ port }) => port);
  const isWanted = ({ port }: { readonly port: number }) =>
    ports.length === 0 || port === 0 || ports.includes(port);
  // First: the results of checks that are run now are among the outcomes then.
  const runs = now && service !== null ? await fetchRuns(daemon, service, signal) : null;
  const [{ downtimes }, { checks, checks_left_out }, { changes }] = await Promise.all([
    fetchActiveEntries(daemon, signal),
    fetchOutcomes(daemon, service, signal),
    service === null ? { changes: [] } : fetchHistory(daemon, service, 0, signal),
  ]);
  return {
    service,
    downtimes: downtimes.filter((record) => isAbout(record, service) && isWanted(record)),
    checks: checks.filter(isWanted),
    checks_left_out,
    changes: changes.filter((change) => change.kind === "record" || isWanted(change)),
    runs: runs?.checks.filter(isWanted) ?? null,
    runs_left_out: runs?.checks_left_out ?? 0,
  };
}

function isAbout(record: ActiveDowntime, service: string | null): boolean {
  return service === null || record.name === ALL || record.service === service;
}

function linesOf(
  { service, runs, runs_left_out, ...explanation }: Explained,
  now: number,
): string[] {
  if (service === null) return explainAll(explanation, now);
  return [
    ...(runs ?? []).flatMap((run) => explainRun(run, now)),
    ...leftOut(runs_left_out, "run"),
    ...explainService(service, explanation, now),
  ];
}

/** Without the daemon, the spool still says who took a service out. */
async function printSpool(
  { store }: CommandContext,
  services: readonly (string | null)[],
): Promise<void> {
  let downtimes;
  try {
    downtimes = await readActiveDowntimes(store);
  } catch (error) {
    warn(`cannot read spool ${store.root}: ${errorMessage(error)}`);
    return;
  }
  for (const record of downtimes) {
    if (services.some((service) => isAbout(record, service))) {
      console.log(recordLine(record, record));
    }
  }
}
