import { Dice } from "../load/dice.ts";
import { CutError, type Wire, WireError, type WireResponse } from "../load/wire.ts";
import { type Ending, ending } from "./endings.ts";
import { type ExpectedResponse, matchesAny } from "./model.ts";
import { type GeneratedRequest, RequestGenerator } from "./requests.ts";
import type { World } from "./world.ts";

/** The most requests on one connection. */
const MAX_REQUESTS = 40;

/** The most time until the daemon responds or closes the connection, in seconds. */
const RESPONSE_TIMEOUT_S = 20;

/** A longer ending waits for all responses: a reset during the sending would discard them. */
const MAX_TOGETHER_BYTES = 16_384;

/** The ending of a conversation after a response with `Connection: close`. */
export const CLOSED = "closed by the daemon";

/** The daemon broke the contract. */
export class ContractError extends Error {
  override name = "ContractError";
}

/** The daemon closed the connection before its last response, as it may where clients do not read. */
export class ConnectionCutError extends Error {
  override name = "ConnectionCutError";
}

/** The outcome of a conversation. */
export interface Outcome {
  /** The statuses of the responses, in order. */
  readonly statuses: readonly number[];
  /** The kind of the end. */
  readonly ending: string;
}

/** The bytes of one connection: valid requests, then possibly an ending that is not valid. */
export class Conversation {
  readonly #requests: readonly GeneratedRequest[];
  readonly #ending: Ending | null;
  readonly #pieces: readonly string[];
  /** The bytes that wait for the responses to all requests. */
  readonly #laterPieces: readonly string[];

  /**
   * Generates the bytes.
   *
   * @param seed The seed of the run.
   * @param number The number of the conversation in the run.
   * @param world The services, and their downtimes.
   * @param owner Identifies the connection among those that are open.
   */
  constructor(seed: number, number: number, world: World, owner: string) {
    const dice = new Dice(seed, number);
    const generator = new RequestGenerator(dice, world, owner);
    const requests: GeneratedRequest[] = [];
    const most = dice.below(MAX_REQUESTS + 1);
    while (requests.length < most && !requests.at(-1)?.last) requests.push(generator.next());
    this.#requests = requests;
    this.#ending = requests.at(-1)?.last ? null : ending(dice, generator);
    const requestBytes = requests.map(({ bytes }) => bytes).join("");
    const last = this.#ending?.bytes ?? "";
    const together = last.length < MAX_TOGETHER_BYTES && dice.percent(70);
    this.#pieces = split(dice, together ? requestBytes + last : requestBytes);
    this.#laterPieces = together ? [] : split(dice, last);
  }

  /** The number of requests, with the ending. */
  get length(): number {
    return this.#requests.length + (this.#ending === null ? 0 : 1);
  }

  /** All bytes, one character for each. */
  get bytes(): string {
    return [...this.#pieces, ...this.#laterPieces].join("");
  }

  /**
   * Sends the bytes, and checks the responses.
   *
   * @param wire A connection to the daemon.
   * @throws {ContractError} If the daemon breaks the contract.
   */
  async run(wire: Wire): Promise<Outcome> {
    // Counts only seconds in which this program ran: the daemon may not have run in the others.
    let seconds = 0;
    const clock = setInterval(() => {
      if (++seconds === RESPONSE_TIMEOUT_S) wire[Symbol.dispose]();
    }, 1000);
    const sending = send(wire, this.#pieces);
    try {
      const outcome = await this.#readResponses(wire, sending);
      if (seconds < RESPONSE_TIMEOUT_S) return outcome;
    } catch (error) {
      if (seconds < RESPONSE_TIMEOUT_S) {
        if (error instanceof CutError) throw new ConnectionCutError(error.message);
        throw error instanceof WireError ? new ContractError(error.message) : error;
      }
    } finally {
      clearInterval(clock);
      wire[Symbol.dispose]();
      await sending;
    }
    const sent = JSON.stringify(this.bytes.slice(-500));
    throw new ContractError(`no response for ${RESPONSE_TIMEOUT_S} s after ${sent}`);
  }

  async #readResponses(wire: Wire, sending: Promise<void>): Promise<Outcome> {
    const statuses: number[] = [];
    let isClosing = false;
    for (const { bytes, method, expected } of this.#requests) {
      // Any response may be the last on its connection.
      if (isClosing) return { statuses, ending: CLOSED };
      const response = await wire.response(method);
      if (response === null) {
        throw new ConnectionCutError(`no response to ${JSON.stringify(bytes)}`);
      }
      isClosing = response.isLast;
      statuses.push(response.status);
      if (matchesAny(expected, method, response.status, response.body)) continue;
      throw new ContractError(
        `${JSON.stringify(bytes)}: expected ${anyOf(expected)}: received ${format(response)}`,
      );
    }
    if (isClosing && this.#ending !== null) return { statuses, ending: CLOSED };
    if (this.#ending === null) return { statuses, ending: "none" };
    const { kind, bytes, expected, then } = this.#ending;
    await sending;
    await send(wire, this.#laterPieces);
    if (then === "close") return { statuses, ending: kind };
    if (then === "end") await wire.end();
    try {
      for (let response; (response = await wire.response("GET")) !== null;) {
        statuses.push(response.status);
        if (matchesAny(expected, "GET", response.status, response.body)) continue;
        throw new ContractError(
          `${kind} ${JSON.stringify(bytes)}: expected ${anyOf(expected)} or none: received ${
            format(response)
          }`,
        );
      }
    } catch (error) {
      // Deno.serve cuts a streamed response to a client that has closed its half of the connection.
      if (then !== "end" || !(error instanceof CutError)) throw error;
    }
    return { statuses, ending: kind };
  }
}

async function send(wire: Wire, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    if (!await wire.send(piece)) return;
  }
}

/** Splits some of the texts into two pieces. */
function split(dice: Dice, bytes: string): string[] {
  if (dice.percent(70)) return [bytes];
  const at = dice.below(bytes.length + 1);
  return [bytes.slice(0, at), bytes.slice(at)];
}

function format({ status, body }: WireResponse): string {
  return `${status} ${JSON.stringify(body.slice(0, 300))}`;
}

function anyOf(expected: readonly ExpectedResponse[]): string {
  return expected.map(([status, body]) =>
    `${status} ${body instanceof RegExp ? body : JSON.stringify(body)}`
  ).join(" or ");
}
