import type { InternalErrorCounters } from "../metrics/counters.ts";
import type { Log } from "../log.ts";
import { LogThrottle } from "../log_throttle.ts";
import { clientAddress } from "./router.ts";

/** How long a client may take to send its line, in milliseconds. */
export const QUESTION_TIMEOUT_MS = 100;

/** How long a line may be, in bytes, its line feed included. A longer one is not answered. */
export const MAX_QUESTION_BYTES = 512;

/** How long the daemon reads on after the deadline, in milliseconds: see {@linkcode readQuestion}. */
const SETTLE_MS = 20;

/** How long that may take, in milliseconds, before the daemon takes itself for stalled and reads on once more. */
const STALL_MS = 100;

/** How often it reads on. */
const MAX_SETTLES = 10;

/** How many are answered at once. The others wait for their turn, which is short: see {@linkcode QUESTION_TIMEOUT_MS}. */
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
  /**
   * Answers a line, or a client that sent nothing (undefined), in one line without its line feed. Returns
   * null for no answer.
   */
  readonly answer: (question: string | undefined, client: string) => string | null;
  /** Logs what fails. */
  readonly log: Log;
  /** Counts internal errors. */
  readonly errors: InternalErrorCounters;
}

/**
 * Answers agent checks on one port until it is stopped: it reads one line, writes one line and closes the
 * connection. Where it reads less than a whole line, or fails, it closes the connection without an answer, and
 * HAProxy keeps the state that it had.
 */
export class AgentListener {
  readonly #options: AgentListenerOptions;
  readonly #listener: Deno.Listener<Deno.TcpConn>;
  readonly #conversations = new Set<Promise<void>>();
  readonly #failures = new LogThrottle();
  readonly #errors = new LogThrottle();
  readonly #unanswered = new LogThrottle();
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
        this.#failures.once((others) =>
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
    const { admits, answer, log, errors } = this.#options;
    using _ = connection;
    const client = clientAddress(connection);
    let line;
    try {
      if (!admits(client)) return;
      const heard = await readQuestion(connection);
      if (heard.kind === "unfinished") return this.#warn(client, heard.why, heard.received);
      line = answer(heard.kind === "line" ? heard.line : undefined, client);
      if (line === null) {
        // A port scanner or a plain TCP check closes the connection; HAProxy waits for an answer.
        if (!heard.hasClosed) this.#warn(client, SENT_NOTHING, "");
        return;
      }
    } catch (error) {
      if (isOfThePeer(error)) return;
      errors.unforeseen++;
      this.#errors.once((others) =>
        log.error("cannot answer an agent check: {error}{others}", { error, others })
      );
      return;
    }
    // The client may have gone by now.
    await connection.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
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

/** How much of an unfinished line is logged, in characters. */
const MAX_SHOWN = 100;

const SENT_NOTHING =
  'expected a line such as "web/8080\\n" (HAProxy\'s agent-send), or agent_silence in the configuration';

/** A connection breaks when it will, by no fault of this end. */
function isOfThePeer(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.TimedOut;
}

/** What a client sent until it closed its side, sent a whole line, or ran out of time. */
type Heard =
  | { readonly kind: "line"; readonly line: string; readonly hasClosed: false }
  | { readonly kind: "silence"; readonly hasClosed: boolean }
  | { readonly kind: "unfinished"; readonly why: string; readonly received: string };

/**
 * Reads the line of a client.
 *
 * At the deadline the timer may fire before a read that is already possible: the daemon may have been stopped,
 * or busy, while the line arrived, and a system call that a stop interrupts reports no sockets. So it reads on for
 * a moment after the deadline. Only if that moment was about as short as it should be did the client send nothing.
 */
async function readQuestion(connection: Deno.TcpConn): Promise<Heard> {
  const buffer = new Uint8Array(MAX_QUESTION_BYTES);
  let length = 0;
  const read = async (): Promise<Heard> => {
    while (length < buffer.length) {
      const count = await connection.read(buffer.subarray(length));
      if (count === null) {
        if (length === 0) return { kind: "silence", hasClosed: true };
        return unfinished("the line has no line feed at its end");
      }
      const end = buffer.subarray(0, length + count).indexOf(LF, length);
      if (end >= 0) {
        return { kind: "line", line: LATIN1.decode(buffer.subarray(0, end)), hasClosed: false };
      }
      length += count;
    }
    return unfinished(`the line is longer than ${MAX_QUESTION_BYTES} bytes`);
  };
  const unfinished = (why: string): Heard => ({
    kind: "unfinished",
    why,
    received: LATIN1.decode(buffer.subarray(0, length)),
  });

  const reading = read();
  // Closing the connection makes a read that is still pending fail.
  reading.catch(() => {});
  let heard = await within(reading, QUESTION_TIMEOUT_MS);
  for (let settles = 0; heard === undefined && settles < MAX_SETTLES; settles++) {
    const began = performance.now();
    heard = await within(reading, SETTLE_MS) ?? await within(reading, 0);
    if (heard === undefined && performance.now() - began < STALL_MS) {
      return length === 0
        ? { kind: "silence", hasClosed: false }
        : unfinished(`no line feed came within ${QUESTION_TIMEOUT_MS} ms`);
    }
  }
  return heard ?? unfinished("the daemon was too busy to read it in time");
}

/** Resolves with what a promise resolves with, or with undefined after so many milliseconds. */
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
