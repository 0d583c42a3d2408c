import type { Checker } from "../checks/check.ts";
import { plainTextFailure } from "./_attempt.ts";
import { checkHttp, type HttpCheckOptions } from "./_http.ts";

/**
 * Makes the checker that requests `GET http://host:port/path`.
 *
 * @param options The headers to send beside those of the request.
 * @returns A checker that returns the service's own status and body, or 503 and why there is none.
 */
export function httpChecker(options: HttpCheckOptions): Checker {
  return (request, signal) =>
    checkHttp(
      ...["HTTP", request, options, signal] as const,
      (attempt) => attempt.connect(),
      (error) => plainTextFailure(error, "https"),
    );
}
