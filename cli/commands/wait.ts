import { recordName, type Subject } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import { describeResponse, errorMessage, warn } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import { awaitHealthy } from "../daemons/health.ts";
import { RemoteDaemon } from "../daemons/remote.ts";
import { type AskPage, askState } from "../daemons/state.ts";

/** How long a daemon may take for one response, in milliseconds. */
const RESPONSE_TIMEOUT_MS = 5000;

/** The pause between two requests to a daemon, in milliseconds. */
const PAUSE_MS = { local: 50, remote: 1000 } as const;

/** The reason of the abort once a daemon has rejected hactl: waiting on for the others is of no use. */
const REJECTED = "a daemon rejected hactl";

/** A daemon to wait for. */
interface AwaitedDaemon {
  /** Its name in messages. */
  readonly name: string;
  /** Returns the function that asks it about services on a host. */
  readonly askAbout: (host: string) => AskPage;
  readonly pause: number;
}

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

function daemonsOf({ daemon, daemons, trust }: CommandContext): AwaitedDaemon[] {
  if (daemons.length > 0) {
    return daemons.map((url) => {
      const remote = new RemoteDaemon(url, trust);
      const ask: AskPage = (path, signal) => remote.ask(path, null, signal);
      return { name: remote.url, askAbout: () => ask, pause: PAUSE_MS.remote };
    });
  }
  return [{
    name: `the daemon on port ${daemon.port}`,
    askAbout: (host) => daemon.aboutHost(host),
    pause: PAUSE_MS.local,
  }];
}

async function waitFor(
  subject: Subject,
  { name, askAbout, pause }: AwaitedDaemon,
  { wanted, timeout }: CommandContext,
  abort: AbortController,
): Promise<boolean> {
  const { signal } = abort;
  const ask = askAbout(subject.host);
  if (wanted === "healthy") {
    const why = await awaitHealthy(subject, ask, signal);
    if (why !== undefined) warn(`${recordName(subject)} is not healthy: ${name}: ${why}`);
    return why === undefined;
  }
  let last = `${name} has not responded`;
  while (!signal.aborted) {
    try {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(RESPONSE_TIMEOUT_MS)]);
      const { state, response: { status, body } } = await askState(subject, ask, deadline);
      if (status === 401 || status === 403) {
        if (!signal.aborted) warn(`${name} rejects hactl: ${describeResponse(status, body)}`);
        abort.abort(REJECTED);
        return false;
      }
      if (state === wanted) return true;
      last = state === null
        ? `${name} responds ${describeResponse(status, body)}`
        : `${name} reports ${state}`;
    } catch (error) {
      if (!signal.aborted) last = `${name}: ${errorMessage(error)}`;
    }
    await sleep(pause, signal);
  }
  if (signal.reason === REJECTED) return false;
  warn(`${recordName(subject)} is not ${wanted} after ${timeout} s: ${last}`);
  return false;
}
