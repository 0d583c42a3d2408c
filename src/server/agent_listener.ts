import type { AgentCheckCounters, InternalErrorCounters } from "../metrics/counters.ts";
import type { Log } from "../log/log.ts";
import { LogThrottle } from "../log/throttle.ts";
import { clientAddress } from "./router.ts";

/** How long a client may take to send its line, in milliseconds. */
export const AGENT_LINE_TIMEOUT_MS = 100;

/** The longest line that gets a response, in bytes, its line feed included. */
export const MAX_AGENT_LINE_BYTES = 512;

/** How long the daemon reads on after the deadline, in milliseconds: see {@linkcode readLine}. */
const SETTLE_MS = 20;

/** If reading on takes this long, in milliseconds, the daemon has stalled and reads on once more. */
const STALL_MS = 100;

/** How often the daemon reads on at most. */
const MAX_SETTLES = 10;

/** The most connections served at once. The kernel queues the others. */
export const MAX_AGENT_CONNECTIONS = 100;

/** How long to wait after a failed accept, in milliseconds. */
const RETRY_MS = 10;

/** How much of an incomplete line is logged, in characters. */
const MAX_SHOWN = 100;

/** What an {@linkcode AgentListener} works with. */
export interface AgentListenerOptions {
  /** The address to listen on. */
  readonly hostname: string;
  /** The TCP port to listen on; 0 for any free port. */
  readonly port: number;
  /** Whether other workers listen on the same port. */
  readonly shared: boolean;
  /** Returns whether a client address is allowed. */
  readonly admits: (client: string) => boolean;
  /** Returns the response to a line, or to a client that sent nothing (undefined); null for no response. */
  readonly respond: (line: string | undefined, client: string) => string | null;
  /** Where errors are logged. */
  readonly log: Log;
  /** Counts agent checks by their responses. */
  readonly counters: AgentCheckCounters;
  /** Counts internal errors. */
  readonly errors: InternalErrorCounters;
}

/**
 * Responds to agent checks on one port: it reads one line, writes one line and closes the connection. After an
 * incomplete line or an internal error it closes without a response, and HAProxy keeps the state that it had.
 */
export class AgentListener {
  readonly #options: AgentListenerOptions;
  readonly #listener: Deno.Listener<Deno.TcpConn>;
  readonly #connections = new Set<Promise<void>>();
  readonly #failedAccepts = new LogThrottle();
  readonly #errors = new LogThrottle();
  readonly #unanswered = new LogThrottle();
  readonly #accepting: Promise<void>;
  #stopping = false;

  /** The listening address. */
  readonly addr: Deno.NetAddr;

  /**
   * Starts to listen.
   *
   * @param options What to work with.
   * @throws {Error} If the port is not available.
   */
  constructor(options: AgentListenerOptions) {
    const { hostname, port, shared } = options;
    this.#options = options;
    this.#listener = Deno.listen({ hostname, port, reusePort: shared });
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.#accepting = this.#accept();
  }

