import type { Identity } from "../net/tls_connection.ts";
import type { Log } from "../log/log.ts";
import { LogThrottle } from "../log/throttle.ts";
import type { InternalErrorCounters, ListenerCounters } from "../metrics/counters.ts";
import { Outflow } from "./outflow.ts";
import { SlowReaderError } from "./responses.ts";
import type { Router } from "./router.ts";

/** What a {@linkcode Listener} works with. */
export interface ListenerOptions {
  /** The address to listen on. */
  readonly hostname: string;
  /** The TCP port to listen on; 0 for any free port. */
  readonly port: number;
  /** Whether other workers listen on the same port. */
  readonly shared: boolean;
  /** The first TLS identity; null for plain HTTP. */
  readonly identity: Identity | null;
  /** Responds to requests. */
  readonly router: Router;
  /** Counts rotations and crashes. */
  readonly counters: ListenerCounters;
  /** Counts internal errors. */
  readonly errors: InternalErrorCounters;
  /** Where errors are logged. */
  readonly log: Log;
  /** Bounds the bytes that wait for clients; a new one by default. */
  readonly outflow?: Outflow;
}

/**
 * How many servers share a port. A server that is terminated still gets its share of new connections for some
 * milliseconds, and loses them: more servers make that share smaller.
 */
export const SERVERS_PER_PORT = 8;

/** How long to wait after a failed restart, in milliseconds. */
const RETRY_MS = 10;

/** How long the descriptors of an aborted server take to become free, in milliseconds. */
const RELIEF_MS = 50;

/**
 * Serves one port.
 *
 * `Deno.serve` never times out a connection and gives no access to connections. So hanging connections are closed
 * by rotation: {@linkcode rotate} starts a server in place of the oldest, {@linkcode terminate} aborts the oldest.
 *
 * A server that runs out of file descriptors accepts nothing more but keeps its connections. It is aborted at
 * once, which frees the descriptors, and replaced.
 */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #outflow: Outflow;
  readonly #crashes = new LogThrottle();
  readonly #failures = new LogThrottle();
  /** Oldest first. */
  readonly #servers: Server[] = [];
  #retiring: Server | undefined;
  #stopping = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #relievedAt = -Infinity;
  #identity: Identity | null;

  /** The listening address. */
  readonly addr: Deno.NetAddr;

  /**
   * Starts to listen.
   *
   * @param options The parts to use.
   * @throws {Error} If the port is not available.
   */
  constructor(options: ListenerOptions) {
    const { hostname, port, shared } = options;
    this.#options = options;
    this.#identity = options.identity;
    this.#outflow = options.outflow ?? new Outflow();
    // With `reusePort`, another program of the same user could hold the port unnoticed.
    if (!shared && port !== 0) Deno.listen({ hostname, port }).close();
    const first = this.#serve(port);
    this.#servers.push(first);
    this.addr = first.addr;
    this.#fill();
  }

  /** The age of the oldest server, in milliseconds. */
  get age(): number {
    const [oldest] = this.#servers;
    return oldest === undefined ? 0 : performance.now() - oldest.startedAt;
  }

  /** Whether the oldest server has a TLS identity that was renewed since. */
  get isOutdated(): boolean {
    const [oldest] = this.#servers;
    return oldest !== undefined && oldest.identity !== this.#identity;
  }

  /** Sets the TLS identity of the servers that are started from now on. The reaper rotates the others. */
  renew(identity: Identity | null): void {
    if (identity?.cert === this.#identity?.cert && identity?.key === this.#identity?.key) return;
    this.#identity = identity;
  }

  /** How many requests are in flight. */
  get inFlight(): number {
    const serving = this.#servers.reduce((sum, { inFlight }) => sum + inFlight, 0);
    return serving + (this.#retiring?.inFlight ?? 0);
  }

  /** The server that waits for its termination, if there is one. */
  get retiring(): RetiringServer | undefined {
    return this.#retiring;
  }

  /**
   * Starts a server in place of the oldest, which retires. A retiring server still accepts connections: Deno can
   * only close the listening socket together with all connections.
   *
   * @returns False if another server is retiring already, or no server could be started.
   */
  rotate(): boolean {
    if (this.#stopping || this.#retiring !== undefined || this.#retry !== undefined) return false;
    try {
      this.#servers.push(this.#serve(this.addr.port));
    } catch (error) {
      this.#logError(this.#failures, "cannot rotate a server of port {port}", error);
      return false;
    }
    this.#retiring = this.#servers.shift()!;
    this.#retiring.retire(this.#retiring.identity !== this.#identity);
    this.#options.counters.renewals++;
    return true;
  }

  /**
   * Aborts the oldest server and all its connections, and starts another as soon as there is a descriptor for it. For
   * a process without any: there, no server can be started before another is aborted.
   *
   * @returns False if the last server was aborted so lately that its descriptors may not be free yet.
   */
  relieve(): boolean {
    const [oldest] = this.#servers;
    const now = performance.now();
    if (this.#stopping || oldest === undefined || now < this.#relievedAt + RELIEF_MS) return false;
    this.#relievedAt = now;
    this.#servers.shift();
    this.#options.counters.renewals++;
    this.#abort(oldest);
    if (this.#retry === undefined) this.#retry = setTimeout(() => this.#restart(), RETRY_MS);
    return true;
  }

  /** Aborts the retiring server and all its connections. */
  terminate(): void {
    const retiring = this.#retiring;
    if (retiring === undefined) return;
    this.#retiring = undefined;
    this.#abort(retiring);
  }

  /** Closes the retiring server: its requests in flight end, and kept connections are closed. */
  closeRetiring(): void {
    const retiring = this.#retiring;
    this.#retiring = undefined;
    retiring?.close();
  }

  /**
   * Accepts nothing more and waits for the requests in flight. After `shutdown` Deno cannot abort a connection:
   * the rest ends with the program.
   *
   * @param timeoutMs How long to wait at most, in milliseconds.
   */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#retry);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      Promise.all([...this.#servers, this.#retiring].map((server) => server?.shutdown())),
      new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs)),
    ]);
    clearTimeout(timer);
  }

  #serve(port: number): Server {
    const server = new Server(port, this.#options, this.#identity, this.#outflow);
    const onEnd = (why: unknown) => this.#onEnd(server, why);
    server.finished.then(() => onEnd("the server ended"), onEnd);
    return server;
  }

  #fill(): void {
    while (this.#servers.length < SERVERS_PER_PORT) this.#servers.push(this.#serve(this.addr.port));
  }

  #onEnd(server: Server, why: unknown): void {
    if (this.#stopping || server.isAborted || server.isClosed) return;
    this.#options.counters.falls++;
    this.#abort(server);
    if (server === this.#retiring) {
      this.#retiring = undefined;
      return;
    }
    this.#servers.splice(this.#servers.indexOf(server), 1);
    if (this.#retry === undefined) this.#restart(why);
  }

  /** @param why Why a server ended; absent if it was aborted on purpose. */
  #restart(why?: unknown): void {
    try {
      this.#fill();
      this.#retry = undefined;
      if (why !== undefined) this.#logError(this.#crashes, "serving port {port} again", why);
    } catch (error) {
      this.#logError(this.#failures, "cannot serve port {port} again", error);
      this.#retry = setTimeout(() => this.#restart(why), RETRY_MS);
    }
  }

  #logError(throttle: LogThrottle, message: string, why: unknown): void {
    const { port } = this.addr;
    throttle.once((others) =>
      this.#options.log.error(`${message}: {why}{others}`, { port, why: String(why), others })
    );
  }

  #abort(server: Server): void {
    this.#options.counters.cut_requests += server.inFlight;
    server.abort();
  }
}

