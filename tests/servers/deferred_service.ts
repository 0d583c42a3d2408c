import type { Socket } from "node:net";
import { afterRequest, FaultyServer, sending } from "./faulty.ts";

/** A web service that responds when the test says so. */
export class DeferredService implements AsyncDisposable {
  readonly #server: FaultyServer;
  readonly #pending: Socket[];

  private constructor(server: FaultyServer, pending: Socket[]) {
    this.#server = server;
    this.#pending = pending;
  }

  /** Starts a service. */
  static async start(): Promise<DeferredService> {
    const pending: Socket[] = [];
    return new DeferredService(
      await FaultyServer.start(afterRequest((socket) => pending.push(socket))),
      pending,
    );
  }

  /** Its port. */
  get port(): number {
    return this.#server.port;
  }

  /** How many requests wait for a response. */
  get pending(): number {
    return this.#pending.length;
  }

  /** How many connections it has accepted. */
  get accepted(): number {
    return this.#server.accepted;
  }

  /**
   * Responds to all pending requests.
   *
   * @param body The body of the response.
   */
  respond(body: string): void {
    const respond = sending(
      `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      (socket) => socket.end(),
    );
    for (const socket of this.#pending.splice(0)) respond(socket);
  }

  /** Stops the service. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}
