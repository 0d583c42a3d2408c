import { STATUS_TEXT } from "../std/http_status.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import type { Connection } from "../net/connection.ts";
import { exchange, type Header, NoResponseError } from "../net/http_client.ts";
import { VERSION } from "../version.ts";
import { connectionFailure, stopwatch } from "./_words.ts";

/** What the configuration says of checks that speak HTTP. */
export interface HttpCheckOptions {
  /** The header that tells a service the name it was asked for by; none if null. */
  readonly serviceNameHeader: string | null;
}

/**
 * Asks a service by HTTP.
 *
 * @param protocol The protocol's name, for messages.
 * @param request What to ask for.
 * @param options What to send beside the headers that are passed on.
 * @param signal The deadline.
 * @param open Connects.
 * @returns The service's own status and body, or 503 and why there is none.
 */
export async function askHttp(
  protocol: string,
  request: CheckRequest,
  { serviceNameHeader }: HttpCheckOptions,
  signal: AbortSignal,
  open: () => Promise<Connection>,
): Promise<Verdict> {
  const headers: Header[] = [["User-Agent", `hacheck/${VERSION}`], ...request.headers];
  if (serviceNameHeader !== null) headers.push([serviceNameHeader, request.service]);
  const host = request.host.includes(":") ? `[${request.host}]` : request.host;
  const elapsed = stopwatch();
  try {
    using connection = await open();
    const { status, body } = await exchange(
      connection,
      `${host}:${request.port}`,
      request.path,
      headers,
    );
    if (Object.hasOwn(STATUS_TEXT, status)) return { code: status, message: body };
    const why = `the service answered ${status}, which is no registered HTTP status`;
    const message = `${protocol} check failed after ${elapsed()}: ${why}`;
    return { code: 503, message: body === "" ? message : `${message}: ${body}` };
  } catch (error) {
    const why = signal.aborted ? "timed out" : connectionFailure(error, request);
    // OpenSSL closes the connection where it is asked in the clear, and sends nothing.
    const hint = protocol === "HTTP" && error instanceof NoResponseError
      ? "; a server that expects TLS does that: if it is one, check it by https"
      : "";
    return { code: 503, message: `${protocol} check failed after ${elapsed()}: ${why}${hint}` };
  }
}
