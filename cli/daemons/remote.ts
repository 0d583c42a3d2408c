import { canonicalAddress, hostPort } from "../../src/net/addresses.ts";
import { Connection } from "../../src/net/connection.ts";
import { exchange, type Header, type HttpResponse } from "../../src/net/http_client.ts";
import { openTls } from "../../src/net/tls_connection.ts";
import { MAX_RESPONSE_BYTES } from "./local.ts";
import type { DaemonUrl } from "./url.ts";

/** What is shown to daemons elsewhere, and what they have to show. */
export interface Trust {
  /** What to show one that asks for a token; null for nothing. */
  readonly token: string | null;
  /** The authorities that are trusted to say who is who, in PEM; null for those that everybody trusts. */
  readonly authorities: string | null;
}

/**
 * A daemon that is named by its URL. Unlike the one of this host it must prove by its certificate who it
 * is, where it speaks TLS: a token is shown to it, and what it says is believed.
 */
export class RemoteDaemon {
  readonly #url: DaemonUrl;
  readonly #trust: Trust;
  #expiry: number | null = null;

  /**
   * @param url Where it is.
   * @param trust What it is shown, and what it has to show.
   */
  constructor(url: DaemonUrl, trust: Trust) {
    this.#url = url;
    this.#trust = trust;
  }

  /** Its URL, as it was given. */
  get url(): string {
    return this.#url.shown;
  }

  /**
   * Asks for a page, or sends a form to it.
   *
   * @param path The page.
   * @param form The form; null for none.
   * @param signal When to give up.
   * @returns Its answer.
   * @throws {Error} If there is none, or it is not who it should be.
   */
  async ask(
    path: string,
    form: URLSearchParams | null,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const answer = await this.#exchange(path, form, [], signal);
    const { token } = this.#trust;
    // The token is shown to who wants one, and not to everybody.
    if (answer.status !== 401 || token === null) return answer;
    return await this.#exchange(path, form, [["Authorization", `Bearer ${token}`]], signal);
  }

  async #exchange(
    path: string,
    form: URLSearchParams | null,
    headers: readonly Header[],
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { hostname, port } = this.#url;
    using connection = await this.#connect(signal);
    return await exchange(connection, {
      ...{ host: hostPort(hostname, port), path, headers, form },
      maxBodyBytes: MAX_RESPONSE_BYTES,
    });
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const { tls, hostname, port } = this.#url;
    if (!tls) return await Connection.open(hostname, port, signal);
    const { authorities } = this.#trust;
    const options = {
      serverName: this.#serverName,
      onExpiry: (time: number) => this.#expiry = time,
    };
    if (authorities !== null) {
      return await openTls(hostname, port, { ...options, trusted: authorities }, signal);
    }
    try {
      return await openWellKnown(hostname, port, signal);
    } catch (error) {
      // The class of all errors of a certificate: only its date shows whether it has expired.
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      await this.#look(signal).catch(() => {});
      if (this.#expiry === null || this.#expiry > Date.now()) throw error;
      throw new Error(`the certificate expired on ${dayOf(this.#expiry)}`, { cause: error });
    }
  }

  get #serverName(): string | null {
    const { hostname } = this.#url;
    return canonicalAddress(hostname) === undefined ? hostname : null;
  }

  /** Looks at the certificate: Deno's own TLS, which verifies it, does not show it. */
  async #look(signal: AbortSignal): Promise<void> {
    const { hostname, port } = this.#url;
    const onExpiry = (time: number) => this.#expiry = time;
    const options = { serverName: this.#serverName, trusted: null, onExpiry };
    const connection = await openTls(hostname, port, options, signal);
    connection[Symbol.dispose]();
  }

  /**
   * Warns of a certificate that soon expires.
   *
   * @returns A line; null where there is nothing to warn of.
   */
  async expiryAdvice(): Promise<string | null> {
    if (!this.#url.tls) return null;
    if (this.#expiry === null) {
      await this.#look(AbortSignal.timeout(LOOK_TIMEOUT_MS)).catch(() => {});
    }
    if (this.#expiry === null || this.#expiry > Date.now() + EXPIRES_SOON_MS) return null;
    return `its certificate expires on ${dayOf(this.#expiry)}: renew it`;
  }
}

/** How long it may take to look at a certificate, in milliseconds. */
const LOOK_TIMEOUT_MS = 2000;

/** How long before it expires a certificate is warned of, as the daemon warns of its own. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** By Deno's own TLS, which knows whom everybody trusts; for node:tls to tell takes a permission. */
async function openWellKnown(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  const connecting = connectTls(hostname, port);
  const late = Promise.withResolvers<never>();
  const giveUp = () => {
    late.reject(signal.reason);
    connecting.then((socket) => socket.close(), () => {});
  };
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return new Connection(await Promise.race([connecting, late.promise]), signal);
  } finally {
    signal.removeEventListener("abort", giveUp);
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
