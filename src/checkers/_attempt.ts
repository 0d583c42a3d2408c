import type { TLSSocket } from "node:tls";
import {
  type CheckRequest,
  type FailureReason,
  isFailure,
  type Phases,
  type Verdict,
} from "../checks/check.ts";
import { errorMessage } from "../text/error_message.ts";
import { hostPort } from "../net/addresses.ts";
import { ConnectionClosedError, isReset, NoResponseError } from "../net/buffered_reader.ts";
import { Connection } from "../net/connection.ts";
import type { TlsMode } from "../net/tls_clients.ts";
import {
  openTls,
  startTls,
  startTlsSocket,
  TlsError,
  type TlsOptions,
  type TlsSession,
  type TlsSettings,
} from "../net/tls_connection.ts";

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
  #firstByteAt: number | undefined;
  /** When the TLS handshake began and ended; absent without TLS. */
  #securingAt: number | undefined;
  #securedAt: number | undefined;
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
    const { host, port, proxyVersion } = this.#request;
    // A check may connect again.
    this.#connection = this.#session = undefined;
    this.#connectedAt =
      this.#firstByteAt =
      this.#securingAt =
      this.#securedAt =
        undefined;
    this.#connection = await Connection.open(host, port, this.#signal, proxyVersion);
    this.#connectedAt = performance.now();
    return this.#connection;
  }

  /** Connects with TLS; see {@linkcode openTls}. */
  async connectTls(settings: TlsSettings): Promise<Connection> {
    const { host, port, proxyVersion } = this.#request;
    if (proxyVersion !== undefined) return await this.startTls(await this.connect(), settings);
    const onConnect = () => this.#connectedAt = this.#securingAt = performance.now();
    this.#connection = await this.#secure((options) =>
      openTls(host, port, { ...settings, ...options, onConnect }, this.#signal)
    );
    return this.#connection;
  }

  /**
   * Starts TLS on the connection; see {@linkcode startTls}.
   *
   * @param plain The connection. It is closed with the one that is returned.
   */
  async startTls(plain: Connection, settings: TlsSettings): Promise<Connection> {
    this.#beginHandshake();
    this.#connection = await this.#secure((options) =>
      startTls(plain, this.#request.host, { ...settings, ...options }, this.#signal)
    );
    return this.#connection;
  }

  /** Does the same for Node's HTTP/2; see {@linkcode startTlsSocket}. */
  async startTlsSocket(
    plain: Connection,
    settings: TlsSettings,
    more: Pick<TlsOptions, "protocols" | "maxBytes">,
  ): Promise<TLSSocket> {
    this.#beginHandshake();
    return await this.#secure((options) =>
      startTlsSocket(
        plain,
        this.#request.host,
        { ...settings, ...options, ...more },
        this.#signal,
      )
    );
  }

  #beginHandshake(): void {
    this.#noteFirstByte();
    // Bytes of the handshake are no response.
    this.#connection = undefined;
    this.#securingAt = performance.now();
  }

  async #secure<T>(start: (options: Pick<TlsOptions, "onSession">) => Promise<T>): Promise<T> {
    const secured = await start({ onSession: (session) => this.#session = session });
    this.#securedAt = performance.now();
    return secured;
  }

  /** Notes that there is a connection, where another module made it. */
  connected(): void {
    this.#connectedAt = performance.now();
  }

  /** Notes that the first byte came, where another module read it. */
  received(): void {
    this.#firstByteAt ??= performance.now();
  }

  /** Whether the connection uses TLS. */
  get isSecure(): boolean {
    return this.#securedAt !== undefined;
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
    this.#noteFirstByte();
    return this.#firstByteAt === undefined
      ? "timed out: there was no response"
      : "timed out: the response was not complete";
  }

  get #isSecuring(): boolean {
    return this.#securingAt !== undefined && this.#securedAt === undefined;
  }

  #noteFirstByte(): void {
    this.#firstByteAt ??= this.#connection?.firstByteAt;
  }

  #phases(): Phases {
    this.#noteFirstByte();
    const end = performance.now();
    const connectedAt = this.#connectedAt;
    if (connectedAt === undefined) return { connect: end - this.#start };
    const connect = connectedAt - this.#start;
    const securingAt = this.#securingAt;
    const firstByteAt = this.#firstByteAt;
    const tls = securingAt === undefined ? 0 : (this.#securedAt ?? end) - securingAt;
    const before = securingAt === undefined ? { connect } : { connect, tls };
    if (firstByteAt === undefined) {
      return this.#isSecuring ? before : { ...before, first_byte: end - connectedAt - tls };
    }
    // A server may send a greeting before the handshake.
    const isGreeted = securingAt !== undefined && firstByteAt <= securingAt;
    return {
      ...before,
      first_byte: firstByteAt - connectedAt - (isGreeted ? 0 : tls),
      rest: end - firstByteAt - (isGreeted ? tls : 0),
    };
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

/**
 * Runs a check that may use TLS. With `prefer`, one that fails because of TLS is run again without.
 *
 * @param run Runs it in a mode. A {@linkcode TlsError} that it throws is a failure because of TLS.
 * @param isTlsRefused Returns whether a verdict is such a failure too.
 * @returns The verdict. If both are refused, it is that with TLS.
 */
export async function withTlsMode(
  mode: TlsMode,
  run: (mode: TlsMode) => Promise<Verdict>,
  isTlsRefused: (verdict: Verdict) => boolean = () => false,
): Promise<Verdict> {
  let refused: Verdict | undefined;
  try {
    const verdict = await run(mode);
    if (mode !== "prefer" || !isTlsRefused(verdict)) return verdict;
    refused = verdict;
  } catch (error) {
    if (mode !== "prefer" || !(error instanceof TlsError)) throw error;
  }
  const verdict = await run("off");
  return refused !== undefined && isFailure(verdict) ? refused : verdict;
}

/**
 * Returns why a check with TLS failed. With TLS 1.3 a server rejects a client certificate after the handshake.
 *
 * @param settings The TLS settings of the check.
 */
export function tlsFailure(error: unknown, { identity }: TlsSettings): string {
  const why = errorMessage(error);
  return error instanceof NoResponseError && identity === null
    ? `${why}; a server that requires a client certificate may do that, and hacheck sends none`
    : why;
}

/** Words a failure as the Python hachecks do, with the address. */
export function unexpectedError(attempt: Attempt, error: unknown): string {
  const { address, elapsed } = attempt;
  return attempt.timeoutOf(error) === undefined
    ? `Unexpected error ${errorMessage(error)} at ${address} after ${elapsed}`
    : `Connection timed out after ${elapsed} at ${address}`;
}
