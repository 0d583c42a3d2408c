import { recordName, type Subject } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import type { Daemon } from "../daemons/daemon.ts";
import { daemonsOf } from "../daemons/fleet.ts";
import { awaitHealthy } from "../daemons/health.ts";
import { ForbiddenError } from "../daemons/daemon.ts";
import { fetchState } from "../daemons/responses.ts";
import { sleep } from "../sleep.ts";
import { describeResponse, errorMessage, warn } from "../terminal.ts";

/** How long a daemon may take for one response, in milliseconds. */
const RESPONSE_TIMEOUT_MS = 5000;

/** The pause between two requests to a daemon, in milliseconds. */
const PAUSE_MS = { local: 50, remote: 1000 } as const;

/**
 * Waits until every daemon reports every service as up, down or healthy.
 *
 * @returns The exit status: 1 after the timeout, or if a daemon rejects hactl.
 */
export async function wait(context: CommandContext): Promise<number> {
  const { subjects, timeout } = context;
  const abort = new AbortController();
  const timer = timeout === null ? undefined : setTimeout(() => abort.abort(), timeout * 1000);
  try {
    const all = daemonsOf(context).flatMap((daemon) =>
      subjects.map((subject) => waitFor(subject, daemon, context, abort))
    );
    return (await Promise.all(all)).every((isReached) => isReached) ? 0 : 1;
  } finally {
    clearTimeout(timer);
  }
}

async function waitFor(
  subject: Subject,
  daemon: Daemon,
  { wanted, timeout }: CommandContext,
  abort: AbortController,
): Promise<boolean> {
  const { signal } = abort;
  const name = recordName(subject);
  if (wanted === "healthy") {
    const failure = await awaitHealthy(daemon, subject, signal);
    if (failure !== undefined) warn(`${name} is not healthy: ${daemon.name}: ${failure}`);
    return failure === undefined;
  }
  const pause = daemon.url === "" ? PAUSE_MS.local : PAUSE_MS.remote;
  let last = `${daemon.name} has not responded`;
  while (!signal.aborted) {
    try {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(RESPONSE_TIMEOUT_MS)]);
      const { state, response } = await fetchState(daemon, subject, deadline);
      if (state === wanted) return true;
      last = state === null
        ? `${daemon.name} responds ${describeResponse(response.status, response.body)}`
        : `${daemon.name} reports ${state}`;
    } catch (error) {
      if (error instanceof ForbiddenError) {
        if (!signal.aborted) warn(`${daemon.name} ${error.message}`);
        // Waiting on for the others is of no use.
        abort.abort(error);
        return false;
      }
      if (!signal.aborted) last = `${daemon.name}: ${errorMessage(error)}`;
    }
    await sleep(pause, signal);
  }
  if (signal.reason instanceof ForbiddenError) return false;
  warn(`${name} is not ${wanted} after ${timeout} s: ${last}`);
  return false;
}
