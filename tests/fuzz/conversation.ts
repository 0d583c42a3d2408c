import { Dice } from "../load/dice.ts";
import { CutError, type Wire, WireError, type WireResponse } from "../load/wire.ts";
import { type Ending, ending } from "./endings.ts";
import { isAmong } from "./model.ts";
import { Requests, type Sent } from "./requests.ts";
import type { World } from "./world.ts";

/** How many requests are sent on one connection, at most. */
const MOST = 40;

/** How long the daemon may take to answer or to close, in seconds. */
const PATIENCE_S = 20;

/** From how many bytes on an ending waits: who is sent off while sending loses answers that are on their way. */
const LONG = 16_384;

/** Something that the daemon did and must not. */
export class Wrong extends Error {
  override name = "Wrong";
}

/** The connection was closed before all was answered, as it may be where clients do not read. */
export class CutOff extends Error {
  override name = "CutOff";
}

/** What came of a conversation. */
export interface Outcome {
  /** The statuses of the answers, in order. */
  readonly statuses: readonly number[];
  /** How it ended. */
  readonly ending: string;
}

/** All that one connection says: requests that make sense, and something at the end that may not. */
export class Conversation {
  readonly #sent: readonly Sent[];
  readonly #ending: Ending | null;
  readonly #pieces: readonly string[];
  /** What is sent only when all before is answered. */
  readonly #later: readonly string[];

  /**
   * Makes it up.
   *
   * @param seed The seed of the run.
   * @param number Which conversation of the run it is.
   * @param world What it is about.
   * @param owner Tells its connection from all others that are open.
   */
  constructor(seed: number, number: number, world: World, owner: string) {
    const dice = new Dice(seed, number);
    const requests = new Requests(dice, world, owner);
    const sent: Sent[] = [];
    const most = dice.below(MOST + 1);
    while (sent.length < most && !sent.at(-1)?.last) sent.push(requests.next());
    this.#sent = sent;
    this.#ending = sent.at(-1)?.last ? null : ending(dice, requests);
    const requestsAlone = sent.map(({ bytes }) => bytes).join("");
    const last = this.#ending?.bytes ?? "";
    const together = last.length < LONG && dice.percent(70);
    this.#pieces = cut(dice, together ? requestsAlone + last : requestsAlone);
    this.#later = together ? [] : cut(dice, last);
  }

  /** How many requests it sends, whatever it ends with among them. */
  get length(): number {
    return this.#sent.length + (this.#ending === null ? 0 : 1);
  }

  /** All that it sends, a character a byte. */
  get bytes(): string {
    return [...this.#pieces, ...this.#later].join("");
  }

  /**
   * Holds it.
   *
   * @param wire A connection.
   * @returns What came of it.
   * @throws {Wrong} If the daemon did what it must not.
   */
  async hold(wire: Wire): Promise<Outcome> {
    // Seconds in which this program itself did not run do not count: the daemon may not have run either.
    let seconds = 0;
    const clock = setInterval(() => {
      if (++seconds === PATIENCE_S) wire[Symbol.dispose]();
    }, 1000);
    const sending = send(wire, this.#pieces);
    try {
      const outcome = await this.#answers(wire, sending);
      if (seconds < PATIENCE_S) return outcome;
    } catch (error) {
      if (seconds < PATIENCE_S) {
        if (error instanceof CutError) throw new CutOff(error.message);
        throw error instanceof WireError ? new Wrong(error.message) : error;
      }
    } finally {
      clearInterval(clock);
      wire[Symbol.dispose]();
      await sending;
    }
    const sent = JSON.stringify(this.bytes.slice(-500));
    throw new Wrong(`after ${sent} the daemon did nothing for ${PATIENCE_S} s`);
  }

  async #answers(wire: Wire, sending: Promise<void>): Promise<Outcome> {
    const statuses: number[] = [];
    let isOver = false;
    for (const { bytes, method, answers } of this.#sent) {
      // A response may be the last on its connection whatever was sent behind its request.
      if (isOver) return { statuses, ending: "closed by the daemon" };
      const response = await wire.response(method);
      if (response === null) throw new CutOff(`no answer to ${JSON.stringify(bytes)}`);
      isOver = response.isLast;
      statuses.push(response.status);
      if (isAmong(answers, method, response.status, response.body)) continue;
      throw new Wrong(`to ${JSON.stringify(bytes)}: ${told(response)}: expected ${anyOf(answers)}`);
    }
    if (isOver && this.#ending !== null) return { statuses, ending: "closed by the daemon" };
    if (this.#ending === null) return { statuses, ending: "none" };
    const { kind, bytes, answers, then } = this.#ending;
    await sending;
    await send(wire, this.#later);
    if (then === "close") return { statuses, ending: kind };
    if (then === "end") await wire.end();
    for (let response; (response = await wire.response("GET")) !== null;) {
      statuses.push(response.status);
      if (isAmong(answers, "GET", response.status, response.body)) continue;
      throw new Wrong(
        `to ${kind} ${JSON.stringify(bytes)}: ${told(response)}: expected ${
          anyOf(answers)
        } or none`,
      );
    }
    return { statuses, ending: kind };
  }
}

async function send(wire: Wire, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    if (!await wire.send(piece)) return;
  }
}

/** Bytes come in pieces that nobody can foresee. */
function cut(dice: Dice, bytes: string): string[] {
  if (dice.percent(70)) return [bytes];
  const at = dice.below(bytes.length + 1);
  return [bytes.slice(0, at), bytes.slice(at)];
}

function told({ status, body }: WireResponse): string {
  return `${status} ${JSON.stringify(body.slice(0, 300))}`;
}

function anyOf(answers: Sent["answers"]): string {
  return answers.map(([status, body]) =>
    `${status} ${body instanceof RegExp ? body : JSON.stringify(body)}`
  ).join(" or ");
}
