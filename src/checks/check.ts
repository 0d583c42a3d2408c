/**
 * The words that the rooms share: a check, its verdict, and the protocol that it is made by.
 *
 * @module
 */

import type { Header } from "../net/http_client.ts";

/** A check that a balancer asks for: which service, where, and by which protocol. */
export interface CheckRequest {
  /** The protocol as the URL names it: `http`, `tcp`, … */
  readonly protocol: string;
  /** The service's name, as operators write it in records. */
  readonly service: string;
  /** The IP address to connect to, in canonical spelling. */
  readonly host: string;
  /** The TCP port to connect to, from 1 to 65535; 0 where none was given. */
  readonly port: number;
  /** The path and query string to request: a `/` and the rest, unchanged. */
  readonly path: string;
  /** The balancer's headers that the configuration forwards to services. */
  readonly headers: readonly Header[];
}

/** The result of a {@linkcode CheckRequest}. */
export interface Verdict {
  /** An HTTP status code; {@linkcode isFailure} judges it. */
  readonly code: number;
  /** The body of the response to the balancer. */
  readonly message: string;
}

/**
 * Reports whether HAProxy, by its default, counts a verdict as a failed check: every status but 2xx and 3xx.
 *
 * @param verdict The verdict, with a code that an HTTP response can carry.
 * @returns Whether the check failed.
 */
export function isFailure({ code }: Verdict): boolean {
  return code >= 400;
}

/**
 * Checks one service.
 *
 * A checker settles soon after `signal` aborts, and then has closed all connections. It resolves with a
 * {@linkcode Verdict} whatever the service does wrong. A rejection is an internal error, and counts as down.
 */
export type Checker = (request: CheckRequest, signal: AbortSignal) => Promise<Verdict>;

/** A part of a {@linkcode CheckRequest} that can change the verdict, beside protocol, host and port. */
export type CacheKeyPart = "path" | "headers" | "service";

/** A protocol: how services are checked by it, and which checks may share a verdict. */
export interface Protocol {
  /** Checks the service. */
  readonly check: Checker;
  /** Requests that agree in these parts, in host and in port may share a verdict. */
  readonly varyOn: readonly CacheKeyPart[];
}