/** A server that waits for its termination. */
export type RetiringServer = Pick<Server, "inFlight" | "idleMs" | "retiringMs" | "isOutdated">;

/** One of the servers of a port. */
class Server {
  readonly #controller = new AbortController();
  readonly #http: Deno.HttpServer<Deno.NetAddr>;

  /** Its TLS identity; null for plain HTTP. */
  readonly identity: Identity | null;
  /** When it started to listen, by `performance.now()`. */
  readonly startedAt: number = performance.now();
  /** How many requests are in flight. Those that are answered at once do not count. */
  inFlight = 0;
  /** Whether it retires because its TLS identity was renewed. */
  isOutdated = false;
  /** Whether it was closed on purpose. */
  isClosed = false;
  #idleSince = this.startedAt;
  #retiredAt = 0;

  constructor(
    port: number,
    options: ListenerOptions,
    identity: Identity | null,
    outflow: Outflow,
  ) {
    const { hostname, router, log, errors } = options;
    this.identity = identity;
    const settle = () => {
      if (--this.inFlight === 0) this.#idleSince = performance.now();
    };
    this.#http = Deno.serve({
      hostname,
      port,
      reusePort: true,
      ...identity,
      signal: this.#controller.signal,
      onListen: () => {},
      onError: (error) => {
        // Thrown by the body of a response that has started: Deno sends nothing else.
        if (error instanceof SlowReaderError) return new Response(null, { status: 503 });
        errors.unforeseen++;
        log.error("internal error in a response: {error}", { error });
        return new Response("Internal error", { status: 503 });
      },
    }, (request, info) => {
      const response = router(request, info);
      if (!(response instanceof Promise)) return outflow.pass(response, request, info);
      this.inFlight++;
      response.then(settle, settle);
      return response.then((response) => outflow.pass(response, request, info));
    });
  }

  get addr(): Deno.NetAddr {
    return this.#http.addr;
  }

  /** Resolves after an abort or a shutdown, rejects after a crash. */
  get finished(): Promise<void> {
    return this.#http.finished;
  }

  get isAborted(): boolean {
    return this.#controller.signal.aborted;
  }

  /** How long no request has been in flight, in milliseconds. */
  get idleMs(): number {
    return this.inFlight > 0 ? 0 : performance.now() - this.#idleSince;
  }

  /** How long the server has been retiring, in milliseconds. */
  get retiringMs(): number {
    return performance.now() - this.#retiredAt;
  }

  /**
   * Starts to retire.
   *
   * @param isOutdated Whether its TLS identity was renewed.
   */
  retire(isOutdated: boolean): void {
    this.#retiredAt = performance.now();
    this.isOutdated = isOutdated;
  }

  /** Closes the server after its requests in flight. An abort is impossible then. */
  close(): void {
    this.isClosed = true;
    void this.shutdown();
  }

  /** Ends the server and all its connections. */
  abort(): void {
    this.#controller.abort();
  }

  /** Accepts nothing more, and resolves without requests in flight. An abort is impossible then. */
  async shutdown(): Promise<void> {
    if (!this.isAborted) await this.#http.shutdown().catch(() => {});
  }
}
