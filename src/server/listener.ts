import type { Log } from "../log.ts";
import type { Router } from "./router.ts";

/** What a {@linkcode Listener} works with. */
export interface ListenerOptions {
  /** The address to listen on. */
  readonly hostname: string;
  /** The TCP port to listen on; 0 for any that is free. */
  readonly port: number;
  /** Whether others listen on the same port, and the system shares connections out among them. */
  readonly shared: boolean;
  /** Answers requests. */
  readonly router: Router;
  /** Where faults are told. */
  readonly log: Log;
}

/** How long to wait before serving again if that has just failed, in milliseconds. */
const RETRY_MS = 50;

/**
 * Serves one port until it is told to stop.
 *
 * `Deno.serve` ends for good when the program runs out of file descriptors. Its fall
 * frees them, so serving again at once works.
 */
export class Listener {
  readonly #options: ListenerOptions;
  #server: Deno.HttpServer<Deno.NetAddr>;
  #stopping = false;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** The address and port that are served. */
  readonly addr: Deno.NetAddr;

  /**
   * Begins to serve.
   *
   * @param options What to work with.
   * @throws {Error} If the port cannot be had.
   */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = this.#serve(options.port);
    this.addr = this.#server.addr;
  }

  /**
   * Accepts nothing more, and finishes what is under way. A client that takes longer is cut off by the
   * end of the program: after `shutdown`, Deno has no other way to do it.
   *
   * @param patience For how many milliseconds at most.
   */
  async stop(patience: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#retry);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      this.#server.shutdown().catch(() => {}),
      new Promise<void>((resolve) => timer = setTimeout(resolve, patience)),
    ]);
    clearTimeout(timer);
  }

  #serve(port: number): Deno.HttpServer<Deno.NetAddr> {
    const { hostname, shared, router, log } = this.#options;
    const server = Deno.serve({
      hostname,
      port,
      reusePort: shared,
      onListen: () => {},
      onError: (error) => {
        log.error("cannot answer a request: {error}", { error });
        return new Response("Internal error", { status: 503 });
      },
    }, router);
    server.finished.then(() => this.#again("it ended"), (error) => this.#again(String(error)));
    return server;
  }

  #again(why: string): void {
    if (this.#stopping) return;
    const { log } = this.#options;
    const { port } = this.addr;
    try {
      this.#server = this.#serve(port);
      log.error("serving port {port} again: {why}", { port, why });
    } catch (error) {
      // Said once: whoever holds the port may hold it for long.
      if (this.#retry === undefined) {
        log.error("cannot serve port {port} again: {error}", { port, error });
      }
      this.#retry = setTimeout(() => this.#again(why), RETRY_MS);
    }
  }
}
