/**
 * The daemon on this host, and waiting until it reports a change.
 *
 * @module
 */

import { hostPort, LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { Connection } from "../../src/net/connection.ts";
import {
  exchange,
  type Header,
  HttpError,
  type HttpRequest,
  type HttpResponse,
} from "../../src/net/http_client.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { ALL, recordName, type Subject, weightName } from "../../src/spool/names.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { openTls } from "../../src/net/tls_connection.ts";
import { describeResponse, warn } from "../terminal.ts";
import type { EntryReport } from "./responses.ts";
import { type AskPage, askState, type StateResponse } from "./state.ts";

/** How long the daemon has to report a change, in milliseconds. */
const AGREE_TIMEOUT_MS = 1000;

/** How often hactl asks meanwhile, in milliseconds. */
const ASK_EVERY_MS = 2;

/** Size limit of a response, in bytes. `/recent` may list thousands of services. */
export const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

/** The daemon on this host. hactl asks it at 127.0.0.1 and at no other address. */
export class LocalDaemon {
  readonly #token: string | null;
  #speaksTls = false;

  /** Its port. */
  readonly port: number;

  /**
   * @param port Its port.
   * @param token The token to send if the daemon demands one.
   */
  constructor(port: number, token: string | null) {
    this.port = port;
    this.#token = token;
  }

  /**
   * Requests a page.
   *
   * @param path The page.
   * @param headers Headers to send.
   * @param signal The deadline.
   * @returns The response.
   * @throws {Error} If there is none.
   */
  async ask(path: string, headers: readonly Header[], signal: AbortSignal): Promise<HttpResponse> {
    const response = await this.#get(path, headers, signal);
    // Only a daemon that demands the token gets it.
    if (response.status !== 401 || this.#token === null) return response;
    return await this.#get(path, [...headers, ["Authorization", `Bearer ${this.#token}`]], signal);
  }

  /**
   * Returns a function that requests pages about services on one host.
   *
   * @param host The host's canonical IP address.
   */
  aboutHost(host: string): AskPage {
    const headers: Header[] = host === LOCAL_ADDRESS ? [] : [["X-Nerve-Check-IP", host]];
    return (path, signal) => this.ask(path, headers, signal);
  }

  /** No flag says whether the daemon uses TLS: hactl tries plain HTTP first. */
  async #get(path: string, headers: readonly Header[], signal: AbortSignal): Promise<HttpResponse> {
    if (this.#speaksTls) return await this.#getByTls(path, headers, signal);
    try {
      using connection = await Connection.open(LOCAL_ADDRESS, this.port, signal);
      return await exchange(connection, this.#request(path, headers));
    } catch (error) {
      if (!(error instanceof HttpError || error instanceof Deno.errors.ConnectionReset)) {
        throw error;
      }
      return await this.#getByTls(path, headers, signal).catch(() => {
        throw error;
      });
    }
  }

  /** The certificate is not verified: without TLS, hactl trusts any listener on this host too. */
  async #getByTls(
    path: string,
    headers: readonly Header[],
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const unverified = { serverName: null, trusted: null };
    using connection = await openTls(LOCAL_ADDRESS, this.port, unverified, signal);
    this.#speaksTls = true;
    return await exchange(connection, this.#request(path, headers));
  }

  #request(path: string, headers: readonly Header[]): HttpRequest {
    return {
      ...{ host: hostPort(LOCAL_ADDRESS, this.port), path, headers },
      maxBodyBytes: MAX_RESPONSE_BYTES,
    };
  }
}

/** Services whose entries in the spool were changed, and the daemon that serves the spool. */
export interface SpoolChange {
  readonly subjects: readonly Subject[];
  readonly store: SpoolStore;
  readonly daemon: LocalDaemon;
}

/** The outcome of waiting for the daemon. */
export type Following = "agrees" | "disagrees" | "no daemon";

/**
 * Waits until the daemon reports the downtimes of the spool, for at most a second. Reports on stderr where it
 * does not, or no daemon listens.
 *
 * @param change The services and the daemon.
 * @returns Whether the daemon agrees with the spool.
 */
export function awaitDowntimes(change: SpoolChange): Promise<Following> {
  return awaitAgreement(change, downtimeMismatch);
}

/**
 * Waits until the daemon reports the weights of the spool, as {@linkcode awaitDowntimes} does for downtimes.
 *
 * @param change The services and the daemon.
 */
export function awaitWeights(change: SpoolChange): Promise<Following> {
  return awaitAgreement(change, weightMismatch);
}

