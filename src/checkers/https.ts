import { canonicalAddress } from "../net/addresses.ts";
import type { Checker, CheckRequest } from "../checks/check.ts";
import { type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import { tlsFailure } from "./_attempt.ts";
import { checkHttp, type HttpCheckOptions } from "./_http.ts";

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

/** Returns the name in the forwarded Host. TLS identifies servers by name, not by address. */
function serverNameOf({ headers }: CheckRequest): string | null {
  const host = headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "";
  const name = host.replace(/:\d+$/, "");
  return /^[\w.-]+$/.test(name) && canonicalAddress(name) === undefined ? name : null;
}
