import { CutError, Wire } from "../load/wire.ts";
import { type Check, expectedResponses, matchesAny } from "./model.ts";
import type { World } from "./world.ts";

/** The pause between two rounds, in milliseconds. */
const PAUSE_MS = 50;

/** A well-behaved client that repeats the same checks, each on its own connection. */
export class Canary implements AsyncDisposable {
  readonly #port: number;
  readonly #world: World;
  readonly #running: Promise<void>;
  #stopped = false;

  /** The number of correct responses. */
  correct = 0;
  /** The unexpected and the missing responses. */
  readonly failures: string[] = [];
  /** The time of the slowest response, in milliseconds. */
  slowest = 0;

  /**
   * @param port The daemon's port.
   * @param world The services to check.
   */
  constructor(port: number, world: World) {
    this.#port = port;
    this.#world = world;
    this.#running = this.#run();
  }

  /** Stops the checks. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { alive, closed } = this.#world.ports;
    const check = (protocol: string, service: string, port: number, path = "") => {
      return { protocol, service, port: String(port), path, method: "GET" };
    };
    const checks: readonly Check[] = [
      check("spool", "canary", 0),
      check("spool", "condemned", 0),
      check("tcp", "by-port", 8081),
      check("tcp", "canary", alive),
      check("http", "canary", alive, "/code/418"),
      check("http", "canary", closed),
    ];
    while (!this.#stopped) {
      // The daemon may cut a connection when other clients do not read: one retry, no more.
      for (const check of checks) {
        if (!await this.#send(check, true)) await this.#send(check, false);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Sends a check, and returns whether a response came. */
  async #send(check: Check, mayBeCut: boolean): Promise<boolean> {
    const { protocol, service, port, path, method } = check;
    const target = `/${protocol}/${service}/${port}${path}`;
    const start = performance.now();
    try {
      using wire = await Wire.open(this.#port);
      await wire.send(`${method} ${target} HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n`);
      const response = await wire.response(method);
      if (response === null && mayBeCut) return false;
      if (response === null) throw new Error("no response");
      const { status, body } = response;
      const expected = expectedResponses(check, this.#world.downtimes, this.#world.ports);
      if (!matchesAny(expected, method, status, body)) throw new Error(`${status} ${body}`);
      this.correct++;
    } catch (error) {
      if (error instanceof CutError && mayBeCut) return false;
      this.failures.push(`canary: ${target}: ${(error as Error).message}`);
    }
    this.slowest = Math.max(this.slowest, performance.now() - start);
    return true;
  }
}
