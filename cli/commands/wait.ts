import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import type { Header, HttpResponse } from "../../src/net/http_client.ts";
import { recordName, type Subject } from "../../src/spool/names.ts";
import type { CommandContext } from "../command.ts";
import { describeResponse, errorMessage, warn } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import { type AskPage, awaitHealthy } from "../daemons/health.ts";
import { RemoteDaemon } from "../daemons/remote.ts";

/** How long a daemon may take for one answer, in milliseconds. */
const PATIENCE_MS = 5000;

/** How long it is left alone between two questions, in milliseconds: this host's, and one elsewhere. */
const ASK_EVERY_MS = { here: 50, elsewhere: 1000 } as const;

/** Why the others are not waited for. */
const REFUSED = "a daemon does not let hactl ask";

/** Asks one daemon what it says of something. */
type Ask = (subject: Subject, signal: AbortSignal) => Promise<HttpResponse>;

/** A daemon to wait for. */
interface Waited {
  /** How it is named in what the operator is told. */
  readonly name: string;
  readonly ask: Ask;
  readonly askPage: AskPage;
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
      const ask: Ask = (subject, signal) => remote.ask(pathOf(subject), null, signal);
      const askPage: AskPage = (path, signal) => remote.ask(path, null, signal);
      return { name: remote.url, ask, askPage, pause: ASK_EVERY_MS.elsewhere };
    });
  }
  const ask: Ask = (subject, signal) => {
    const headers: Header[] = subject.host === LOCAL_ADDRESS
      ? []
      : [["X-Nerve-Check-IP", subject.host]];
    return daemon.ask(pathOf(subject), headers, signal);
  };
  const askPage: AskPage = (path, signal) => daemon.ask(path, [], signal);
  return [{ name: `the daemon on port ${daemon.port}`, ask, askPage, pause: ASK_EVERY_MS.here }];
}

function pathOf({ service, port }: Subject): string {
  return `/status/spool/${service}/${port}`;
}

async function waitFor(
  subject: Subject,
  { name, ask, askPage, pause }: Waited,
  { wanted, timeout }: CommandContext,
  giveUp: AbortController,
): Promise<boolean> {
  const { signal } = giveUp;
  if (wanted === "healthy") {
    const why = await awaitHealthy(subject, askPage, signal);
    if (why !== undefined) warn(`${recordName(subject)} is not healthy by ${name}: ${why}`);
    return why === undefined;
  }
  let last = "it has not answered";
  while (!signal.aborted) {
    try {
      const { status, body } = await ask(
        subject,
        AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
      );
      if (status === 401 || status === 403) {
        if (!signal.aborted) {
          warn(`${name} does not let hactl ask: ${describeResponse(status, body)}`);
        }
        giveUp.abort(REFUSED);
        return false;
      }
      const state = stateOf(status, body);
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

/** Whatever state the line names, it is not that of a service that is up. */
function stateOf(status: number, body: string): "up" | "down" | null {
  if (status === 200) return "up";
  return /^Service \S+ in \S+ state\b/.test(body) ? "down" : null;
}
