import { canonicalAddress } from "../net/addresses.ts";
import type { Checker, CheckRequest } from "../checks/check.ts";
import { NoResponseError } from "../net/buffered_reader.ts";
import { errorMessage } from "../text/error_message.ts";
import { checkHttp, type HttpCheckOptions } from "./_http.ts";

/** The configuration of checks by HTTPS. */
export interface HttpsCheckOptions extends HttpCheckOptions {
  /** The trusted authorities, in PEM; null if certificates are not verified. */
  readonly trusted: string | null;
}

/**
 * Makes the checker that requests `GET https://host:port/path`.
 *
 * @returns A checker that returns the service's own status and body, or 503 and why there is none, such as the
 * problem of its certificate.
 */
export function httpsChecker(options: HttpsCheckOptions): Checker {
  const { trusted } = options;
  return (request, signal) =>
    checkHttp("HTTPS", request, options, signal, (attempt) => {
      return attempt.connectTls({ serverName: serverNameOf(request), trusted });
    }, (error) => {
      const why = errorMessage(error);
      return error instanceof NoResponseError
        ? `${why}; a server that requires a client certificate may do that, and hacheck sends none`
        : why;
    });
}

/** Returns the name in the forwarded Host. TLS identifies servers by name, not by address. */
function serverNameOf({ headers }: CheckRequest): string | null {
  const host = headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "";
  const name = host.replace(/:\d+$/, "");
  return /^[\w.-]+$/.test(name) && canonicalAddress(name) === undefined ? name : null;
}
