import type { Socket } from "node:net";
import { afterRequest, type Behaviour, FaultyServer, sending } from "./faulty.ts";

/** A web service that responds when the test says so. */
export class DeferredService implements AsyncDisposable {
  readonly #server: FaultyServer;
  readonly #pending: Socket[];
  /** Handles later requests. */
  #next: Behaviour;

  private constructor(server: FaultyServer, pending: Socket[]) {
    this.#server = server;
    this.#pending = pending;
    this.#next = (socket) => pending.push(socket);
  }

  /** Starts a service. */
  static async start(): Promise<DeferredService> {
    const pending: Socket[] = [];
    const server = await FaultyServer.start(afterRequest((socket) => service.#next(socket)));
    const service = new DeferredService(server, pending);
    return service;
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
    const respond = responding(body);
    for (const socket of this.#pending.splice(0)) respond(socket);
  }

  /**
   * Responds to all pending requests, and at once to all later ones.
   *
   * @param body The body of the response.
   */
  respondToAll(body: string): void {
    this.#next = responding(body);
    this.respond(body);
  }

  /** Stops the service. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}

function responding(body: string): Behaviour {
  const response = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  return sending(response, (socket) => socket.end());
}
