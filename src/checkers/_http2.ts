import type { ClientHttp2Session } from "node:http2";
import { duplexOf } from "../net/duplex.ts";
import type { TlsSettings } from "../net/tls_connection.ts";
import type { Attempt } from "./_attempt.ts";

/** How many bytes a server may send, frames and TLS records included. */
export const MAX_RECEIVED_BYTES = 1024 * 1024;

/** An HTTP/2 connection. Dispose of it to close it. */
export interface Http2Connection extends Disposable {
  /** Node's session. */
  readonly session: ClientHttp2Session;
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
  return {
    session,
    [Symbol.dispose]() {
      session.destroy();
      socket.destroy();
    },
  };
}
