import type { Checker } from "../checks/check.ts";
import { type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import { tlsFailure } from "./_attempt.ts";
import { checkHttp, type HttpCheckOptions, serverNameOf } from "./_http.ts";

/** The configuration of checks by HTTPS. */
export interface HttpsCheckOptions extends HttpCheckOptions {
  /**
   * The TLS settings; by default certificates are not verified. Without a server name, that in the forwarded Host is
   * used.
   */
  readonly tls?: TlsSettings;
}

/**
 * Makes the checker that requests `GET https://host:port/path`.
 *
 * @returns A checker that returns the service's own status and body, or 503 and why there is none, such as the
 * problem of its certificate.
 */
export function httpsChecker(options: HttpsCheckOptions): Checker {
  const { tls = UNVERIFIED } = options;
  return (request, signal) =>
    checkHttp("HTTPS", request, options, signal, (attempt) => {
      return attempt.connectTls({ ...tls, serverName: tls.serverName ?? serverNameOf(request) });
    }, (error) => tlsFailure(error, tls));
}
