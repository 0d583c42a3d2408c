import { hostPort } from "../../src/net/addresses.ts";
import type { Connection } from "../../src/net/connection.ts";
import { exchange, type Header, type HttpResponse } from "../../src/net/http_client.ts";

/** Size limit of a response, in bytes. `/recent` may list thousands of services. */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

/** A request to a daemon. */
export interface DaemonRequest {
  /** The path and query string. */
  readonly path: string;
  readonly headers?: readonly Header[];
  /** The form to POST; without one the request is a GET. */
  readonly form?: URLSearchParams;
}

/** Reports that a daemon rejects hactl: this host, or its token. */
export class ForbiddenError extends Error {
  override readonly name = "ForbiddenError";
}

/** A daemon that hactl asks. */
export abstract class Daemon {
  /** Its URL, as the command line has it; empty for the daemon of this host. */
  abstract readonly url: string;
  /** Its name in messages. */
  abstract readonly name: string;
  readonly #host: string;
  readonly #token: string | null;

  /**
   * @param hostname Its name or IP address.
   * @param port Its port.
   * @param token The token to send if the daemon demands one.
   */
  constructor(hostname: string, port: number, token: string | null) {
    this.#host = hostPort(hostname, port);
    this.#token = token;
  }

  /**
   * Sends a request.
   *
   * @param request The request, or the path of a GET.
   * @param signal The deadline.
   * @returns The response.
   * @throws {ForbiddenError} If the daemon rejects the token.
   * @throws {Error} If there is none.
   */
  async ask(request: DaemonRequest | string, signal: AbortSignal): Promise<HttpResponse> {
    const { headers = [], ...rest } = typeof request === "string" ? { path: request } : request;
    const fixed = { host: this.#host, maxBodyBytes: MAX_RESPONSE_BYTES, ...rest };
    const send = (headers: readonly Header[]) =>
      this.connect(signal, (connection) => exchange(connection, { ...fixed, headers }));
    const first = await send(headers);
    // Only a daemon that demands the token gets it.
    if (first.status !== 401 || this.#token === null) return first;
    const second = await send([...headers, ["Authorization", `Bearer ${this.#token}`]]);
    if (second.status === 401) throw new ForbiddenError("rejects the token of --token-file");
    return second;
  }

  /** Opens a connection for one exchange, and closes it afterwards. */
  protected abstract connect<T>(
    signal: AbortSignal,
    use: (connection: Connection) => Promise<T>,
  ): Promise<T>;

  /** Returns a warning if the daemon's certificate expires soon; null if it does not. */
  expiryWarning(): Promise<string | null> {
    return Promise.resolve(null);
  }
}
