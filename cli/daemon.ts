/**
 * What hactl asks of the daemon on its host.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../src/addresses.ts";
import type { Header, Verdict } from "../src/check.ts";
import { get, type HttpAnswer } from "../src/http_client.ts";
import { SpoolIndex } from "../src/spool/index.ts";
import { ALL, recordName, type Subject } from "../src/spool/names.ts";
import type { SpoolStore } from "../src/spool/store.ts";
import { type CommandContext, tell } from "./command.ts";

/** How long hactl waits for the daemon to say what the spool says, in milliseconds. */
const PATIENCE_MS = 1000;

/** How often it asks meanwhile, in milliseconds. */
const ASK_EVERY_MS = 2;

/** How much of an answer is read, in bytes. `/recent` speaks of thousands of services. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/**
 * Asks the daemon for a page.
 *
 * @param port The daemon's port.
 * @param path The page.
 * @param headers Headers to send.
 * @param signal When to give up.
 * @returns Its answer.
 * @throws {Error} If there is none.
 */
export function ask(
  port: number,
  path: string,
  headers: readonly Header[],
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return get(LOCAL_ADDRESS, port, path, headers, signal, MAX_ANSWER_BYTES);
}

/**
 * Waits until the daemon answers as the spool says. Where no daemon listens there is nothing to wait for.
 *
 * @param context What was changed.
 * @returns Whether no answer of the daemon contradicts the spool any more. If one does, the operator is told.
 */
export async function awaitDaemon(
  { subjects, store, daemonPort }: CommandContext,
): Promise<boolean> {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  let agrees = true;
  for (const subject of subjects) {
    const disagreement = await disagreementOn(subject, store, daemonPort, deadline);
    if (disagreement === undefined) continue;
    agrees = false;
    tell(
      `the daemon on port ${daemonPort} does not say so: ${recordName(subject)}: ${disagreement}`,
    );
  }
  return agrees;
}

async function disagreementOn(
  subject: Subject,
  store: SpoolStore,
  port: number,
  deadline: AbortSignal,
): Promise<string | undefined> {
  const headers: Header[] = subject.host === LOCAL_ADDRESS
    ? []
    : [["X-Nerve-Check-IP", subject.host]];
  let disagreement = `it did not answer within ${PATIENCE_MS} ms`;
  while (!deadline.aborted) {
    try {
      const path = `/status/spool/${subject.service}/${subject.port}`;
      const { status, body } = await ask(port, path, headers, deadline);
      const { code, message } = expected(subject, store);
      if (status === code && body === message) return undefined;
      disagreement = `expected ${code} ${JSON.stringify(message)}: received ${status} ${
        JSON.stringify(body)
      }`;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return undefined;
      if (!deadline.aborted) disagreement = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  return disagreement;
}

/** What the files say, by the daemon's own rules. */
function expected({ service, port, host }: Subject, store: SpoolStore): Verdict {
  const index = new SpoolIndex();
  const names = [ALL, service];
  if (port !== 0) {
    names.push(
      recordName({ service, port, host: LOCAL_ADDRESS }),
      recordName({ service, port, host }),
    );
  }
  for (const name of names) {
    const stored = store.read(name);
    if (stored !== undefined) index.set(name, stored.record);
  }
  return index.find(service, port, host)?.verdict ?? { code: 200, message: "" };
}
