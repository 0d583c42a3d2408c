import type { Checker, CheckRequest, Header, Verdict } from "../check.ts";
import { get } from "../http_client.ts";
import { VERSION } from "../version.ts";
import { because, stopwatch } from "./_words.ts";

/** What the configuration says of HTTP checks. */
export interface HttpCheckOptions {
  /** The header that tells a service the name it was asked for by; none if null. */
  readonly serviceNameHeader: string | null;
}

/**
 * Makes the checker that asks `GET http://host:port/path`.
 *
 * @param options What to send beside the headers that are passed on.
 * @returns A checker whose verdict is the service's own status and body, or 503 and why there is none.
 */
export function httpChecker({ serviceNameHeader }: HttpCheckOptions): Checker {
  return async (request: CheckRequest, signal: AbortSignal): Promise<Verdict> => {
    const headers: Header[] = [["User-Agent", `hacheck/${VERSION}`], ...request.headers];
    if (serviceNameHeader !== null) headers.push([serviceNameHeader, request.service]);
    const elapsed = stopwatch();
    try {
      const { status, body } = await get(request.host, request.port, request.path, headers, signal);
      return { code: status, message: body };
    } catch (error) {
      const why = signal.aborted ? "timed out" : because(error);
      return { code: 503, message: `HTTP check failed after ${elapsed()}: ${why}` };
    }
  };
}
