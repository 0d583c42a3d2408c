/**
 * Waiting until the own checks of services are good.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { recordName, type Subject } from "../../src/spool/names.ts";
import { parseChecks } from "./responses.ts";
import { describeResponse, errorMessage } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import type { AskPage } from "./state.ts";

/** How often the checks are run, in milliseconds. */
const RUN_EVERY_MS = 1000;

/**
 * Waits until the checks of a service are good, whatever is marked. The daemon runs those that balancers
 * ask for.
 *
 * @param subject The service, or the part of it that is meant.
 * @param ask Asks the daemon.
 * @param signal When to give up.
 * @returns Undefined once all of them are good; else, when given up, what was wrong last.
 */
export async function awaitHealthy(
  subject: Subject,
  ask: AskPage,
  signal: AbortSignal,
): Promise<string | undefined> {
  let last = "the daemon has not answered";
  while (!signal.aborted) {
    try {
      const answer = await ask(`/status/checks/${subject.service}?now`, signal);
      if (answer.status === 401 || answer.status === 403) {
        return `the daemon rejects hactl: ${describeResponse(answer.status, answer.body)}`;
      }
      const found = parseChecks(answer).filter((check) => isMeant(check, subject));
      const bad = found.find(({ verdict }) => !verdict.healthy);
      if (found.length > 0 && bad === undefined) return undefined;
      last = bad === undefined
        ? `no balancer has asked the daemon to check ${recordName(subject)}`
        : `its ${bad.protocol} check on port ${bad.port} fails: ` +
          describeResponse(bad.verdict.code, bad.verdict.message);
    } catch (error) {
      if (!signal.aborted) last = errorMessage(error);
    }
    await sleep(RUN_EVERY_MS, signal);
  }
  return last;
}

function isMeant(check: Pick<Subject, "port" | "host">, { port, host }: Subject): boolean {
  return (port === 0 || check.port === port) && (host === LOCAL_ADDRESS || check.host === host);
}
