/**
 * HTTP/1.1 requests, each on a new connection. `fetch` rejects the ports that browsers must not connect to, on
 * which services do listen, and it pools connections and follows redirects.
 *
 * @module
 */

import { BufferedReader, ConnectionClosedError, LineTooLongError } from "./buffered_reader.ts";
import type { Connection } from "./connection.ts";
import { decompress } from "./decompress.ts";
import { isTls, TlsError } from "./tls_connection.ts";

/** How many bytes of status lines and headers are read, interim responses (1xx) included. */
export const MAX_HEAD_BYTES = 64 * 1024;

/** How many bytes are read around the chunks of one body: their sizes, extensions and line ends. */
export const MAX_FRAMING_BYTES = 1024 * 1024;

/** How many bytes of a service's body are read; the rest is cut off. */
export const MAX_BODY_BYTES = 64 * 1024;

/** A header: its name and its value, as received. */
export type Header = readonly [name: string, value: string];

/** A response. */
export interface HttpResponse {
  /** The status code, from 200 to 999. */
  readonly status: number;
  /** The body as text, up to the limit. */
  readonly body: string;
}

/** A request. */
export interface HttpRequest {
  /** The `Host` header, unless it is among the headers. */
  readonly host: string;
  /** The path and query string, sent as they are. */
  readonly path: string;
  /** The headers. `Connection: close` is added. */
  readonly headers: readonly Header[];
  /** How many bytes of the body are read; the rest is cut off. */
  readonly maxBodyBytes?: number;
  /** The form to send by `POST`; `GET` is sent without one. */
  readonly form?: URLSearchParams | null;
}

/** Receives a body in pieces. A piece is valid only until the call returns. */
export type TakePiece = (piece: Uint8Array, status: number) => void;

/** Thrown for a response that is not HTTP, or that is incomplete. */
export class HttpError extends Error {
  override name = "HttpError";
}

/**
 * Sends a request and reads the response. Redirects are not followed.
 *
 * @param connection A new connection. It cannot be used afterwards.
 * @returns The response.
 * @throws {HttpError} If the response is not HTTP, or incomplete.
 * @throws {NoResponseError} If the connection was closed or reset before the response began.
 * @throws {Error} The reason of the connection's deadline, or the system's error.
 *
 * @example
 * ```ts
 * import { Connection } from "./connection.ts";
 * import { exchange } from "./http_client.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
 * await using server = Deno.serve(options, () => new Response("fine"));
 * const deadline = AbortSignal.timeout(1000);
 * using connection = await Connection.open("127.0.0.1", server.addr.port, deadline);
 * const response = await exchange(connection, { host: "localhost", path: "/", headers: [] });
 * assertEquals(response, { status: 200, body: "fine" });
 * ```
 */
export async function exchange(
  connection: Connection,
  request: HttpRequest,
): Promise<HttpResponse> {
  const body = new BodyBuffer(request.maxBodyBytes ?? MAX_BODY_BYTES);
  const { status, coding } = await exchangePieces(connection, request, (piece) => body.add(piece));
  // Some services compress without being asked, and balancers may ask for it.
  if (coding !== undefined) await body.decompress(coding);
  return { status, body: body.text };
}

/**
 * Does the same without keeping the body.
 *
 * @param connection A new connection. It cannot be used afterwards.
 * @param take Receives the body. An error that it throws ends the exchange.
 * @returns The status, and the `Content-Encoding` of the body.
 * @throws {Error} As {@linkcode exchange}.
 */
export async function exchangePieces(
  connection: Connection,
  request: HttpRequest,
  take: TakePiece,
): Promise<{ readonly status: number; readonly coding: string | undefined }> {
  await connection.write(encode(request));
  const reader = new BufferedReader(connection);
  if (isTls(await reader.peek(2))) throw new TlsError("expected HTTP, found a TLS server");
  for (let room = MAX_HEAD_BYTES;;) {
    const head = await readHead(reader, room);
    if (head.status >= 200) {
      const limit = request.maxBodyBytes ?? MAX_BODY_BYTES;
      await readBody(reader, head, limit, (piece) => take(piece, head.status));
      return head;
    }
    if (head.status === 101) {
      throw new HttpError("the server switched protocols without being asked");
    }
    room -= head.bytes;
  }
}

/** A body in one buffer. Thousands of tiny pieces would take a hundred times as much memory. */
export class BodyBuffer {
  readonly #limit: number;
  #buffer = new Uint8Array(4096);
  #length = 0;

