import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import { errorMessage, stopwatch } from "./_words.ts";

/** The method of the standard health protocol, grpc.health.v1. */
const METHOD = "/grpc.health.v1.Health/Check";

/** How long an answer may be, in bytes: one has two. */
export const MAX_RESPONSE_BYTES = 1024;

/** How long its headers and trailers may be together, in characters. */
export const MAX_HEADERS_LENGTH = 64 * 1024;

/** The gRPC status codes that are told apart here. */
const STATUS = { ok: "0", notFound: "5" } as const;

/** What a server says of a service, by the number that stands for it. */
const SERVING_STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

/** A finished call: its gRPC status, what goes with that, and the messages that came. */
interface Reply {
  readonly status: string | undefined;
  readonly detail: string;
  readonly body: Uint8Array;
}

/**
 * Asks a gRPC server for its health by the standard protocol (grpc.health.v1). The path names the gRPC
 * service; without one, it is the server as a whole.
 *
 * @param request Where to connect, and the gRPC service.
 * @param signal The deadline.
 * @returns 200 `SERVING`, 503 `NOT_SERVING`, 404 for a service the server does not know, 503 and why
 * where there is no such answer.
 */
export async function checkGrpc(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  // node:http2 rather than a gRPC library: those read the environment, which takes a permission.
  const { connect } = (await import("node:http2")).default;
  const elapsed = stopwatch();
  const host = request.host.includes(":") ? `[${request.host}]` : request.host;
  const failed = (why: string) => ({
    code: 503,
    message: `gRPC check failed after ${elapsed()}: ${why}`,
  });
  if (signal.aborted) return failed("timed out");
  const session = connect(`http://${host}:${request.port}`);
  const abort = () => session.destroy();
  try {
    signal.addEventListener("abort", abort, { once: true });
    return judge(await call(session, nameOf(request.path)));
  } catch (error) {
    return failed(signal.aborted ? "timed out" : errorMessage(error));
  } finally {
    signal.removeEventListener("abort", abort);
    session.destroy();
  }
}

/** The gRPC service that a path names; names have dots and slashes, not query strings. */
function nameOf(path: string): string {
  return decoded(path.slice(1).split("?")[0]!);
}

/** What has no escapes in it, or wrong ones, stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function call(session: ClientHttp2Session, service: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error("the connection was closed without an answer"));
    // Not `once`: a second error without a listener would end the program.
    session.on("error", reject);
    session.once("close", closed);
    const stream: ClientHttp2Stream = session.request({
      ":method": "POST",
      ":path": METHOD,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let headers: Record<string, unknown> = {};
    const pieces: Uint8Array[] = [];
    let length = 0;
    const keep = (more: Record<string, unknown>) => {
      headers = { ...headers, ...more };
      const all = Object.entries(headers).map(([name, value]) => `${name}${value}`);
      if (all.join("").length > MAX_HEADERS_LENGTH) reject(new Error("the headers are too long"));
    };
    stream.once("response", keep);
    stream.once("trailers", keep);
    stream.on("data", (piece: Uint8Array) => {
      length += piece.length;
      if (length > MAX_RESPONSE_BYTES) reject(new Error("the answer is too long"));
      else pieces.push(piece);
    });
    // What happens to the connection is told in words about the stream.
    stream.on("error", (error) => reject(error.cause ?? error));
    stream.once("end", () => {
      if (headers[":status"] === undefined) return closed();
      if (headers[":status"] !== 200) return reject(new Error(`HTTP status ${headers[":status"]}`));
      const body = new Uint8Array(length);
      let at = 0;
      for (const piece of pieces) {
        body.set(piece, at);
        at += piece.length;
      }
      resolve({
        status: headers["grpc-status"]?.toString(),
        detail: decoded(headers["grpc-message"]?.toString() ?? ""),
        body,
      });
    });
    stream.end(message(service));
  });
}

/** A HealthCheckRequest: its first field is the service's name. Five bytes of framing precede it. */
function message(service: string): Uint8Array {
  const name = new TextEncoder().encode(service).subarray(0, 0x3fff);
  const field = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name];
  return new Uint8Array([0, 0, 0, field.length >> 8, field.length & 0xff, ...field]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, value >> 7];
}

function judge({ status, detail, body }: Reply): Verdict {
  if (status === STATUS.notFound) return { code: 404, message: "SERVICE_UNKNOWN" };
  if (status !== STATUS.ok) throw new Error(`gRPC status ${status ?? "missing"} ${detail}`.trim());
  // A HealthCheckResponse: its first field is the status; a status of zero is left out.
  const [, , , , , tag, value = 0] = body;
  const serving = tag === undefined ? "UNKNOWN" : tag === 0x08 ? SERVING_STATUS[value] : undefined;
  if (serving === undefined || body.length < 5) {
    throw new Error("the answer is not one of grpc.health.v1");
  }
  if (serving === "SERVING") return { code: 200, message: serving };
  return { code: serving === "SERVICE_UNKNOWN" ? 404 : 503, message: serving };
}
