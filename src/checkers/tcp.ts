import type { CheckRequest, Verdict } from "../checks/check.ts";
import { Attempt, unexpectedError } from "./_attempt.ts";

/**
 * Connects, and closes the connection.
 *
 * @returns 200 `Connected in 0.00s`, or 503 and the cause.
 */
export async function checkTcp(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const attempt = new Attempt(request, signal);
  try {
    using _connection = await attempt.connect();
    return attempt.end({ code: 200, message: `Connected in ${attempt.elapsed}` });
  } catch (error) {
    return attempt.fail(error, unexpectedError(attempt, error));
  }
}
