import type { Socket } from "node:net";
import { afterRequest, FaultyServer, sending } from "./faulty.ts";

/** A web service that answers what it is asked when the test says so. */
export class DeferredService implements AsyncDisposable {
  readonly #server: FaultyServer;
  readonly #waiting: Socket[];

  private constructor(server: FaultyServer, waiting: Socket[]) {
    this.#server = server;
    this.#waiting = waiting;
  }

  /** Starts it. */
  static async start(): Promise<DeferredService> {
    const waiting: Socket[] = [];
    return new DeferredService(
      await FaultyServer.start(afterRequest((socket) => waiting.push(socket))),
      waiting,
    );
  }

  /** Its port. */
  get port(): number {
    return this.#server.port;
  }

  /** How many wait for an answer. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** How often it was asked. */
  get accepted(): number {
    return this.#server.accepted;
  }

  /**
   * Answers everybody who waits.
   *
   * @param body What to say.
   */
  answer(body: string): void {
    const say = sending(
      `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      (socket) => socket.end(),
    );
    for (const socket of this.#waiting.splice(0)) say(socket);
  }

  /** Stops it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}
