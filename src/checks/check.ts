/**
 * The words that the rooms share: a check, its verdict, and the protocol that it is made by.
 *
 * @module
 */

import type { Header } from "../net/http_client.ts";
import type { ProxyVersion } from "../net/proxy_protocol.ts";
import type { TlsSession } from "../net/tls_connection.ts";

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
  /** The header by which the service continues the trace of this check; absent if it is not forwarded. */
  readonly traceparent?: Header;
  /** The version of the PROXY protocol that the connection begins with; absent for none. */
  readonly proxyVersion?: ProxyVersion;
  /** When a balancer asked for it last, in unix seconds; absent for a check that none asks for. */
  askedAt?: number;
}

/** Why checks fail, by the names that JSON, metrics and the log use, each with its meaning. */
export const FAILURE_REASONS = {
  refused: "nothing listens on the port",
  unreachable: "the host cannot be reached",
  connect_timeout: "the connection was not accepted in time",
  tls: "the TLS handshake failed, or one side speaks TLS and the other does not",
  tls_timeout: "the TLS handshake did not end in time",
  response_timeout: "the service accepted the connection and did not respond in time",
  reset: "the service reset the connection",
  closed: "the service closed the connection before its response was complete",
  protocol: "the service responded by another protocol, or broke its own",
  status: "the service responded with an HTTP status that is a failure",
  login: "the service refused the login",
  unhealthy: "the service reported that it is not well",
  limit: "hacheck did not get to the check in time: max_clients or the queue was full",
  configuration: "hacheck's configuration does not allow the check, or lacks a part of it",
  internal: "hacheck itself failed",
} as const;

/** Why a check failed: a name in {@linkcode FAILURE_REASONS}. */
export type FailureReason = keyof typeof FAILURE_REASONS;

/** How long the phases of a check took, in milliseconds. A phase that was not reached is absent. */
export interface Phases {
  /** Until the connection was accepted, or the attempt ended. */
  readonly connect: number;
  /** The TLS handshake. */
  readonly tls?: number;
  /** From the connection, or the handshake, to the first byte of the service. */
  readonly first_byte?: number;
  /** From the first byte to the verdict. */
  readonly rest?: number;
}

/** The result of a {@linkcode CheckRequest}. */
export interface Verdict {
  /** An HTTP status code; {@linkcode isFailure} judges it. */
  readonly code: number;
  /** The body of the response to the balancer. */
  readonly message: string;
  /** Why the check failed; absent for a good verdict, and for one of the spool. */
  readonly reason?: FailureReason;
  /** How long its phases took; absent if no connection was tried. */
  readonly phases?: Phases;
  /** The TLS session; absent if there was none. */
  readonly tls?: TlsSession;
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
