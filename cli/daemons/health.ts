/**
 * Waits until the own checks of services succeed.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { recordName, type Subject } from "../../src/spool/names.ts";
import { describeResponse, errorMessage } from "../terminal.ts";
import { sleep } from "../sleep.ts";
import { type Daemon, ForbiddenError } from "./daemon.ts";
import { fetchChecks } from "./responses.ts";

/** How often the checks run, in milliseconds. */
const RUN_EVERY_MS = 1000;

/**
 * Waits until the checks of a service succeed, whatever the records say. The daemon runs those that balancers
 * asked for.
 *
 * @param daemon The daemon.
 * @param subject The service, or one port of it.
 * @param signal The deadline.
 * @returns Undefined once all checks succeed; after the deadline, what failed last.
 */
export async function awaitHealthy(
  daemon: Daemon,
  subject: Subject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { service, port, host } = subject;
  let failure = "no response from the daemon";
  while (!signal.aborted) {
    try {
      const checks = (await fetchChecks(daemon, service, signal)).filter((check) =>
        (port === 0 || check.port === port) && (host === LOCAL_ADDRESS || check.host === host)
      );
      const failed = checks.find(({ verdict }) => !verdict.healthy);
      if (checks.length > 0 && failed === undefined) return undefined;
      failure = failed === undefined
        ? `no balancer has asked the daemon to check ${recordName(subject)}`
        : `its ${failed.protocol} check on port ${failed.port} fails: ` +
          describeResponse(failed.verdict.code, failed.verdict.message);
    } catch (error) {
      if (error instanceof ForbiddenError) return `the daemon ${error.message}`;
      if (!signal.aborted) failure = errorMessage(error);
    }
    await sleep(RUN_EVERY_MS, signal);
  }
  return failure;
}

/**
 * Waits until the checks of several services succeed.
 *
 * @param daemon The daemon.
 * @param subjects The services.
 * @param seconds How long.
 * @param signal A further deadline.
 * @returns A message for each service whose checks do not succeed in time.
 */
export async function unhealthyServices(
  daemon: Daemon,
  subjects: readonly Subject[],
  seconds: number,
  signal?: AbortSignal,
): Promise<string[]> {
  const deadlines = [AbortSignal.timeout(seconds * 1000), ...signal === undefined ? [] : [signal]];
  const messages = await Promise.all(subjects.map(async (subject) => {
    const failure = await awaitHealthy(daemon, subject, AbortSignal.any(deadlines));
    if (failure === undefined) return [];
    return [
      `the record of ${recordName(subject)} stays: not healthy after ${seconds} s: ${failure}`,
    ];
  }));
  return messages.flat();
}
