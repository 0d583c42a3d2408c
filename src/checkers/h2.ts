import type { IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import type { Checker, CheckRequest, Verdict } from "../checks/check.ts";
import { hostPort } from "../net/addresses.ts";
import { BodyBuffer, MAX_BODY_BYTES } from "../net/http_client.ts";
import { type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import { VERSION } from "../runtime/version.ts";
import { attempt, plainTextFailure, tlsFailure } from "./_attempt.ts";
import { type HttpCheckOptions, serverNameOf, verdictOf } from "./_http.ts";
import { type Http2Connection, openHttp2, traceHeaders } from "./_http2.ts";

/** The configuration of checks by HTTP/2. */
export interface Http2CheckOptions extends HttpCheckOptions {
  /** The TLS settings; by default certificates are not verified. They are ignored without TLS. */
  readonly tls?: TlsSettings;
}

/** A response, whose body has at most {@linkcode MAX_BODY_BYTES}. */
interface Http2Response {
  readonly status: number;
  readonly body: string;
}

/**
 * Makes the checker that requests `GET https://host:port/path` by HTTP/2 from a server that chooses it (ALPN).
 *
 * @returns A checker that returns the service's own status and body, or 503 and why there is none.
 */
export function h2Checker({ tls = UNVERIFIED, ...options }: Http2CheckOptions): Checker {
  return (request, signal) => {
    const serverName = tls.serverName ?? serverNameOf(request);
    return attempt("HTTP/2", request, signal, async (attempt) => {
      using connection = await openHttp2(attempt, { ...tls, serverName });
      return await exchange(connection, request, options);
    }, (error) => tlsFailure(error, tls));
  };
}

/**
 * Makes the checker that does the same without TLS, with prior knowledge.
 *
 * @returns As {@linkcode h2Checker}.
 */
export function h2cChecker(options: HttpCheckOptions): Checker {
  return (request, signal) =>
    attempt("HTTP/2", request, signal, async (attempt) => {
      using connection = await openHttp2(attempt, null);
      return await exchange(connection, request, options);
    }, (error) => plainTextFailure(error, "h2"));
}

async function exchange(
  { session, failed, explain, noResponse }: Http2Connection,
  request: CheckRequest,
  { serviceNameHeader }: HttpCheckOptions,
): Promise<Verdict> {
  const { host, port, path, service, traceparent } = request;
  const headers = Object.fromEntries(
    request.headers.map(([name, value]) => [name.toLowerCase(), value]),
  );
  const { host: authority = hostPort(host, port), ...others } = headers;
  const stream = session.request(traceHeaders({
    ":method": "GET",
    ":authority": authority,
    // As in HTTP/1, other characters are sent as UTF-8.
    ":path": path.replace(/[^!-~]+/g, encodeURIComponent),
    "user-agent": `hacheck/${VERSION}`,
    ...others,
    ...serviceNameHeader === null ? {} : { [serviceNameHeader.toLowerCase()]: service },
  }, traceparent));
  const responded = new Promise<Http2Response>((resolve, reject) => {
    const body = new BodyBuffer(MAX_BODY_BYTES);
    let received: IncomingHttpHeaders & IncomingHttpStatusHeader | undefined;
    const finish = async () => {
      const status = received?.[":status"];
      if (status === undefined) throw noResponse();
      const coding = received?.["content-encoding"];
      if (coding !== undefined) await body.decompress(coding.toLowerCase());
      return { status, body: body.text };
    };
    stream.once("response", (headers) => received = headers);
    let room = MAX_BODY_BYTES;
    stream.on("data", (piece: Uint8Array) => {
      body.add(piece);
      room -= piece.length;
      // The rest of a long body is not needed.
      if (room <= 0) finish().then(resolve, reject);
    });
    stream.once("end", () => finish().then(resolve, reject));
    stream.on("error", (error) => reject(explain(error)));
  });
  stream.end();
  const { status, body } = await Promise.race([responded, failed]);
  return verdictOf(status, body);
}
