/**
 * A real gRPC server.
 *
 * @module
 */

import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation, type ServingStatusMap } from "grpc-health-check";

/** A gRPC server of 127.0.0.1, in this process. */
export class Grpc implements AsyncDisposable {
  readonly #server: Server;
  readonly #health: HealthImplementation | null;

  /** Its port. */
  readonly port: number;

  private constructor(server: Server, health: HealthImplementation | null, port: number) {
    this.#server = server;
    this.#health = health;
    this.port = port;
  }

  /**
   * Starts one.
   *
   * @param health What it says of its services by grpc.health.v1; null for a server without that.
   */
  static async start(health: ServingStatusMap | null): Promise<Grpc> {
    const server = new Server();
    const implementation = health === null ? null : new HealthImplementation(health);
    implementation?.addToServer(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
        return error === null ? resolve(port) : reject(error);
      });
    });
    return new Grpc(server, implementation, port);
  }

  /** Changes what it says of a service. */
  setStatus(service: string, status: "SERVING" | "NOT_SERVING"): void {
    this.#health?.setStatus(service, status);
  }

  /** Stops it, and closes its connections. */
  stop(): void {
    this.#server.forceShutdown();
  }

  /** Stops it. */
  [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    return Promise.resolve();
  }
}
