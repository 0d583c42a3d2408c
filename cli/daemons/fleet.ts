/**
 * Asks the daemons that the command line names, or the one of this host.
 *
 * @module
 */

import type { CommandContext } from "../command.ts";
import { pooledMap } from "../../src/std/async.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import type { Daemon } from "./daemon.ts";
import { LocalDaemon } from "./local.ts";
import { withUrl } from "../report/lines.ts";
import { RemoteDaemon } from "./remote.ts";

/** How many daemons are asked at once. Each takes a descriptor; a shell gives 1,024. */
const MAX_AT_ONCE = 256;

/** The default timeout for each daemon, in seconds. */
export const DEFAULT_TIMEOUT = 5;

/** The outcome of asking one daemon. */
export type Outcome<T> =
  & { readonly daemon: Daemon }
  & ({ readonly error: null; readonly value: T } | { readonly error: string });

/**
 * Returns the daemons to ask.
 *
 * @param context The command line.
 * @returns Those that it names, else the daemon of this host.
 */
export function daemonsOf({ daemons, port, trust }: CommandContext): Daemon[] {
  if (daemons.length === 0) return [new LocalDaemon(port, trust.token)];
  return daemons.map((url) => new RemoteDaemon(url, trust));
}

/**
 * Asks all daemons at once, each with its own timeout.
 *
 * @param context The daemons.
 * @param ask Asks one daemon.
 * @returns The outcomes, in the order of the daemons.
 */
export function askAll<T>(
  context: CommandContext,
  ask: (daemon: Daemon, signal: AbortSignal) => Promise<T>,
): AsyncIterable<Outcome<T>> {
  return pooledMap(MAX_AT_ONCE, daemonsOf(context), async (daemon): Promise<Outcome<T>> => {
    const signal = AbortSignal.timeout((context.timeout ?? DEFAULT_TIMEOUT) * 1000);
    try {
      return { daemon, error: null, value: await ask(daemon, signal) };
    } catch (error) {
      return { daemon, error: describeFailure(error, signal, context) };
    }
  });
}

/**
 * Describes why a daemon could not be asked.
 *
 * @param error What was thrown.
 * @param signal The deadline.
 * @param context The command line, which may set the timeout.
 */
export function describeFailure(
  error: unknown,
  signal: AbortSignal,
  { timeout }: CommandContext,
): string {
  if (error !== signal.reason) return errorMessage(error);
  return `no response within ${timeout ?? DEFAULT_TIMEOUT} s`;
}

/** What is printed for one daemon. */
export interface Report {
  /** Lines for scripts. */
  readonly lines: readonly string[];
  /** The same as JSON. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Warnings for the operator. */
  readonly warnings?: readonly string[];
  /** An error besides; null if all is well. */
  readonly error?: string | null;
}

/**
 * Prints a report for each daemon. The URL of a daemon that the command line names goes before each line.
 *
 * @param context The daemons, and how to print.
 * @param outcomes What came of asking them.
 * @param reportOn Returns the report on one daemon. It is called in the order of the daemons.
 * @returns 0, or 1 if a daemon failed.
 */
export async function reportAll<T>(
  context: CommandContext,
  outcomes: AsyncIterable<Outcome<T>>,
  reportOn: (value: T, daemon: Daemon) => Report,
): Promise<number> {
  const { daemons, json: printsJson } = context;
  const reports = [];
  let failed = 0;
  for await (const outcome of outcomes) {
    const { daemon, error } = outcome;
    const { url, name } = daemon;
    if (error !== null) {
      failed++;
      warn(`${name}: ${error}`);
      if (daemons.length > 0) reports.push({ url, error });
      continue;
    }
    const report = reportOn(outcome.value, daemon);
    const expiry = await daemon.expiryWarning();
    for (const warning of [...expiry === null ? [] : [expiry], ...report.warnings ?? []]) {
      warn(`${name}: ${warning}`);
    }
    if (report.error != null) {
      failed++;
      warn(report.error);
    }
    reports.push(daemons.length > 0 ? { url, error, ...report.json } : report.json);
    if (!printsJson && report.lines.length > 0) {
      console.log(report.lines.map((line) => withUrl(url, line)).join("\n"));
    }
  }
  if (printsJson && daemons.length > 0) printJson({ daemons: reports });
  else if (printsJson && reports.length > 0) printJson(reports[0]);
  if (failed > 0 && daemons.length > 1) warn(`${failed} of ${daemons.length} daemons failed`);
  return failed === 0 ? 0 : 1;
}
