import { canonicalAddress } from "../src/addresses.ts";
import type { Header } from "../src/check.ts";
import { Connection } from "../src/connection.ts";
import { exchange, type HttpAnswer } from "../src/http_client.ts";
import { openTls } from "../src/tls_connection.ts";
import { MAX_ANSWER_BYTES } from "./daemon.ts";
import type { DaemonUrl } from "./daemon_url.ts";

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
  async ask(path: string, form: URLSearchParams | null, signal: AbortSignal): Promise<HttpAnswer> {
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
  ): Promise<HttpAnswer> {
    const { hostname, port } = this.#url;
    using connection = await this.#connect(signal);
    const host = hostname.includes(":") ? `[${hostname}]` : hostname;
    return await exchange(connection, `${host}:${port}`, path, headers, MAX_ANSWER_BYTES, form);
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const { tls, hostname, port } = this.#url;
    if (!tls) return await Connection.open(hostname, port, signal);
    const { authorities } = this.#trust;
    if (authorities === null) return await openWellKnown(hostname, port, signal);
    const serverName = canonicalAddress(hostname) === undefined ? hostname : null;
    return await openTls(hostname, port, { serverName, trusted: authorities }, signal);
  }
}

/** By Deno's own TLS, which knows whom everybody trusts; for node:tls to tell takes a permission. */
async function openWellKnown(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<Connection> {
  signal.throwIfAborted();
  const connecting = Deno.connectTls({ hostname, port });
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