  /** @param limit How many bytes are kept at most. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a copy of a piece, up to the limit. */
  add(bytes: Uint8Array): void {
    const piece = bytes.subarray(0, this.#limit - this.#length);
    const length = this.#length + piece.length;
    if (length > this.#buffer.length) {
      const size = Math.max(length, Math.min(2 * this.#buffer.length, this.#limit));
      const buffer = new Uint8Array(size);
      buffer.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = buffer;
    }
    this.#buffer.set(piece, this.#length);
    this.#length = length;
  }

  /**
   * Decompresses the body, up to the same limit.
   *
   * @param coding The value of `Content-Encoding`, in lower case.
   */
  async decompress(coding: string): Promise<void> {
    const encoded = this.#buffer.subarray(0, this.#length);
    this.#buffer = await decompress(encoded, coding, this.#limit);
    this.#length = this.#buffer.length;
  }

  /** As UTF-8, without a character that the limit cut off. */
  get text(): string {
    return new TextDecoder().decode(this.#buffer.subarray(0, this.#length), { stream: true });
  }
}

function encode({ host, path, headers, form = null }: HttpRequest): Uint8Array {
  let fields = "";
  if (!headers.some(([name]) => name.toLowerCase() === "host")) fields += `Host: ${host}\r\n`;
  for (const [name, value] of headers) fields += `${name}: ${value}\r\n`;
  fields += "Connection: close\r\n";
  // It is ASCII, so that its length is its size.
  const body = form === null ? "" : form.toString();
  if (form !== null) {
    fields += "Content-Type: application/x-www-form-urlencoded\r\n";
    fields += `Content-Length: ${body.length}\r\n`;
  }
  fields += `\r\n${body}`;
  // Deno.serve decodes a path as UTF-8, and header values as Latin-1.
  const line = new TextEncoder().encode(`${form === null ? "GET" : "POST"} ${path} HTTP/1.1\r\n`);
  const bytes = new Uint8Array(line.length + fields.length);
  bytes.set(line);
  for (let i = 0; i < fields.length; i++) bytes[line.length + i] = fields.charCodeAt(i);
  return bytes;
}

interface Head {
  readonly status: number;
  /** Its length, the empty line at its end included. */
  readonly bytes: number;
  /** How the body ends: after this many bytes, with the last chunk, or with the connection. */
  readonly framing: number | "chunked" | "close";
  /** Its `Content-Encoding` in lower case; undefined if it has none. */
  readonly coding: string | undefined;
}

async function readHead(reader: BufferedReader, limit: number): Promise<Head> {
  const lines: string[] = [];
  try {
    for (let room = limit;;) {
      const line = await reader.line(room);
      if (line === "") return { ...parseHead(lines), bytes: limit - room + "\r\n".length };
      // At once: a server of another protocol may wait for more.
      if (lines.length === 0) statusIn(line);
      lines.push(line);
      room -= line.length + "\r\n".length;
    }
  } catch (error) {
    if (error instanceof LineTooLongError) {
      throw new HttpError(`the response's headers are longer than ${MAX_HEAD_BYTES} bytes`);
    }
    if (!(error instanceof ConnectionClosedError)) throw error;
    throw new HttpError("the connection was closed within the response's headers", {
      cause: error,
    });
  }
}

/** Parses a status line. */
function statusIn(line: string): number {
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(line);
  if (match === null) throw new HttpError("expected HTTP/1, found another protocol");
  const status = Number(match[1]);
  if (status < 100) throw new HttpError(`expected an HTTP status, found ${match[1]}`);
  return status;
}

function parseHead([statusLine = "", ...lines]: readonly string[]): Omit<Head, "bytes"> {
  const status = statusIn(statusLine);
  let length: string | undefined;
  let coding: string | undefined;
  const transferCodings: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    // A space before the colon is invalid. It is tolerated: on a connection with one response, a header
    // that others parse differently cannot smuggle in another.
    const name = line.slice(0, Math.max(colon, 0)).trimEnd().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "transfer-encoding") {
      transferCodings.push(...value.toLowerCase().split(/\s*,\s*/));
    } else if (name === "content-length") {
      if (!/^\d{1,15}$/.test(value) || (length !== undefined && length !== value)) {
        throw new HttpError("the response's Content-Length is not one number");
      }
      length = value;
    } else if (name === "content-encoding") {
      coding = value.toLowerCase();
    }
  }
  const rest = { status, coding };
  if (status < 200 || status === 204 || status === 304) return { ...rest, framing: 0 };
  // `identity` was the name of no coding in RFC 2616.
  const last = transferCodings.findLast((name) => name !== "identity" && name !== "");
  if (last !== undefined) return { ...rest, framing: last === "chunked" ? "chunked" : "close" };
  if (length !== undefined) return { ...rest, framing: Number(length) };
  // The body of a 205 is empty. Some servers send no length, and keep the connection open.
  return { ...rest, framing: status === 205 ? 0 : "close" };
}

async function readBody(
  reader: BufferedReader,
  { framing }: Head,
  limit: number,
  take: (piece: Uint8Array) => void,
): Promise<void> {
  if (framing === "close") {
    await reader.drain(limit, take);
    return;
  }
  try {
    if (framing === "chunked") await readChunks(reader, limit, take);
    else await drainAll(reader, Math.min(framing, limit), take);
  } catch (error) {
    if (error instanceof LineTooLongError) throw new HttpError(MALFORMED_CHUNKS);
    if (!(error instanceof ConnectionClosedError)) throw error;
    throw new HttpError("the connection was closed within the response's body", { cause: error });
  }
}

async function readChunks(
  reader: BufferedReader,
  limit: number,
  take: (piece: Uint8Array) => void,
): Promise<void> {
  let framing = 0;
  for (let length = 0;;) {
    const line = await reader.line(MAX_HEAD_BYTES);
    // The line and the chunk end with two bytes each.
    framing += line.length + "\r\n\r\n".length;
    if (framing > MAX_FRAMING_BYTES) {
      throw new HttpError(
        `the response has more than ${MAX_FRAMING_BYTES} bytes around its chunks`,
      );
    }
    const size = /^([0-9a-f]{1,12})\s*(?:;|$)/i.exec(line);
    if (size === null) throw new HttpError(MALFORMED_CHUNKS);
    const rest = Number.parseInt(size[1]!, 16);
    // A trailer may follow the last chunk. No check needs it.
    if (rest === 0) return;
    const wanted = Math.min(rest, limit - length);
    await drainAll(reader, wanted, take);
    length += wanted;
    if (length === limit) return;
    if (await reader.line(MAX_HEAD_BYTES) !== "") throw new HttpError(MALFORMED_CHUNKS);
  }
}

async function drainAll(
  reader: BufferedReader,
  length: number,
  take: (piece: Uint8Array) => void,
): Promise<void> {
  const drained = await reader.drain(length, take);
  if (drained < length) {
    throw new ConnectionClosedError(`the connection was closed after ${drained} bytes`);
  }
}

const MALFORMED_CHUNKS = "the response's chunks are malformed";
