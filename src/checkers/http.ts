import type { Checker } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { askHttp, type HttpCheckOptions } from "./_http.ts";

/**
 * Makes the checker that asks `GET http://host:port/path`.
 *
 * @param options What to send beside the headers that are passed on.
 * @returns A checker whose verdict is the service's own status and body, or 503 and why there is none.
 */
export function httpChecker(options: HttpCheckOptions): Checker {
  return (request, signal) =>
    askHttp(
      "HTTP",
      request,
      options,
      signal,
      () => Connection.open(request.host, request.port, signal),
    );
}
