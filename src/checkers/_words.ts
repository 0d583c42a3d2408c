import type { CheckRequest } from "../checks/check.ts";

/**
 * Starts to measure.
 *
 * @returns A function that tells how long ago that was: `0.25s`.
 */
export function stopwatch(): () => string {
  const start = performance.now();
  return () => `${((performance.now() - start) / 1000).toFixed(2)}s`;
}

/**
 * Says what went wrong with a connection. What the system reports names no address, so that is added.
 *
 * @param error What was thrown.
 * @param request Where to connect.
 */
export function connectionFailure(error: unknown, { host, port }: CheckRequest): string {
  const message = errorMessage(error);
  if (!/\(os error \d+\)$/.test(message)) return message;
  return `${message} at ${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What an error says, whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
