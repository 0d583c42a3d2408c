import type { Dice } from "../load/dice.ts";
import type { WireResponse } from "../load/wire.ts";
import {
  afterRequest,
  type Behaviour,
  closing,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../servers/faulty.ts";
import { MAX_BODY_BYTES } from "../../src/net/http_client.ts";
import { tinyChunks } from "../load/hoarding.ts";

/** How a service may be. */
export const STATES = [
  "alive",
  "slow",
  "failing",
  "dead",
  "hanging",
  "speaking garbage",
  "resetting",
  "sending one-byte chunks",
  "sending one-byte chunks without an end",
] as const;

/** How a service is. */
export type State = typeof STATES[number];

/** How long a slow one takes to answer, in milliseconds. */
const SLOW_MS = 2500;

/** How long a check may take, in milliseconds. */
export const TIMEOUT_MS = 4000;

/** How long one takes at most where nothing keeps it waiting, on a busy machine. */
const QUICK_MS = 2000;

/** How long one takes otherwise. */
const LASTS_MS: Readonly<Partial<Record<State, number>>> = {
  slow: SLOW_MS + QUICK_MS,
  hanging: TIMEOUT_MS + QUICK_MS,
};

/** Ports are chosen from here on: below those that the system gives to clients. */
const LEAST_PORT = 12_000;
const MOST_PORT = 31_000;

/** How a service was for a while: times are of `performance.now()`, and what overlaps may be either. */
interface Phase {
  readonly state: State;
  /** Its response when it is well. */
  readonly word: string;
  readonly from: number;
  until: number;
}

/** A web service that dies, hangs and returns, and knows how it was when. */
export class Service implements AsyncDisposable {
  #server: FaultyServer | undefined;
  #phases: Phase[];
  #behaviour: Behaviour;

  /** Its name. */
  readonly name: string;
  /** Its port of 127.0.0.1. */
  readonly port: number;
  /** How often it became something else. */
  changes = 0;

  private constructor(name: string, port: number) {
    this.name = name;
    this.port = port;
    const word = `${name} 0`;
    this.#phases = [{ state: "alive", word, from: performance.now(), until: Infinity }];
    this.#behaviour = behaviourOf("alive", word);
  }

  /** Starts it on a port that is free. */
  static async start(name: string, dice: Dice): Promise<Service> {
    for (;;) {
      const service = new Service(name, dice.between(LEAST_PORT, MOST_PORT));
      try {
        await service.#listen();
        return service;
      } catch (error) {
        if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
      }
    }
  }

  /** How it is, or is about to be. */
  get state(): State {
    return this.#phases.at(-1)!.state;
  }

  /** Becomes something else. */
  async become(state: State): Promise<void> {
    const before = this.#phases.at(-1)!;
    const word = `${this.name} ${++this.changes}`;
    this.#phases.push({ state, word, from: performance.now(), until: Infinity });
    this.#behaviour = behaviourOf(state, word);
    if (state === "dead") await this[Symbol.asyncDispose]();
    else if (this.#server === undefined) await this.#listen();
    before.until = performance.now();
  }

  /**
   * Returns whether a response is right.
   *
   * @param protocol What it was checked by: `http` or `tcp`.
   * @param method The method of the request.
   * @param answer The answer.
   * @param since The earliest end of the check that it may come from.
   * @param answered When it came.
   * @param fresh Whether that is the earliest beginning, too.
   */
  isTrue(
    protocol: string,
    method: string,
    answer: WireResponse,
    since: number,
    answered: number,
    fresh: boolean,
  ): boolean {
    return this.#phases.some((phase) => {
      const from = fresh ? since : since - (LASTS_MS[phase.state] ?? QUICK_MS);
      return phase.from <= answered && phase.until >= from &&
        fits(phase, protocol, method, answer);
    });
  }

  /** Forgets how it was before a moment. */
  forget(before: number): void {
    this.#phases = this.#phases.filter((phase) => phase.until > before);
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.[Symbol.asyncDispose]();
  }

  #behave: Behaviour = (socket) => {
    // The client closes when it has read enough; then this end closes, too.
    socket.on("end", () => socket.end());
    this.#behaviour(socket);
  };

  async #listen(): Promise<void> {
    this.#server = await FaultyServer.start(this.#behave, { port: this.port });
  }
}

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

function behaviourOf(state: State, word: string): Behaviour {
  const say = (status: string) =>
    sending(`HTTP/1.1 ${status}\r\nContent-Length: ${word.length}\r\n\r\n${word}`, closing);
  switch (state) {
    case "alive":
      return afterRequest(say("200 OK"));
    case "slow":
      return afterRequest((socket) => {
        const timer = setTimeout(() => say("200 OK")(socket), SLOW_MS);
        socket.on("close", () => clearTimeout(timer));
      });
    case "failing":
      return afterRequest(say("500 Internal Server Error"));
    case "sending one-byte chunks":
      return afterRequest(sending(`${CHUNKED}${tinyChunks(word)}0\r\n\r\n`, closing));
    case "sending one-byte chunks without an end":
      return afterRequest(sending(CHUNKED, flooding(tinyChunks("x"))));
    case "speaking garbage":
      return sending("\x16\x03\x01\0\xff\0".repeat(100), closing);
    case "resetting":
      return resetting;
    case "hanging":
    case "dead":
      return silent;
  }
}

function fits(
  { state, word }: Phase,
  protocol: string,
  method: string,
  { status, body }: WireResponse,
): boolean {
  const matches = (code: number, text: string | RegExp) =>
    status === code &&
    (method === "HEAD" || (typeof text === "string" ? text === body : text.test(body)));
  const unreachable = /^Unexpected error .+ after \d+\.\d\ds$/;
  if (protocol === "tcp") {
    const accepts = matches(200, /^Connected in \d+\.\d\ds$/);
    if (state === "dead") return matches(503, unreachable);
    return accepts || (state === "resetting" && matches(503, unreachable));
  }
  switch (state) {
    case "alive":
    case "slow":
    case "sending one-byte chunks":
      return matches(200, word);
    case "sending one-byte chunks without an end":
      return matches(200, "x".repeat(MAX_BODY_BYTES));
    case "failing":
      return matches(500, word);
    case "hanging":
      return matches(
        503,
        /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/,
      );
    default:
      return matches(
        503,
        /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: (?!timed out).+$/,
      );
  }
}
