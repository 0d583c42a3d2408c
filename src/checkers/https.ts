import { canonicalAddress } from "../net/addresses.ts";
import type { Checker, CheckRequest } from "../checks/check.ts";
import { openTls } from "../net/tls_connection.ts";
import { askHttp, type HttpCheckOptions } from "./_http.ts";

/** What the configuration says of HTTPS checks. */
export interface HttpsCheckOptions extends HttpCheckOptions {
  /** The authorities whose certificates are trusted, in PEM; null for certificates that are not verified. */
  readonly trusted: string | null;
}

/**
 * Makes the checker that asks `GET https://host:port/path`.
 *
 * @param options What to send, and which certificates are trusted.
 * @returns A checker whose verdict is the service's own status and body, or 503 and why there is
 * none, such as what is wrong with the certificate.
 */
export function httpsChecker(options: HttpsCheckOptions): Checker {
  const { trusted } = options;
  return (request, signal) =>
    askHttp("HTTPS", request, options, signal, () => {
      const tls = { serverName: nameOf(request), trusted };
      return openTls(request.host, request.port, tls, signal);
    });
}

/** The name in the forwarded Host; TLS knows servers by name, not by address. */
function nameOf({ headers }: CheckRequest): string | null {
  const host = headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "";
  const name = host.replace(/:\d+$/, "");
  return /^[\w.-]+$/.test(name) && canonicalAddress(name) === undefined ? name : null;
}
