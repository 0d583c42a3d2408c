import { recordName, type Subject } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import { describeResponse, errorMessage, warn } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import { awaitHealthy } from "../daemons/health.ts";
import { RemoteDaemon } from "../daemons/remote.ts";
import { type AskPage, askState } from "../daemons/state.ts";

/** How long a daemon may take for one answer, in milliseconds. */
const PATIENCE_MS = 5000;

/** How long it is left alone between two questions, in milliseconds: this host's, and one elsewhere. */
const ASK_EVERY_MS = { here: 50, elsewhere: 1000 } as const;

/** Why the others are not waited for. */
const REFUSED = "a daemon does not let hactl ask";

/** A daemon to wait for. */
interface Waited {
  /** How it is named in what the operator is told. */
  readonly name: string;
  /** Returns the function that asks it about services on this host. */
  readonly askAbout: (host: string) => AskPage;
  readonly pause: number;
}

/**
 * Waits until the daemons say that services are up or down by the spool, or that their own checks are good.
 *
 * @returns 0 once all of them are, 1 if they are not in time or a daemon does not let hactl ask.
 */
export async function wait(context: CommandContext): Promise<number> {
  const { subjects, timeout } = context;
  const giveUp = new AbortController();
  const timer = timeout === null ? undefined : setTimeout(() => giveUp.abort(), timeout * 1000);
  try {
    const all = daemonsOf(context).flatMap((daemon) =>
      subjects.map((subject) => waitFor(subject, daemon, context, giveUp))
    );
    return (await Promise.all(all)).every((isReached) => isReached) ? 0 : 1;
  } finally {
    clearTimeout(timer);
  }
}

function daemonsOf({ daemon, daemons, trust }: CommandContext): Waited[] {
  if (daemons.length > 0) {
    return daemons.map((url) => {
      const remote = new RemoteDaemon(url, trust);
      const ask: AskPage = (path, signal) => remote.ask(path, null, signal);
      return { name: remote.url, askAbout: () => ask, pause: ASK_EVERY_MS.elsewhere };
    });
  }
  return [{
    name: `the daemon on port ${daemon.port}`,
    askAbout: (host) => daemon.aboutHost(host),
    pause: ASK_EVERY_MS.here,
  }];
}

async function waitFor(
  subject: Subject,
  { name, askAbout, pause }: Waited,
  { wanted, timeout }: CommandContext,
  giveUp: AbortController,
): Promise<boolean> {
  const { signal } = giveUp;
  const ask = askAbout(subject.host);
  if (wanted === "healthy") {
    const why = await awaitHealthy(subject, ask, signal);
    if (why !== undefined) warn(`${recordName(subject)} is not healthy by ${name}: ${why}`);
    return why === undefined;
  }
  let last = "it has not answered";
  while (!signal.aborted) {
    try {
      const { state, response: { status, body } } = await askState(
        subject,
        ask,
        AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
      );
      if (status === 401 || status === 403) {
        if (!signal.aborted) {
          warn(`${name} does not let hactl ask: ${describeResponse(status, body)}`);
        }
        giveUp.abort(REFUSED);
        return false;
      }
      if (state === wanted) return true;
      last = state === null ? `it answers ${describeResponse(status, body)}` : `it is ${state}`;
    } catch (error) {
      if (!signal.aborted) last = errorMessage(error);
    }
    await sleep(pause, signal);
  }
  if (signal.reason === REFUSED) return false;
  warn(`${recordName(subject)} is not ${wanted} after ${timeout} s by ${name}: ${last}`);
  return false;
}
