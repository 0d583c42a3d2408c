import type { ClientHttp2Session } from "node:http2";
import { isReset, NoResponseError } from "../net/buffered_reader.ts";
import { duplexOf } from "../net/duplex.ts";
import type { Header } from "../net/http_client.ts";
import type { TlsSettings } from "../net/tls_connection.ts";
import type { Attempt } from "./_attempt.ts";

/** How many bytes a server may send, frames and TLS records included. */
export const MAX_RECEIVED_BYTES = 1024 * 1024;

/** An HTTP/2 connection. Dispose of it to close it. */
export interface Http2Connection extends Disposable {
  /** Node's session. */
  readonly session: ClientHttp2Session;
  /** Rejects when the connection fails or is closed. */
  readonly failed: Promise<never>;
  /** Explains an error of the connection or of a stream. */
  explain(error: unknown): unknown;
  /** Returns the error for a stream that ends without a response. */
  noResponse(): Error;
}

/**
 * Connects by HTTP/2: with prior knowledge, or with TLS, where the server must choose it (ALPN).
 *
 * @param attempt The check.
 * @param tls The TLS settings; null for a connection without TLS.
 */
export async function openHttp2(
  attempt: Attempt,
  tls: TlsSettings | null,
): Promise<Http2Connection> {
  // Libraries for HTTP/2 and gRPC read the environment, which needs a permission.
  const { connect } = (await import("node:http2")).default;
  const plain = await attempt.connect();
  const socket = tls === null
    ? await duplexOf(plain, MAX_RECEIVED_BYTES)
    : await attempt.startTlsSocket(plain, tls, {
      protocols: ["h2"],
      maxBytes: MAX_RECEIVED_BYTES,
    });
  // `alpnProtocol` is set only if the server chose one.
  if ("alpnProtocol" in socket && socket.alpnProtocol !== "h2") {
    socket.destroy();
    throw new Error("expected HTTP/2, found a TLS server that does not choose it (ALPN h2)");
  }
  const session = connect(`http://${attempt.address}`, {
    createConnection: () => socket,
  });
  let isHttp2 = false;
  session.once("remoteSettings", () => {
    attempt.received();
    isHttp2 = true;
  });
  const explain = (error: unknown) => {
    // An error of a stream has that of the connection as its cause.
    const cause = (error as Error).cause ?? error;
    return isHttp2 ? cause : explained(cause);
  };
  const failed = Promise.withResolvers<never>();
  // Without a pending request, nothing waits for it.
  failed.promise.catch(() => {});
  // Not `once`: a second error without a listener would end the program.
  session.on("error", (error) => failed.reject(explain(error)));
  const noResponse = () => {
    const Closed = isHttp2 ? Error : NoResponseError;
    return new Closed("the connection was closed without a response");
  };
  session.once("close", () => failed.reject(noResponse()));
  return {
    session,
    failed: failed.promise,
    ...{ explain, noResponse },
    [Symbol.dispose]() {
      session.destroy();
      socket.destroy();
    },
  };
}

/** Explains an error before the first frame of the server. */
function explained(error: unknown): unknown {
  if (isReset(error)) {
    return new NoResponseError("the connection was reset without a response", { cause: error });
  }
  if ((error as { readonly code?: unknown }).code !== "ERR_HTTP2_ERROR") return error;
  return new Error("expected HTTP/2, found another protocol, such as HTTP/1 or TLS");
}

/**
 * Adds the header of a trace. Deno sets those of a trace by itself where it traces; only the given one may be sent.
 *
 * @param traceparent The header; undefined for none.
 */
export function traceHeaders(
  headers: Record<string, string>,
  traceparent: Header | undefined,
): Record<string, string> {
  for (const name of ["traceparent", "tracestate", "baggage"]) {
    const value = name === traceparent?.[0] ? traceparent[1] : undefined;
    Object.defineProperty(headers, name, {
      enumerable: value !== undefined,
      get: () => value,
      set() {},
    });
  }
  return headers;
}
