/**
 * Many daemons, asked at once.
 *
 * @module
 */

import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import { RemoteDaemon } from "./remote.ts";
import { pooledMap } from "../../src/std/async.ts";

/** How many are asked at once. Each takes a descriptor, of which a shell gives 1,024. */
const MAX_AT_ONCE = 256;

/** How long each may take unless told otherwise, in seconds. */
export const DEFAULT_PATIENCE = 5;

/** What became of one of them. */
export type Outcome<T> =
  | {
    readonly url: string;
    readonly error: null;
    readonly answer: T;
    /** Who answered; missing for this host's daemon. */
    readonly daemon?: RemoteDaemon;
  }
  | { readonly url: string; readonly error: string };

/**
 * Asks all daemons that are named, each for so long as it may take.
 *
 * @param context Who they are.
 * @param ask Asks one.
 * @returns What became of each, in the order in which they are named.
 */
export function askAll<T>(
  { daemons, trust, timeout }: CommandContext,
  ask: (daemon: RemoteDaemon, signal: AbortSignal) => Promise<T>,
): AsyncIterable<Outcome<T>> {
  const patience = timeout ?? DEFAULT_PATIENCE;
  return pooledMap(MAX_AT_ONCE, daemons, async (url): Promise<Outcome<T>> => {
    const signal = AbortSignal.timeout(patience * 1000);
    const daemon = new RemoteDaemon(url, trust);
    try {
      const answer = await ask(daemon, signal);
      return { url: url.shown, error: null, answer, daemon };
    } catch (error) {
      const why = signal.aborted
        ? `it did not answer within ${patience} seconds`
        : errorMessage(error);
      return { url: url.shown, error: why };
    }
  });
}

/**
 * Tells if the certificate of a daemon soon expires.
 *
 * @param daemon The daemon; undefined for this host's, whose certificate is not verified.
 */
export async function tellExpiry(daemon: RemoteDaemon | undefined): Promise<void> {
  const advice = await daemon?.expiryAdvice() ?? null;
  if (advice !== null) warn(`${daemon!.url}: ${advice}`);
}

/** What is printed of a daemon's answer. */
export interface Report {
  /** Lines for scripts. Its URL is put before each. */
  readonly lines: readonly string[];
  /** What the JSON holds of it. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Whether it is as it should be. */
  readonly isWell: boolean;
  /** What the operator should know besides. */
  readonly notices?: readonly string[];
}

/**
 * Asks all daemons that are named, and prints what they answer.
 *
 * @param context Who they are, and how to print.
 * @param ask Asks one, and says what is to be printed of its answer.
 * @returns 0 if all is well, 1 if something is not or a daemon did not answer as it should.
 */
export async function reportAll(
  context: CommandContext,
  ask: (daemon: RemoteDaemon, signal: AbortSignal) => Promise<Report>,
): Promise<number> {
  const { daemons, json } = context;
  const all = [];
  let failed = 0;
  let isWell = true;
  for await (const outcome of askAll(context, ask)) {
    const { url, error } = outcome;
    if (error !== null) {
      failed++;
      warn(`${url}: ${error}`);
      all.push({ url, error });
      continue;
    }
    const { answer, daemon } = outcome;
    isWell &&= answer.isWell;
    await tellExpiry(daemon);
    for (const notice of answer.notices ?? []) warn(`${url}: ${notice}`);
    all.push({ url, error, ...answer.json });
    if (!json && answer.lines.length > 0) {
      console.log(answer.lines.map((line) => `${url}\t${line}`).join("\n"));
    }
  }
  if (json) printJson({ daemons: all });
  if (failed > 0 && daemons.length > 1) warn(`${failed} of ${daemons.length} daemons failed`);
  return failed === 0 && isWell ? 0 : 1;
}
