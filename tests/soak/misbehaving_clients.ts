/**
 * Clients that misbehave: what they send is worth no answer, and what they hold open costs.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { pipelined, withClosedWindow } from "../load/hoarding.ts";
import { rest } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";
import type { Service } from "./service.ts";

/** How long one holds a connection at most, in milliseconds. */
const LONGEST_HOLD_MS = 4000;

/** What a client that misbehaves works with. */
export interface RogueOptions {
  /** The daemon's port. */
  readonly port: number;
  /** What it asks for, as far as it asks. */
  readonly services: readonly Service[];
  /** Chance. */
  readonly dice: Dice;
  /** Ends it. */
  readonly signal: AbortSignal;
}

type Trick = (wire: Wire, options: RogueOptions) => Promise<unknown>;

/** Pages that are worth to ask for often. */
const PAGES = ["/recent", "/status/count", "/metrics", "/status"] as const;

/** What they do, by its name. Each closes its connection without a word afterwards. */
const TRICKS: Readonly<Record<string, Trick>> = {
  "silent": (_, { dice, signal }) => rest(dice.below(LONGEST_HOLD_MS), signal),
  "half a request": async (wire, options) => {
    const request = check(options);
    await wire.send(request.slice(0, options.dice.between(1, request.length - 1)));
    await rest(options.dice.below(LONGEST_HOLD_MS), options.signal);
  },
  "a byte at a time": async (wire, options) => {
    for (const byte of check(options)) {
      if (options.signal.aborted || !await wire.send(byte)) return;
      await rest(options.dice.below(100), options.signal);
    }
  },
  "reset": (wire, options) => wire.send(check(options)),
  "many requests and no patience": (wire, options) => {
    const requests = Array.from({ length: options.dice.between(2, 200) }, () => check(options));
    return wire.send(requests.join(""));
  },
  "HTTP/2 with closed windows": (wire, options) =>
    hoard(wire, withClosedWindow(options.dice.pick(PAGES), options.dice.between(1, 200)), options),
  "requests and no reading": (wire, options) =>
    hoard(wire, pipelined(options.dice.pick(PAGES), options.dice.between(10, 5000)), options),
  "a slow form": (wire, options) => form(wire, options, true),
  "half a form": (wire, options) => form(wire, options, false),
  "garbage": (wire, { dice }) => wire.send(`${dice.bytes(dice.between(1, 2000))}\r\n\r\n`),
};

/**
 * Misbehaves until it is stopped.
 *
 * @param options What to work with.
 * @returns How often it did what.
 */
export async function misbehave(options: RogueOptions): Promise<Map<string, number>> {
  const done = new Map<string, number>();
  while (!options.signal.aborted) {
    const [name, trick] = options.dice.pick(Object.entries(TRICKS));
    using wire = await Wire.open(options.port);
    await trick(wire, options);
    done.set(name, (done.get(name) ?? 0) + 1);
    await rest(options.dice.below(50), options.signal);
  }
  return done;
}

/** Sends what the daemon may not take any more, and reads nothing of what it answers. */
async function hoard(wire: Wire, bytes: string, { dice, signal }: RogueOptions): Promise<void> {
  const held = rest(dice.below(LONGEST_HOLD_MS), signal);
  await Promise.race([wire.send(bytes), held]);
  await held;
}

function check({ dice, services }: RogueOptions): string {
  const { name, port } = dice.pick(services);
  return `GET /${
    dice.pick(["spool", "http", "tcp"])
  }/${name}/${port}/ HTTP/1.1\r\nHost: rogue\r\n\r\n`;
}

/** A form that arrives slowly, and one that never ends. No client checks its service. */
async function form(wire: Wire, { dice, signal }: RogueOptions, ends: boolean): Promise<void> {
  const body = "status=down&reason=slow&expiration=1";
  await wire.send(
    `POST /spool/rogue-${
      dice.below(10)
    }/0 HTTP/1.1\r\nHost: rogue\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  for (const byte of ends ? body : body.slice(0, dice.below(body.length))) {
    if (signal.aborted || !await wire.send(byte)) return;
    await rest(dice.below(60), signal);
  }
  // No answer is of no interest: connections are cut where clients do not read.
  if (ends) await wire.response("POST").catch(() => {});
}
