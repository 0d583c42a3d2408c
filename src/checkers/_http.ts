import { type CheckRequest, isFailure, type Verdict } from "../checks/check.ts";
import { canonicalAddress, hostPort } from "../net/addresses.ts";
import type { Connection } from "../net/connection.ts";
import { exchange, type Header } from "../net/http_client.ts";
import { STATUS_TEXT } from "../std/http_status.ts";
import { VERSION } from "../runtime/version.ts";
import { type Attempt, attempt, StatusError } from "./_attempt.ts";

/** The configuration of checks by HTTP. */
export interface HttpCheckOptions {
  /** The header that contains the service's name; null for none. */
  readonly serviceNameHeader: string | null;
}

/**
 * Checks a service by HTTP.
 *
 * @param options The headers to send beside those of the request.
 * @returns The service's own status and body, or 503 and why there is none.
 */
export function checkHttp(
  name: "HTTP" | "HTTPS",
  request: CheckRequest,
  { serviceNameHeader }: HttpCheckOptions,
  signal: AbortSignal,
  open: (attempt: Attempt) => Promise<Connection>,
  explain: (error: unknown) => string,
): Promise<Verdict> {
  const { host, port, path, service } = request;
  const headers: Header[] = [["User-Agent", `hacheck/${VERSION}`], ...request.headers];
  if (request.traceparent !== undefined) headers.push(request.traceparent);
  if (serviceNameHeader !== null) headers.push([serviceNameHeader, service]);
  return attempt(name, request, signal, async (attempt) => {
    using connection = await open(attempt);
    const response = await exchange(connection, { host: hostPort(host, port), path, headers });
    return verdictOf(response.status, response.body);
  }, explain);
}

/**
 * Returns the verdict for a response: its own status and body.
 *
 * @throws {StatusError} If the status is no registered one.
 */
export function verdictOf(status: number, body: string): Verdict {
  if (Object.hasOwn(STATUS_TEXT, status)) {
    const verdict = { code: status, message: body };
    return isFailure(verdict) ? { ...verdict, reason: "status" } : verdict;
  }
  const why = `the service answered ${status}, which is no registered HTTP status`;
  throw new StatusError(body === "" ? why : `${why}: ${body}`);
}

/** Returns the name in the forwarded Host; null for an address. TLS identifies servers by name, not by address. */
export function serverNameOf({ headers }: CheckRequest): string | null {
  const host = headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "";
  const name = host.replace(/:\d+$/, "");
  return /^[\w.-]+$/.test(name) && canonicalAddress(name) === undefined ? name : null;
}
