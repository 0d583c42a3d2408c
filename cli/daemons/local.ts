import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { NoResponseError } from "../../src/net/buffered_reader.ts";
import { Connection } from "../../src/net/connection.ts";
import { HttpError } from "../../src/net/http_client.ts";
import { openTls, TlsError, UNVERIFIED } from "../../src/net/tls_connection.ts";
import { Daemon } from "./daemon.ts";

/** The daemon of this host. hactl asks it at 127.0.0.1 and at no other address. */
export class LocalDaemon extends Daemon {
  readonly #port: number;
  #speaksTls = false;

  override readonly url = "";
  override readonly name: string;

  /**
   * @param port Its port.
   * @param token The token to send if the daemon demands one.
   */
  constructor(port: number, token: string | null) {
    super(LOCAL_ADDRESS, port, token);
    this.#port = port;
    this.name = `the daemon on port ${port}`;
  }

  /** No flag says whether the daemon uses TLS: hactl tries plain HTTP first. */
  protected override async connect<T>(
    signal: AbortSignal,
    use: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    if (this.#speaksTls) return await this.#connectByTls(signal, use);
    try {
      using connection = await Connection.open(LOCAL_ADDRESS, this.#port, signal);
      return await use(connection);
    } catch (error) {
      const isOtherProtocol = error instanceof HttpError || error instanceof TlsError ||
        error instanceof NoResponseError;
      if (!isOtherProtocol) throw error;
      return await this.#connectByTls(signal, use).catch(() => {
        throw error;
      });
    }
  }

  /** The certificate is not verified: without TLS, hactl trusts any listener on this host too. */
  async #connectByTls<T>(
    signal: AbortSignal,
    use: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    using connection = await openTls(LOCAL_ADDRESS, this.#port, UNVERIFIED, signal);
    this.#speaksTls = true;
    return await use(connection);
  }
}