/** Compares the state of a service with the spool; returns how they differ, if they do. */
type Compare = (found: StateResponse, subject: Subject, store: SpoolStore) => string | undefined;

async function awaitAgreement(
  { subjects, store, daemon }: SpoolChange,
  compare: Compare,
): Promise<Following> {
  const deadline = AbortSignal.timeout(AGREE_TIMEOUT_MS);
  let following: Following = "agrees";
  for (const subject of subjects) {
    const mismatch = await lastMismatch(subject, store, compare, daemon, deadline);
    if (mismatch === undefined) continue;
    if (mismatch === NO_DAEMON) {
      warn(`no daemon listens on port ${daemon.port}: no daemon uses this spool`);
      return "no daemon";
    }
    following = "disagrees";
    const name = recordName(subject);
    warn(`the daemon on port ${daemon.port} does not report the change: ${name}: ${mismatch}`);
  }
  return following;
}

const NO_DAEMON = Symbol();

async function lastMismatch(
  subject: Subject,
  store: SpoolStore,
  compare: Compare,
  daemon: LocalDaemon,
  deadline: AbortSignal,
): Promise<string | typeof NO_DAEMON | undefined> {
  let mismatch = `no response within ${AGREE_TIMEOUT_MS} ms`;
  while (!deadline.aborted) {
    try {
      const found = await askState(subject, daemon.aboutHost(subject.host), deadline);
      const { status, body } = found.response;
      if (status === 401 || status === 403) {
        return `hactl may not ask it: ${describeResponse(status, body)}`;
      }
      // The file is read each time: another operator may have changed it since.
      const different = compare(found, subject, store);
      if (different === undefined) return undefined;
      mismatch = different;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return NO_DAEMON;
      if (!deadline.aborted) mismatch = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  return mismatch;
}

function downtimeMismatch(
  { report, state, response }: StateResponse,
  subject: Subject,
  store: SpoolStore,
): string | undefined {
  const { index, invalid } = readIndex(subject, recordName, store);
  const { service, port, host } = subject;
  const downtime = index.find(service, port, host);
  const expected = downtime === undefined ? null : { name: downtime.name, ...downtime.record };
  const found = report?.kept_out_by ?? null;
  const isSame = report === null
    ? state === (expected === null ? "up" : "down")
    : expected === null || found === null
    ? expected === found
    : expected.name === found.name && expected.mode === found.mode &&
      // The reason of an invalid record is a message, which each release may word in its own way.
      (invalid.has(expected.name) || COMPARED.every((key) => expected[key] === found[key]));
  if (isSame) return undefined;
  const received = state === null
    ? describeResponse(response.status, response.body)
    : report === null
    ? state
    : described(found);
  return `expected ${described(expected)}: received ${received}`;
}

const COMPARED = ["reason", "expiration", "creation"] as const;

function described(record: EntryReport["kept_out_by"]): string {
  if (record === null) return "up";
  const { name, mode, reason, creation, expiration } = record;
  const times = [["since", creation], ["until", expiration]]
    .map(([word, time]) => time === null ? "" : ` ${word} ${time}`);
  return `${mode} by the record ${name}${times.join("")} (${JSON.stringify(reason)})`;
}

function weightMismatch(
  { report, response: { status, body } }: StateResponse,
  subject: Subject,
  store: SpoolStore,
): string | undefined {
  const { service, port, host } = subject;
  const expected = readIndex(subject, weightName, store).index.weight(service, port, host);
  const found = report?.agent_weight;
  if (found === expected) return undefined;
  const received = found === undefined
    ? describeResponse(status, body)
    : `the weight ${found ?? "unknown"}`;
  return `expected the weight ${expected ?? "unknown"}: received ${received}`;
}

/** Reads the files that can affect a subject. */
function readIndex(
  subject: Subject,
  nameOf: (subject: Subject) => string,
  store: SpoolStore,
): { readonly index: SpoolIndex; readonly invalid: ReadonlySet<string> } {
  const index = new SpoolIndex();
  const invalid = new Set<string>();
  const { service, port, host } = subject;
  const wider = [ALL, service].map((service) => ({ service, port: 0, host: LOCAL_ADDRESS }));
  // The report on port 0 is about `web:0` as well.
  const byPort = [LOCAL_ADDRESS, host].map((host) => {
    return { service, port, host, isPortZero: port === 0 };
  });
  for (const name of [...wider, ...byPort].map(nameOf)) {
    const stored = store.readEntry(name);
    if (stored === undefined) continue;
    index.set(name, stored.record);
    if (stored.problem !== null) invalid.add(name);
  }
  return { index, invalid };
}
