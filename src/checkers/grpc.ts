import type { ClientHttp2Stream } from "node:http2";
import type { Checker, CheckRequest, Verdict } from "../checks/check.ts";
import type { TlsSettings } from "../net/tls_connection.ts";
import { attempt, plainTextFailure, StatusError, tlsFailure } from "./_attempt.ts";
import { type Http2Connection, openHttp2, traceHeaders } from "./_http2.ts";

/** The method of the standard health protocol, grpc.health.v1. */
const METHOD = "/grpc.health.v1.Health/Check";

/** The size limit of a response, in bytes. It should have seven. */
export const MAX_RESPONSE_BYTES = 1024;

/** The length limit of its headers and trailers together, in characters. */
export const MAX_HEADERS_LENGTH = 64 * 1024;

/** The gRPC status codes that make a difference. */
const STATUS = { ok: "0", notFound: "5" } as const;

/** The states of a service, by their numbers. */
const SERVING_STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

/** The result of a call: its gRPC status, the message for that, and the body. */
interface Reply {
  readonly status: string | undefined;
  readonly detail: string;
  readonly body: Uint8Array;
}

/**
 * Makes the checker that asks a gRPC server by the standard health protocol (grpc.health.v1). The path names the gRPC
 * service; without one it is the whole server.
 *
 * @param tls The TLS settings; null, the default, for a connection without TLS.
 * @returns A checker: 200 `SERVING`, 503 `NOT_SERVING`, 404 for an unknown service, or 503 and the cause.
 */
export function grpcChecker(tls: TlsSettings | null = null): Checker {
  return (request, signal) =>
    attempt("gRPC", request, signal, async (attempt) => {
      using http2 = await openHttp2(attempt, tls);
      return judge(await call(http2, request));
    }, (error) => tls === null ? plainTextFailure(error, "grpcs") : tlsFailure(error, tls));
}

/** Returns the gRPC service in a path. Its name may have dots and slashes, but no query string. */
function serviceIn(path: string): string {
  return decoded(path.slice(1).split("?")[0]!);
}

/** Decodes escapes. A text with invalid ones stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function call(
  { session, failed, explain, noResponse }: Http2Connection,
  { path, traceparent }: CheckRequest,
): Promise<Reply> {
  const stream: ClientHttp2Stream = session.request(traceHeaders({ ...HEADERS }, traceparent));
  const replied = new Promise<Reply>((resolve, reject) => {
    let headers: Record<string, unknown> = {};
    const body = new Uint8Array(MAX_RESPONSE_BYTES);
    let length = 0;
    const keep = (more: Record<string, unknown>) => {
      headers = { ...headers, ...more };
      const all = Object.entries(headers).map(([name, value]) => `${name}${value}`);
      if (all.join("").length > MAX_HEADERS_LENGTH) reject(new Error("the headers are too long"));
    };
    stream.once("response", keep);
    stream.once("trailers", keep);
    stream.on("data", (piece: Uint8Array) => {
      if (length + piece.length > MAX_RESPONSE_BYTES) {
        return reject(new Error("the response is too long"));
      }
      body.set(piece, length);
      length += piece.length;
    });
    stream.on("error", (error) => reject(explain(error)));
    stream.once("end", () => {
      const status = headers[":status"];
      if (status === undefined) return reject(noResponse());
      if (status !== 200) return reject(new StatusError(`HTTP status ${status}`));
      resolve({
        status: headers["grpc-status"]?.toString(),
        detail: decoded(headers["grpc-message"]?.toString() ?? ""),
        body: body.subarray(0, length),
      });
    });
  });
  stream.end(message(serviceIn(path)));
  return await Promise.race([replied, failed]);
}

/** The headers of a call. */
const HEADERS = {
  ":method": "POST",
  ":path": METHOD,
  "content-type": "application/grpc",
  te: "trailers",
};

/** Encodes a HealthCheckRequest. Its first field is the service's name. Five bytes of framing precede it. */
function message(service: string): Uint8Array {
  const name = new TextEncoder().encode(service).subarray(0, 0x3fff);
  const field = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name];
  return new Uint8Array([0, 0, 0, field.length >> 8, field.length & 0xff, ...field]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, value >> 7];
}

function judge({ status, detail, body }: Reply): Verdict {
  if (status === STATUS.notFound) {
    return { code: 404, message: "SERVICE_UNKNOWN", reason: "unhealthy" };
  }
  if (status !== STATUS.ok) throw new Error(`gRPC status ${status ?? "missing"} ${detail}`.trim());
  // The first field of a HealthCheckResponse is the status, which is omitted if it is zero.
  const [, , , , , tag, value = 0] = body;
  const serving = tag === undefined ? "UNKNOWN" : tag === 0x08 ? SERVING_STATUS[value] : undefined;
  if (serving === undefined || body.length < 5) {
    throw new Error("the response is not one of grpc.health.v1");
  }
  if (serving === "SERVING") return { code: 200, message: serving };
  const code = serving === "SERVICE_UNKNOWN" ? 404 : 503;
  return { code, message: serving, reason: "unhealthy" };
}
