import { canonicalAddress } from "../../src/net/addresses.ts";
import { Connection } from "../../src/net/connection.ts";
import { openTls, type TlsSession, UNVERIFIED } from "../../src/net/tls_connection.ts";
import { Daemon } from "./daemon.ts";
import type { DaemonUrl } from "./url.ts";

/** How hactl and the daemons that the command line names authenticate each other. */
export interface Trust {
  /** The token to send to a daemon that demands one; null for none. */
  readonly token: string | null;
  /** The authorities to trust, in PEM; null for Deno's. */
  readonly authorities: string | null;
}

/** How long reading a certificate may take, in milliseconds. */
const CERTIFICATE_TIMEOUT_MS = 2000;

/** How long before a certificate expires hactl warns, in milliseconds: as long as the daemon itself. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

/**
 * A daemon that the command line names by its URL. With https its certificate is verified, unlike that of the
 * daemon of this host: hactl sends it a token and believes its reports.
 */
export class RemoteDaemon extends Daemon {
  readonly #url: DaemonUrl;
  readonly #authorities: string | null;
  /** When its certificate expires, in milliseconds since 1970; null while that is not known. */
  #expiry: number | null = null;

  override readonly url: string;
  override readonly name: string;

  /**
   * @param url Its URL.
   * @param trust The token and the authorities.
   */
  constructor(url: DaemonUrl, { token, authorities }: Trust) {
    super(url.hostname, url.port, token);
    this.#url = url;
    this.#authorities = authorities;
    this.url = this.name = url.shown;
  }

  protected override async connect<T>(
    signal: AbortSignal,
    use: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    using connection = await this.#open(signal);
    return await use(connection);
  }

  async #open(signal: AbortSignal): Promise<Connection> {
    const { tls, hostname, port } = this.#url;
    if (!tls) return await Connection.open(hostname, port, signal);
    if (this.#authorities !== null) return await this.#openTls(this.#authorities, signal);
    try {
      return await openVerified(hostname, port, signal);
    } catch (error) {
      // The class of all errors of a certificate: only its date shows whether it has expired.
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      await this.#readExpiry(signal);
      if (this.#expiry === null || this.#expiry > Date.now()) throw error;
      throw new Error(`the certificate expired on ${dayOf(this.#expiry)}`, { cause: error });
    }
  }

  /** Connects by node:tls, which shows the certificate, and verifies it if there are authorities. */
  #openTls(trusted: string | null, signal: AbortSignal): Promise<Connection> {
    const { hostname, port } = this.#url;
    const serverName = canonicalAddress(hostname) === undefined ? hostname : null;
    const onSession = ({ expires }: TlsSession) => this.#expiry = expires * 1000;
    const options = { ...UNVERIFIED, serverName, trusted, onSession };
    return openTls(hostname, port, options, signal);
  }

  /** Deno's own TLS does not show the certificate, so this takes a connection without an exchange. */
  async #readExpiry(signal: AbortSignal): Promise<void> {
    try {
      (await this.#openTls(null, signal))[Symbol.dispose]();
    } catch {
      // The expiry stays unknown.
    }
  }

  override async expiryWarning(): Promise<string | null> {
    if (!this.#url.tls) return null;
    if (this.#expiry === null) await this.#readExpiry(AbortSignal.timeout(CERTIFICATE_TIMEOUT_MS));
    if (this.#expiry === null || this.#expiry > Date.now() + EXPIRES_SOON_MS) return null;
    return `its certificate expires on ${dayOf(this.#expiry)}: renew it`;
  }
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Connects by Deno's own TLS, which knows the authorities. With node:tls that takes a permission. */
async function openVerified(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  const connecting = connectTls(hostname, port);
  const aborted = Promise.withResolvers<never>();
  const abort = () => {
    aborted.reject(signal.reason);
    connecting.then((socket) => socket.close(), () => {});
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    return new Connection(await Promise.race([connecting, aborted.promise]), signal);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Connects and verifies the certificate, which `Deno.connectTls` alone leaves to the first read or write. */
async function connectTls(hostname: string, port: number): Promise<Deno.TlsConn> {
  const socket = await Deno.connectTls({ hostname, port });
  try {
    await socket.handshake();
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
