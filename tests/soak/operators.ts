/**
 * Operators that take services out and put them back, by hactl and by POST.
 *
 * @module
 */

import { main as hactl } from "../../cli/hactl.ts";
import type { Dice } from "../load/dice.ts";
import { downLine } from "../load/down_line.ts";
import { rest } from "../load/stalls.ts";
import type { Daemon } from "../support/programs.ts";
import type { Downtimes, Mode } from "./downtimes.ts";

/** How often a machine may be too busy for the daemon to answer hactl within its second. */
const EXCUSES = 20;

/** What an operator works with. */
export interface OperatorOptions {
  /** The daemon. */
  readonly daemon: Daemon;
  /** Records the downtimes. */
  readonly downtimes: Downtimes;
  /** Chance. */
  readonly dice: Dice;
  /** Ends the work. */
  readonly signal: AbortSignal;
  /** The service of this operator alone. */
  readonly service: string;
  /** Its port that may have a record of its own; 0 for none. */
  readonly port: number;
  /** How long a downtime and what follows it last at most, in milliseconds. */
  readonly longest: { readonly down: number; readonly up: number };
}

/**
 * Works until it is stopped, and leaves everything up.
 *
 * @param options What to work with.
 * @returns The number of downtimes.
 */
export async function operate(options: OperatorOptions): Promise<number> {
  const { dice, signal, port, longest } = options;
  let count = 0;
  while (!signal.aborted) {
    await rest(dice.below(longest.up), signal);
    const part = port !== 0 && dice.percent(40) ? port : 0;
    // Marked again, it must not be up for a moment.
    for (let times = dice.percent(30) ? 2 : 1; times > 0; times--) {
      const ends = dice.percent(30);
      const expiration = ends
        ? Date.now() / 1000 + dice.between(200, longest.down) / 1000
        : undefined;
      await mark(options, part, `${options.service} ${count++}`, expiration);
      await rest(dice.below(longest.down), signal);
    }
    await lift(options, part);
  }
  return count;
}

async function mark(
  options: OperatorOptions,
  port: number,
  reason: string,
  expiration: number | undefined,
): Promise<void> {
  const { dice, downtimes, service } = options;
  const creation = dice.percent(50) ? Math.floor(Date.now() / 1000) : undefined;
  const post = dice.percent(50);
  const mode = modeOf(port);
  const line = downLine(service, reason, post ? creation : undefined, expiration, mode);
  const seen = downtimes.marking(nameOf(service, port), line, expiration, mode);
  if (post) {
    await change(options, port, {
      status: mode,
      reason,
      ...creation === undefined ? {} : { creation: String(creation) },
      ...expiration === undefined ? {} : { expiration: String(expiration) },
    });
  } else {
    const until = expiration === undefined ? [] : ["-e", String(expiration)];
    await byHactl(options, mode, port, ["-r", reason, ...until]);
  }
  seen();
}

async function lift(options: OperatorOptions, port: number): Promise<void> {
  const { dice, downtimes, service } = options;
  const gone = downtimes.lifting(nameOf(service, port));
  if (dice.percent(50)) await change(options, port, { status: "up" });
  else await byHactl(options, "up", port, []);
  gone();
}

/** A record of a port drains, so that a service can drain and be down at the same time. */
function modeOf(port: number): Mode {
  return port === 0 ? "down" : "drain";
}

function nameOf(service: string, port: number): string {
  return port === 0 ? service : `${service}:${port}`;
}

async function change(
  { daemon, service }: OperatorOptions,
  port: number,
  fields: Record<string, string>,
): Promise<void> {
  const body = new URLSearchParams(fields);
  const headers = { connection: "close" };
  const url = daemon.url(`/spool/${service}/${port}/status`);
  const response = await again(() => fetch(url, { method: "POST", body, headers }));
  const text = await response.text();
  if (response.status !== 200) throw new Error(`POST for ${service}: ${response.status} ${text}`);
}

/** Tries again where the connection was cut: the daemon cuts those of all where clients do not read. */
async function again(send: () => Promise<Response>): Promise<Response> {
  for (let excuses = 0;; excuses++) {
    try {
      return await send();
    } catch (error) {
      if (excuses === EXCUSES) throw error;
    }
  }
}

/** By hactl's own code, until it is content. */
async function byHactl(
  { daemon, service }: OperatorOptions,
  how: Mode | "up",
  port: number,
  args: readonly string[],
): Promise<void> {
  const part = port === 0 ? [] : ["-P", String(port)];
  const where = ["-p", String(daemon.port), "--spool-root", daemon.spool];
  for (let excuses = 0; await hactl([how, service, ...part, ...args, ...where]) !== 0; excuses++) {
    if (excuses === EXCUSES) throw new Error(`hactl ${how} ${service} always complains`);
  }
}
