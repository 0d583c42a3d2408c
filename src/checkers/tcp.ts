import type { CheckRequest, Verdict } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { connectionFailure, stopwatch } from "./_attempt.ts";

/**
 * Connects, and closes the connection.
 *
 * @returns 200 `Connected in 0.00s`, or 503 and the cause.
 */
export async function checkTcp(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const elapsed = stopwatch();
  try {
    using _connection = await Connection.open(request.host, request.port, signal);
    return { code: 200, message: `Connected in ${elapsed()}` };
  } catch (error) {
    if (signal.aborted) return { code: 503, message: `Connection timed out after ${elapsed()}` };
    const why = connectionFailure(error, request);
    return { code: 503, message: `Unexpected error ${why} after ${elapsed()}` };
  }
}