  /** Accepts nothing more, and finishes the open connections. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#listener.close();
    await this.#accepting;
    await Promise.all(this.#connections);
  }

  async #accept(): Promise<void> {
    while (!this.#stopping) {
      while (this.#connections.size >= MAX_AGENT_CONNECTIONS) {
        await Promise.race(this.#connections);
      }
      let connection;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (this.#stopping) return;
        const { port } = this.addr;
        this.#failedAccepts.once((others) =>
          this.#options.log.error("cannot accept an agent check on port {port}: {why}{others}", {
            ...{ port, why: String(error), others },
          })
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        continue;
      }
      const served = this.#serve(connection).finally(() => this.#connections.delete(served));
      this.#connections.add(served);
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    const { admits, log, counters, errors } = this.#options;
    using _ = connection;
    const client = clientAddress(connection);
    let response: string | null = null;
    try {
      if (!admits(client)) return;
      response = await this.#responseTo(connection, client);
    } catch (error) {
      if (isConnectionError(error)) return;
      errors.unforeseen++;
      this.#errors.once((others) =>
        log.error("cannot answer an agent check: {error}{others}", { error, others })
      );
    } finally {
      counters[wordOf(response)]++;
    }
    // The client may have gone by now.
    if (response !== null) {
      await connection.write(new TextEncoder().encode(`${response}\n`)).catch(() => {});
    }
  }

  /** Returns the response to a client; null if it gets none. */
  async #responseTo(connection: Deno.TcpConn, client: string): Promise<string | null> {
    const received = await readLine(connection);
    if (received.kind === "incomplete") {
      this.#warn(client, received.why, received.text);
      return null;
    }
    const line = received.kind === "line" ? received.text : undefined;
    const response = this.#options.respond(line, client);
    // A port scanner or a plain TCP check closes the connection; HAProxy waits for a response.
    if (response === null && !received.hasClosed) this.#warn(client, SENT_NOTHING, "");
    return response;
  }

  #warn(client: string, why: string, received: string): void {
    this.#unanswered.once((others) =>
      this.#options.log.warning(
        "agent check from {client} is not answered: {why}: received {received}{others}",
        { client, why, received: JSON.stringify(received.slice(0, MAX_SHOWN)), others },
      )
    );
  }
}

const SENT_NOTHING =
  'expected a line such as "web/8080\\n" (HAProxy\'s agent-send), or agent_silence in the configuration';

/** Returns what counts a response: its first word. */
function wordOf(response: string | null): keyof AgentCheckCounters {
  const [word = ""] = response?.split(" ") ?? [];
  return word === "ready" || word === "drain" || word === "maint" || word === "down"
    ? word
    : "none";
}

/** Whether the network or the client ended the connection. */
function isConnectionError(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.TimedOut;
}

/** What a client sent before the deadline. */
type Received =
  | { readonly kind: "line"; readonly text: string; readonly hasClosed: false }
  | { readonly kind: "nothing"; readonly hasClosed: boolean }
  | { readonly kind: "incomplete"; readonly text: string; readonly why: string };

/**
 * Reads the line of a client.
 *
 * After a stall of the daemon the timer fires before a read that is already possible. So the daemon reads on for a
 * moment after the deadline. Only if that moment was short did the client really send nothing.
 */
async function readLine(connection: Deno.TcpConn): Promise<Received> {
  const buffer = new Uint8Array(MAX_AGENT_LINE_BYTES);
  let length = 0;
  const incomplete = (why: string): Received => ({
    kind: "incomplete",
    text: LATIN1.decode(buffer.subarray(0, length)),
    why,
  });
  const read = async (): Promise<Received> => {
    while (length < buffer.length) {
      const count = await connection.read(buffer.subarray(length));
      if (count === null) {
        if (length === 0) return { kind: "nothing", hasClosed: true };
        return incomplete("the line has no line feed at its end");
      }
      const end = buffer.subarray(0, length + count).indexOf(LF, length);
      if (end >= 0) {
        return { kind: "line", text: LATIN1.decode(buffer.subarray(0, end)), hasClosed: false };
      }
      length += count;
    }
    return incomplete(`the line is longer than ${MAX_AGENT_LINE_BYTES} bytes`);
  };

  const reading = read();
  // A pending read fails when the connection is closed.
  reading.catch(() => {});
  let received = await within(reading, AGENT_LINE_TIMEOUT_MS);
  for (let settles = 0; received === undefined && settles < MAX_SETTLES; settles++) {
    const start = performance.now();
    received = await within(reading, SETTLE_MS) ?? await within(reading, 0);
    if (received === undefined && performance.now() - start < STALL_MS) {
      return length === 0
        ? { kind: "nothing", hasClosed: false }
        : incomplete(`no line feed came within ${AGENT_LINE_TIMEOUT_MS} ms`);
    }
  }
  return received ?? incomplete("the daemon was too busy to read it in time");
}

/** Waits for a promise. Resolves with undefined after the timeout. */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, milliseconds, undefined);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const LF = 10;
const LATIN1 = new TextDecoder("latin1");
