import type { CheckRequest, Verdict } from "../checks/check.ts";
import { errorMessage } from "../text/error_message.ts";
import { hostPort } from "../net/addresses.ts";
import { NoResponseError } from "../net/buffered_reader.ts";

/** Thrown if a server requires what hacheck does not support. It is the cause even after the deadline. */
export class UnsupportedError extends Error {
  override name = "UnsupportedError";
}

/**
 * Runs a check. If it throws, the service is down.
 *
 * @param explain Returns the cause of a failure, unless the check timed out.
 * @returns The verdict, or 503 and the cause.
 */
export async function attempt(
  name: string,
  request: CheckRequest,
  signal: AbortSignal,
  check: () => Promise<Verdict>,
  explain: (error: unknown, request: CheckRequest) => string = plainTextFailure,
): Promise<Verdict> {
  const elapsed = stopwatch();
  try {
    return await check();
  } catch (error) {
    const isTimeout = signal.aborted && !(error instanceof UnsupportedError);
    const why = isTimeout ? "timed out" : explain(error, request);
    return { code: 503, message: `${name} check failed after ${elapsed()}: ${why}` };
  }
}

/** Starts to measure time. The function that it returns returns the time since then: `0.25s`. */
export function stopwatch(): () => string {
  const start = performance.now();
  return () => `${((performance.now() - start) / 1000).toFixed(2)}s`;
}

/** Returns why a connection failed. The system's messages do not name the address, so it is added. */
export function connectionFailure(error: unknown, { host, port }: CheckRequest): string {
  const message = errorMessage(error);
  return /\(os error \d+\)$/.test(message) ? `${message} at ${hostPort(host, port)}` : message;
}

/**
 * Returns why a check without TLS failed. A TLS server closes or resets a connection that does not begin with TLS.
 *
 * @param secure The protocol that checks a TLS server.
 */
export function plainTextFailure(error: unknown, request: CheckRequest, secure = "tcp"): string {
  const why = connectionFailure(error, request);
  return error instanceof NoResponseError
    ? `${why}; a server that expects TLS does that: if it is one, check it by ${secure}`
    : why;
}
