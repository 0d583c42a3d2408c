import type { CheckRequest, FailureReason, Phases, Verdict } from "../checks/check.ts";
import { errorMessage } from "../text/error_message.ts";
import { hostPort } from "../net/addresses.ts";
import { ConnectionClosedError, isReset, NoResponseError } from "../net/buffered_reader.ts";
import { Connection } from "../net/connection.ts";
import { openTls, TlsError, type TlsOptions, type TlsSession } from "../net/tls_connection.ts";

/** Thrown if a server requires a login that hacheck does not support. It is the cause even after the deadline. */
export class UnsupportedError extends Error {
  override name = "UnsupportedError";
}

/** Thrown for an HTTP status that cannot be forwarded. */
export class StatusError extends Error {
  override name = "StatusError";
}

/** One run of a check: its connection, and when each phase ended. */
export class Attempt {
  readonly #request: CheckRequest;
  readonly #signal: AbortSignal;
  readonly #start = performance.now();
  #connection: Connection | undefined;
  /** When the server had accepted the connection, by `performance.now()`. */
  #connectedAt: number | undefined;
  /** When the TLS handshake had ended; absent without TLS. */
  #securedAt: number | undefined;
  #receivedAt: number | undefined;
  #usesTls = false;
  #session: TlsSession | undefined;

  /**
   * @param request The check.
   * @param signal Its deadline.
   */
  constructor(request: CheckRequest, signal: AbortSignal) {
    this.#request = request;
    this.#signal = signal;
  }

  /** Connects; see {@linkcode Connection.open}. */
  async connect(): Promise<Connection> {
    const { host, port } = this.#request;
    this.#connection = await Connection.open(host, port, this.#signal);
    this.connected();
    return this.#connection;
  }

  /** Connects with TLS; see {@linkcode openTls}. */
  async connectTls(options: Pick<TlsOptions, "serverName" | "trusted">): Promise<Connection> {
    const { host, port } = this.#request;
    this.#usesTls = true;
    this.#connection = await openTls(host, port, {
      ...options,
      onConnect: () => this.connected(),
      onSession: (session) => this.#session = session,
    }, this.#signal);
    this.#securedAt = performance.now();
    return this.#connection;
  }

  /** Notes that the server has accepted the connection, where another module made it. */
  connected(): void {
    this.#connectedAt = performance.now();
  }

  /** Notes that the first byte came, where another module read it. */
  received(): void {
    this.#receivedAt ??= performance.now();
  }

  /** The time since the start: `0.25s`. */
  get elapsed(): string {
    return `${((performance.now() - this.#start) / 1000).toFixed(2)}s`;
  }

  /** Where the check connects to, such as `10.0.0.5:8080`. */
  get address(): string {
    return hostPort(this.#request.host, this.#request.port);
  }

  /**
   * Ends the check.
   *
   * @param verdict The verdict.
   * @returns The verdict, with what the attempt has noted.
   */
  end(verdict: Verdict): Verdict {
    const phases = this.#phases();
    return this.#session === undefined
      ? { ...verdict, phases }
      : { ...verdict, phases, tls: this.#session };
  }

  /** Ends a check that threw, with its reason. */
  fail(error: unknown, message: string): Verdict {
    return this.end({ code: 503, message, reason: this.#reasonOf(error) });
  }

  /** What the check waited for when its deadline passed; undefined if that is not why it failed. */
  timeoutOf(error: unknown): string | undefined {
    if (!this.#signal.aborted || error instanceof UnsupportedError) return undefined;
    if (this.#connectedAt === undefined) return "timed out: the connection was not accepted";
    if (this.#isSecuring) return "timed out: the TLS handshake did not end";
    return this.#firstByteAt === undefined
      ? "timed out: there was no response"
      : "timed out: the response was not complete";
  }

  get #isSecuring(): boolean {
    return this.#usesTls && this.#securedAt === undefined;
  }

  get #firstByteAt(): number | undefined {
    return this.#receivedAt ?? this.#connection?.firstByteAt;
  }

  #phases(): Phases {
    const end = performance.now();
    const connectedAt = this.#connectedAt;
    if (connectedAt === undefined) return { connect: end - this.#start };
    const connect = connectedAt - this.#start;
    const securedAt = this.#usesTls ? this.#securedAt : connectedAt;
    if (securedAt === undefined) return { connect, tls: end - connectedAt };
    const before = this.#usesTls ? { connect, tls: securedAt - connectedAt } : { connect };
    const firstByteAt = this.#firstByteAt;
    if (firstByteAt === undefined) return { ...before, first_byte: end - securedAt };
    return { ...before, first_byte: firstByteAt - securedAt, rest: end - firstByteAt };
  }

  #reasonOf(error: unknown): FailureReason {
    if (this.timeoutOf(error) !== undefined) {
      if (this.#connectedAt === undefined) return "connect_timeout";
      return this.#isSecuring ? "tls_timeout" : "response_timeout";
    }
    if (error instanceof Deno.errors.NotCapable) return "configuration";
    if (error instanceof UnsupportedError) return "login";
    if (error instanceof StatusError) return "status";
    const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown };
    const isConnected = this.#connectedAt !== undefined;
    // Node reports a reset within the handshake and a close alike.
    if (isConnected && (this.#isSecuring || error instanceof TlsError)) return "tls";
    if (isReset(error) || isReset(cause ?? {})) return "reset";
    if (!isConnected) return code === "ECONNREFUSED" ? "refused" : "unreachable";
    const isClosed = error instanceof ConnectionClosedError ||
      cause instanceof ConnectionClosedError;
    return isClosed ? "closed" : "protocol";
  }
}

/**
 * Runs a check. If it throws, the service is down.
 *
 * @param explain Returns the cause of a failure, unless the check timed out.
 * @returns The verdict, or 503 and the cause.
 */
export async function attempt(
  name: string,
  request: CheckRequest,
  signal: AbortSignal,
  check: (attempt: Attempt) => Promise<Verdict>,
  explain: (error: unknown) => string = plainTextFailure,
): Promise<Verdict> {
  const attempt = new Attempt(request, signal);
  try {
    return attempt.end(await check(attempt));
  } catch (error) {
    const why = attempt.timeoutOf(error) ?? explain(error);
    const { address, elapsed } = attempt;
    return attempt.fail(error, `${name} check of ${address} failed after ${elapsed}: ${why}`);
  }
}

/**
 * Returns why a check without TLS failed. A TLS server closes or resets a connection that does not begin with TLS.
 *
 * @param secure The protocol that checks a TLS server.
 */
export function plainTextFailure(error: unknown, secure = "tcp"): string {
  const why = errorMessage(error);
  return error instanceof NoResponseError
    ? `${why}; a server that expects TLS does that: if it is one, check it by ${secure}`
    : why;
}

/** Words a failure as the Python hachecks do, with the address. */
export function unexpectedError(attempt: Attempt, error: unknown): string {
  const { address, elapsed } = attempt;
  return attempt.timeoutOf(error) === undefined
    ? `Unexpected error ${errorMessage(error)} at ${address} after ${elapsed}`
    : `Connection timed out after ${elapsed} at ${address}`;
}
