import type { ListenerCounters } from "../metrics/counters.ts";
import type { Identity } from "../config.ts";
import type { Log } from "../log.ts";
import { LogThrottle } from "../log_throttle.ts";
import { Outflow } from "./outflow.ts";
import type { Router } from "./router.ts";
import { SlowReaderError } from "./sized_response.ts";

/** What a {@linkcode Listener} works with. */
export interface ListenerOptions {
  /** The address to listen on. */
  readonly hostname: string;
  /** The TCP port to listen on; 0 for any that is free. */
  readonly port: number;
  /** Whether others listen on the same port, and the system shares connections out among them. */
  readonly shared: boolean;
  /** What TLS is spoken with; null for none. */
  readonly identity: Identity | null;
  /** Answers requests. */
  readonly router: Router;
  /** Where it counts what becomes of its servers. */
  readonly counters: ListenerCounters;
  /** Where faults are told. */
  readonly log: Log;
  /** Bounds what waits for readers; one of its own, if not given. */
  readonly outflow?: Outflow;
}

/**
 * How many servers serve a port side by side. To cut one takes some milliseconds, in which the system still
 * gives it its share of the new connections, which are lost: the more there are, the less that is.
 */
export const SERVERS_PER_PORT = 8;

/** How long to wait before serving again if that has just failed, in milliseconds. */
const RETRY_MS = 10;

/**
 * Serves one port until it is told to stop.
 *
 * `Deno.serve` never ends a connection by itself, and shows none to who would. So connections that
 * hang are cut by a change of servers: {@linkcode rotate} lets another one listen in the place of the
 * oldest, and {@linkcode terminate} ends that one with all connections that it still has.
 *
 * A server accepts nothing more once the program has run out of file descriptors, although it keeps
 * its connections. It is then cut at once, which frees them, and another one serves.
 */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #outflow: Outflow;
  readonly #falls = new LogThrottle();
  readonly #failures = new LogThrottle();
  /** The oldest first. */
  readonly #servers: Server[] = [];
  #retiring: Server | undefined;
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
    const { hostname, port, shared } = options;
    this.#options = options;
    this.#outflow = options.outflow ?? new Outflow();
    // Servers that share a port would share it with another program of the same user's, too.
    if (!shared && port !== 0) Deno.listen({ hostname, port }).close();
    const first = this.#serve(port);
    this.#servers.push(first);
    this.addr = first.addr;
    this.#fill();
  }

  /** For how long the oldest server has been listening, in milliseconds. */
  get age(): number {
    const [oldest] = this.#servers;
    return oldest === undefined ? 0 : performance.now() - oldest.startedAt;
  }

  /** How many requests are being answered. */
  get inFlight(): number {
    const serving = this.#servers.reduce((sum, { inFlight }) => sum + inFlight, 0);
    return serving + (this.#retiring?.inFlight ?? 0);
  }

  /** The server that waits to be cut, if one does. */
  get retiring(): RetiringServer | undefined {
    return this.#retiring;
  }

  /**
   * Lets another server listen in the place of the oldest. That goes on until it is cut, and takes its
   * share of the new connections, since it can only stop listening together with all else.
   *
   * @returns False if there is one already that waits to be cut, or none could be had.
   */
  rotate(): boolean {
    if (this.#stopping || this.#retiring !== undefined || this.#retry !== undefined) return false;
    const { counters, log } = this.#options;
    const { port } = this.addr;
    try {
      this.#servers.push(this.#serve(port));
    } catch (error) {
      this.#failures.once((others) =>
        log.error("cannot renew a server of port {port}: {why}{others}", {
          port,
          why: told(error),
          others,
        })
      );
      return false;
    }
    this.#retiring = this.#servers.shift()!;
    this.#retiring.leave();
    counters.renewals++;
    return true;
  }

  /** Cuts the server that was replaced, and all its connections. */
  terminate(): void {
    const retiring = this.#retiring;
    if (retiring === undefined) return;
    this.#retiring = undefined;
    this.#abort(retiring);
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
      Promise.all([...this.#servers, this.#retiring].map((server) => server?.shutdown())),
      new Promise<void>((resolve) => timer = setTimeout(resolve, patience)),
    ]);
    clearTimeout(timer);
  }

  #serve(port: number): Server {
    const server = new Server(port, this.#options, this.#outflow);
    const ended = (why: string) => this.#ended(server, why);
    server.finished.then(() => ended("it ended"), (error) => ended(told(error)));
    return server;
  }

  #fill(): void {
    while (this.#servers.length < SERVERS_PER_PORT) this.#servers.push(this.#serve(this.addr.port));
  }

  #ended(server: Server, why: string): void {
    if (this.#stopping || server.isAborted) return;
    this.#options.counters.falls++;
    this.#abort(server);
    if (server === this.#retiring) {
      this.#retiring = undefined;
      return;
    }
    this.#servers.splice(this.#servers.indexOf(server), 1);
    if (this.#retry === undefined) this.#again(why);
  }

  #again(why: string): void {
    const { log } = this.#options;
    const { port } = this.addr;
    try {
      this.#fill();
      this.#retry = undefined;
      this.#falls.once((others) =>
        log.error("serving port {port} again: {why}{others}", { port, why, others })
      );
    } catch (error) {
      this.#failures.once((others) =>
        log.error("cannot serve port {port} again: {why}{others}", {
          port,
          why: told(error),
          others,
        })
      );
      this.#retry = setTimeout(() => this.#again(why), RETRY_MS);
    }
  }

  #abort(server: Server): void {
    this.#options.counters.cut_requests += server.inFlight;
    server.abort();
  }
}

