/**
 * The words everybody shares: what is asked, what is answered, and who answers.
 *
 * @module
 */

import type { Header } from "../net/http_client.ts";

/** One question of a balancer: which service to check, where, and by what. */
export interface CheckRequest {
  /** The protocol as the URL names it: `http`, `tcp`, … */
  readonly protocol: string;
  /** The name operators mark down. */
  readonly service: string;
  /** The IP address to connect to, in canonical spelling. */
  readonly host: string;
  /** The TCP port to connect to, from 1 to 65535; 0 where none was given. */
  readonly port: number;
  /** The path and query string to ask a service for: a `/` and the rest, untouched. */
  readonly path: string;
  /** The balancer's headers that the configuration passes on to services. */
  readonly headers: readonly Header[];
}

/** The answer to a {@linkcode CheckRequest}. */
export interface Verdict {
  /** An HTTP status code: 200 and below means up. */
  readonly code: number;
  /** What the balancer gets as body. */
  readonly message: string;
}

/**
 * Tells whether HAProxy counts a verdict as a failed check, by its default: every status but 2xx and 3xx.
 *
 * @param verdict The verdict, with a code that an HTTP response can carry.
 */
export function isFailure({ code }: Verdict): boolean {
  return code >= 400;
}

/**
 * Asks one service whether it is up.
 *
 * A checker settles soon after `signal` aborts and leaves nothing open whatever
 * happens. What the service does wrong is a {@linkcode Verdict}; a rejection is
 * a fault of the checker itself, and counts as down.
 */
export type Checker = (request: CheckRequest, signal: AbortSignal) => Promise<Verdict>;

/** Which parts of a {@linkcode CheckRequest}, beside host and port, shape a checker's answer. */
export type CacheKeyPart = "path" | "headers" | "service";

/** A protocol: how to check, and what tells one check from another. */
export interface Protocol {
  /** Asks the service. */
  readonly check: Checker;
  /** Two requests that agree in these, in host and in port may share one answer. */
  readonly varyOn: readonly CacheKeyPart[];
}
