import type { FaultCounts } from "../faults.ts";
import type { Log } from "../log.ts";
import { Seldom } from "../seldom.ts";
import { clientOf } from "./router.ts";

/** How long a client may take to ask, in milliseconds. Who has asked nothing by then asks for everything. */
export const ASKING_MS = 100;

/** How long a question may be, in bytes. What is longer makes no sense, and is told so. */
export const MAX_QUESTION_BYTES = 512;

/** How many are answered at once. The others wait for their turn, which is short: see {@linkcode ASKING_MS}. */
export const MAX_AGENTS = 100;

/** How long to wait after a connection could not be had, in milliseconds. */
const RETRY_MS = 10;

/** What an {@linkcode AgentListener} works with. */
export interface AgentListenerOptions {
  /** The address to listen on. */
  readonly hostname: string;
  /** The TCP port to listen on; 0 for any that is free. */
  readonly port: number;
  /** Whether others listen on the same port, and the system shares connections out among them. */
  readonly shared: boolean;
  /** Tells whether a client, by its address, is answered at all. */
  readonly admits: (client: string) => boolean;
  /** Answers a question, undefined for none, in one line without its end. */
  readonly answer: (question: string | undefined, client: string) => string;
  /** Where faults are told. */
  readonly log: Log;
  /** Where they are counted. */
  readonly faults: FaultCounts;
}

/**
 * Answers agent checks on one port until it is told to stop: a line is read, a line is written, and the
 * connection closed. What goes wrong on the way closes it without an answer, which to a HAProxy is no change.
 */
export class AgentListener {
  readonly #options: AgentListenerOptions;
  readonly #listener: Deno.Listener<Deno.TcpConn>;
  readonly #conversations = new Set<Promise<void>>();
  readonly #failures = new Seldom();
  readonly #faults = new Seldom();
  readonly #accepting: Promise<void>;
  #stopping = false;

  /** The address and port that are served. */
  readonly addr: Deno.NetAddr;

  /**
   * Begins to answer.
   *
   * @param options What to work with.
   * @throws {Error} If the port cannot be had.
   */
  constructor(options: AgentListenerOptions) {
    const { hostname, port, shared } = options;
    this.#options = options;
    this.#listener = Deno.listen({ hostname, port, reusePort: shared });
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.#accepting = this.#accept();
  }

  /** Accepts nothing more, and answers those who are asking. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#listener.close();
    await this.#accepting;
    await Promise.all(this.#conversations);
  }

  async #accept(): Promise<void> {
    while (!this.#stopping) {
      // The system keeps those waiting who are not accepted.
      while (this.#conversations.size >= MAX_AGENTS) await Promise.race(this.#conversations);
      let connection;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (this.#stopping) return;
        this.#failures.tell((others) =>
          this.#options.log.error("cannot accept an agent check: {why}{others}", {
            why: String(error),
            others,
          })
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        continue;
      }
      const conversation = this.#converse(connection)
        .finally(() => this.#conversations.delete(conversation));
      this.#conversations.add(conversation);
    }
  }

  async #converse(connection: Deno.TcpConn): Promise<void> {
    const { admits, answer, log, faults } = this.#options;
    using _ = connection;
    const client = clientOf(connection);
    let line;
    try {
      if (!admits(client)) return;
      line = answer(await questionOn(connection), client);
    } catch (error) {
      if (isOfThePeer(error)) return;
      faults.unforeseen++;
      this.#faults.tell((others) =>
        log.error("cannot answer an agent check: {error}{others}", { error, others })
      );
      return;
    }
    // Who has gone meanwhile misses it.
    await connection.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  }
}

/** A connection breaks when it will, by no fault of this end. */
function isOfThePeer(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.TimedOut;
}

/**
 * Reads the line that a client asks by. One that has not ended in time, or is over, is taken as it is, for
 * who forgot the end of it means what stands there all the same.
 */
async function questionOn(connection: Deno.TcpConn): Promise<string | undefined> {
  const buffer = new Uint8Array(MAX_QUESTION_BYTES);
  const deadline = Promise.withResolvers<null>();
  const timer = setTimeout(() => deadline.resolve(null), ASKING_MS);
  let length = 0;
  try {
    while (length < buffer.length) {
      const reading = connection.read(buffer.subarray(length));
      // What closing the connection makes of it is of no interest.
      reading.catch(() => {});
      const read = await Promise.race([reading, deadline.promise]);
      if (read === null) break;
      const end = buffer.subarray(0, length + read).indexOf(LF, length);
      if (end >= 0) return LATIN1.decode(buffer.subarray(0, end));
      length += read;
    }
  } finally {
    clearTimeout(timer);
  }
  return length === 0 ? undefined : LATIN1.decode(buffer.subarray(0, length));
}

const LF = 10;
const LATIN1 = new TextDecoder("latin1");