/**
 * What went wrong, without its stack: to tell where that leads in the sources, Deno opens files, and ends
 * the whole program if it can have no descriptor.
 */
function told(error: unknown): string {
  return String(error);
}

/** A server that waits to be cut. */
export interface RetiringServer {
  /** How many requests it is answering. Those that are answered at once are none. */
  readonly inFlight: number;
  /** For how long it has been answering nobody, in milliseconds; 0 while it does. */
  readonly rested: number;
  /** For how long it has been waiting, in milliseconds. */
  readonly waited: number;
}

/** One of the servers that serve a port side by side and one after another. */
class Server implements RetiringServer {
  readonly #controller = new AbortController();
  readonly #http: Deno.HttpServer<Deno.NetAddr>;

  /** When it began to listen. */
  readonly startedAt: number = performance.now();
  inFlight = 0;
  #restingSince = this.startedAt;
  #leftAt = 0;

  constructor(port: number, options: ListenerOptions, outflow: Outflow) {
    const { hostname, identity, router, log } = options;
    const answered = () => {
      if (--this.inFlight === 0) this.#restingSince = performance.now();
    };
    this.#http = Deno.serve({
      hostname,
      port,
      reusePort: true,
      ...identity,
      signal: this.#controller.signal,
      onListen: () => {},
      onError: (error) => {
        // It comes from the body of a response that has begun: no other can be sent.
        if (error instanceof SlowReaderError) return new Response(null, { status: 503 });
        log.error("cannot answer a request: {error}", { error });
        return new Response("Internal error", { status: 503 });
      },
    }, (request, info) => {
      const response = router(request, info);
      if (!(response instanceof Promise)) return outflow.pass(response, request, info);
      this.inFlight++;
      response.then(answered, answered);
      return response.then((response) => outflow.pass(response, request, info));
    });
  }

  get addr(): Deno.NetAddr {
    return this.#http.addr;
  }

  /** Resolves when it was aborted or shut down, rejects when it has fallen. */
  get finished(): Promise<void> {
    return this.#http.finished;
  }

  get isAborted(): boolean {
    return this.#controller.signal.aborted;
  }

  get rested(): number {
    return this.inFlight > 0 ? 0 : performance.now() - this.#restingSince;
  }

  get waited(): number {
    return performance.now() - this.#leftAt;
  }

  /** Begins to wait. */
  leave(): void {
    this.#leftAt = performance.now();
  }

  /** Ends it with all its connections. */
  abort(): void {
    this.#controller.abort();
  }

  /** Accepts nothing more, and resolves when what is under way is answered. It cannot be aborted then. */
  async shutdown(): Promise<void> {
    if (!this.isAborted) await this.#http.shutdown().catch(() => {});
  }
}
