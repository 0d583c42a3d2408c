/**
 * What hactl asks of the daemon on its host.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import type { Verdict } from "../../src/checks/check.ts";
import {
  exchange,
  get,
  type Header,
  HttpError,
  type HttpResponse,
} from "../../src/net/http_client.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { ALL, recordName, type Subject, weightName } from "../../src/spool/names.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { openTls } from "../../src/net/tls_connection.ts";
import { describeResponse, warn } from "../terminal.ts";

/** How long hactl waits for the daemon to say what the spool says, in milliseconds. */
const PATIENCE_MS = 1000;

/** How often it asks meanwhile, in milliseconds. */
const ASK_EVERY_MS = 2;

/** How much of an answer is read, in bytes. `/recent` speaks of thousands of services. */
export const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

/** The daemon on this host. It is asked at 127.0.0.1, and nobody else is. */
export class LocalDaemon {
  readonly #token: string | null;
  #speaksTls = false;

  /** Its port. */
  readonly port: number;

  /**
   * @param port Its port.
   * @param token What to show it if it asks for a token.
   */
  constructor(port: number, token: string | null) {
    this.port = port;
    this.#token = token;
  }

  /**
   * Asks for a page.
   *
   * @param path The page.
   * @param headers Headers to send.
   * @param signal When to give up.
   * @returns Its answer.
   * @throws {Error} If there is none.
   */
  async ask(path: string, headers: readonly Header[], signal: AbortSignal): Promise<HttpResponse> {
    const answer = await this.#get(path, headers, signal);
    // The token is shown to who wants one, and not to everybody.
    if (answer.status !== 401 || this.#token === null) return answer;
    return await this.#get(path, [...headers, ["Authorization", `Bearer ${this.#token}`]], signal);
  }

  /** Finds out whether the daemon speaks TLS, since no flag says so, by what it makes of HTTP without. */
  async #get(path: string, headers: readonly Header[], signal: AbortSignal): Promise<HttpResponse> {
    if (this.#speaksTls) return await this.#getByTls(path, headers, signal);
    try {
      return await get(LOCAL_ADDRESS, this.port, path, headers, signal, MAX_RESPONSE_BYTES);
    } catch (error) {
      if (!(error instanceof HttpError || error instanceof Deno.errors.ConnectionReset)) {
        throw error;
      }
      return await this.#getByTls(path, headers, signal).catch(() => {
        throw error;
      });
    }
  }

  /** Whose certificate it is does not matter: without TLS, whoever listens on this host is trusted too. */
  async #getByTls(
    path: string,
    headers: readonly Header[],
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const anybody = { serverName: null, trusted: null };
    using connection = await openTls(LOCAL_ADDRESS, this.port, anybody, signal);
    this.#speaksTls = true;
    const host = `${LOCAL_ADDRESS}:${this.port}`;
    return await exchange(connection, host, path, headers, MAX_RESPONSE_BYTES);
  }
}

/** Services whose entries in the spool were changed, and the daemon that serves the spool. */
export interface SpoolChange {
  readonly subjects: readonly Subject[];
  readonly store: SpoolStore;
  readonly daemon: LocalDaemon;
}

/** What came of waiting for the daemon. */
export type Following = "agrees" | "disagrees" | "no daemon";

/**
 * Waits until the daemon answers as the spool says. Where no daemon listens there is nothing to wait for.
 *
 * @param change What was changed.
 * @returns Whether any answer of the daemon still contradicts the spool. The operator is told if one does,
 * or if no daemon listens.
 */
export function awaitDaemon(change: SpoolChange): Promise<Following> {
  return awaitPage(change, "spool", expected);
}

/**
 * Waits until the daemon knows the weights that the spool gives, as {@linkcode awaitDaemon} waits for what
 * is marked.
 *
 * @param change What was changed.
 */
export function awaitWeight(change: SpoolChange): Promise<Following> {
  return awaitPage(change, "weight", expectedWeight);
}

/** The verdict that a page should give, by the files of the spool. */
type Expectation = (subject: Subject, store: SpoolStore) => Verdict;

async function awaitPage(
  { subjects, store, daemon }: SpoolChange,
  page: "spool" | "weight",
  expect: Expectation,
): Promise<Following> {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  let following: Following = "agrees";
  for (const subject of subjects) {
    const expected = () => expect(subject, store);
    const disagreement = await disagreementOn(subject, page, expected, daemon, deadline);
    if (disagreement === undefined) continue;
    if (disagreement === NO_DAEMON) {
      warn(`no daemon listens on port ${daemon.port}: nobody serves this spool`);
      return "no daemon";
    }
    following = "disagrees";
    warn(
      `the daemon on port ${daemon.port} does not say so: ${recordName(subject)}: ${disagreement}`,
    );
  }
  return following;
}

const NO_DAEMON = Symbol();

async function disagreementOn(
  subject: Subject,
  page: "spool" | "weight",
  expected: () => Verdict,
  daemon: LocalDaemon,
  deadline: AbortSignal,
): Promise<string | typeof NO_DAEMON | undefined> {
  const { service, port, host } = subject;
  const headers: Header[] = host === LOCAL_ADDRESS ? [] : [["X-Nerve-Check-IP", host]];
  let disagreement = `it did not answer within ${PATIENCE_MS} ms`;
  while (!deadline.aborted) {
    try {
      const { status, body } = await daemon.ask(
        `/status/${page}/${service}/${port}`,
        headers,
        deadline,
      );
      if (status === 401 || status === 403) {
        return `it does not let hactl ask: ${describeResponse(status, body)}`;
      }
      const { code, message } = expected();
      if (status === code && body === message) return undefined;
      if (status === 404 && page === "spool") {
        // The daemon may still be one of the older ones, to which draining is down.
        const older = await daemon.ask(`/spool/${service}/${port}/status`, headers, deadline);
        if (older.status === (code === 200 ? 200 : 503)) return undefined;
      }
      disagreement = `expected ${code} ${JSON.stringify(message)}: received ${status} ${
        JSON.stringify(body)
      }`;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return NO_DAEMON;
      if (!deadline.aborted) disagreement = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  return disagreement;
}

/** What the files say, by the daemon's own rules. */
function expected(subject: Subject, store: SpoolStore): Verdict {
  const index = indexOf(subject, recordName, store);
  const { service, port, host } = subject;
  return index.find(service, port, host)?.verdict ?? { code: 200, message: "" };
}

function expectedWeight(subject: Subject, store: SpoolStore): Verdict {
  const index = indexOf(subject, weightName, store);
  const { service, port, host } = subject;
  return { code: 200, message: String(index.weight(service, port, host) ?? "unknown") };
}

/** What those files say that speak of a subject. */
function indexOf(
  subject: Subject,
  nameOf: (subject: Subject) => string,
  store: SpoolStore,
): SpoolIndex {
  const index = new SpoolIndex();
  const { service, port, host } = subject;
  const wider = [ALL, service].map((service) => ({ service, port: 0, host: LOCAL_ADDRESS }));
  // The page of port 0 is about `web:0` as well.
  const byPort = [LOCAL_ADDRESS, host].map((host) => {
    return { service, port, host, isPortZero: port === 0 };
  });
  for (const name of [...wider, ...byPort].map(nameOf)) {
    const stored = store.readEntry(name);
    if (stored !== undefined) index.set(name, stored.record);
  }
  return index;
}
