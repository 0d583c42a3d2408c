/**
 * One HTTP/1.1 question on one new connection.
 *
 * `fetch` would do, but it refuses the ports that browsers must not speak to,
 * on which services do listen, and a check does not want what it adds: pools and
 * redirects.
 *
 * @module
 */

import { BufferedReader, ConnectionClosedError, LineTooLongError } from "./buffered_reader.ts";
import { Connection } from "./connection.ts";
import { decompress } from "./decompress.ts";
import { isTls } from "./tls_connection.ts";

/** The bytes of status lines and headers that are read, interim responses (1xx) included. */
export const MAX_HEAD_BYTES = 64 * 1024;

/** The bytes that are read around the chunks of one body: their sizes, extensions and line ends. */
export const MAX_FRAMING_BYTES = 1024 * 1024;

/** The bytes of a service's body that are read; the rest is cut off. */
export const MAX_BODY_BYTES = 64 * 1024;

/** A header: its name and its value, as they came. */
export type Header = readonly [name: string, value: string];

/** What a server answered. */
export interface HttpResponse {
  /** Its status code, 200–999. */
  readonly status: number;
  /** Its body as text, or as much of it as was wanted. */
  readonly body: string;
}

/** Takes a body as it comes, piece by piece. A piece is valid only until the call returns. */
export type TakePiece = (piece: Uint8Array, status: number) => void;

/** Thrown when what came is not an HTTP answer, or not all of one. */
export class HttpError extends Error {
  override name = "HttpError";
}

/** Thrown when the connection was closed without a byte of an answer. */
export class NoResponseError extends HttpError {
  override name = "NoResponseError";
}

/**
 * Sends `GET` on a new connection and reads the answer. Redirects are not followed.
 *
 * @param hostname The IP address to connect to.
 * @param port The TCP port to connect to.
 * @param path The path and query string to ask for, sent as it is.
 * @param headers The headers to send. `Host` is added where it is missing, and
 * `Connection: close` always.
 * @param signal The deadline of the whole exchange.
 * @param maxBodyBytes How many bytes of the body are wanted; the rest is cut off.
 * @returns The answer.
 * @throws {HttpError} If the answer is not HTTP, or ends too early.
 * @throws {Error} The signal's reason once it has aborted, else what the system
 * says of the connection.
 *
 * @example
 * ```ts
 * import { get } from "./http_client.ts";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = Deno.serve(
 *   { hostname: "127.0.0.1", port: 0, onListen() {} },
 *   () => new Response("fine"),
 * );
 * const answer = await get("127.0.0.1", server.addr.port, "/", [], AbortSignal.timeout(1000));
 * assertEquals(answer, { status: 200, body: "fine" });
 * ```
 */
export async function get(
  hostname: string,
  port: number,
  path: string,
  headers: readonly Header[],
  signal: AbortSignal,
  maxBodyBytes: number = MAX_BODY_BYTES,
): Promise<HttpResponse> {
  using connection = await Connection.open(hostname, port, signal);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return await exchange(connection, `${host}:${port}`, path, headers, maxBodyBytes);
}

/**
 * Does the same, and hands the body on as it comes instead of keeping it.
 *
 * @param hostname As for {@linkcode get}.
 * @param port As for {@linkcode get}.
 * @param path As for {@linkcode get}.
 * @param headers As for {@linkcode get}.
 * @param signal As for {@linkcode get}.
 * @param maxBodyBytes As for {@linkcode get}.
 * @param take Takes the body. What it throws ends the exchange.
 * @returns The status.
 * @throws {Error} As {@linkcode get}.
 */
export async function getInPieces(
  hostname: string,
  port: number,
  path: string,
  headers: readonly Header[],
  signal: AbortSignal,
  maxBodyBytes: number,
  take: TakePiece,
): Promise<number> {
  using connection = await Connection.open(hostname, port, signal);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const request = requestOf(`${host}:${port}`, path, headers, null);
  return (await exchangePieces(connection, request, maxBodyBytes, take)).status;
}

/**
 * Does the same on a connection that is open already.
 *
 * @param connection The connection. It is of no use afterwards.
 * @param host What to send as `Host`, if the headers have none.
 * @param path As for {@linkcode get}.
 * @param headers As for {@linkcode get}.
 * @param maxBodyBytes As for {@linkcode get}.
 * @param form What to send by `POST`, as a form; null to send `GET`.
 * @returns As {@linkcode get}.
 * @throws {Error} As {@linkcode get}.
 */
export async function exchange(
  connection: Connection,
  host: string,
  path: string,
  headers: readonly Header[],
  maxBodyBytes: number = MAX_BODY_BYTES,
  form: URLSearchParams | null = null,
): Promise<HttpResponse> {
  const body = new BodyBuffer(maxBodyBytes);
  const request = requestOf(host, path, headers, form);
  const take = (piece: Uint8Array) => body.add(piece);
  const { status, coding } = await exchangePieces(connection, request, maxBodyBytes, take);
  // Some services compress whatever they are asked for, and balancers may ask for it.
  if (coding !== undefined) await body.decompress(coding);
  return { status, body: body.text };
}

async function exchangePieces(
  connection: Connection,
  request: Uint8Array,
  maxBodyBytes: number,
  take: TakePiece,
): Promise<Head> {
  await connection.write(request);
  const reader = new BufferedReader(connection);
  if (isTls(await reader.peek(2))) throw new HttpError("expected HTTP, found a TLS server");
  for (let room = MAX_HEAD_BYTES;;) {
    const head = await readHead(reader, room);
    if (head.status >= 200) {
      await readBody(reader, head, maxBodyBytes, (piece) => take(piece, head.status));
      return head;
    }
    if (head.status === 101) throw new HttpError("the server switched protocols unasked");
    room -= head.bytes;
  }
}

/** A body in one buffer, whatever the size of its pieces: thousands of tiny arrays would take a hundred times as much. */
export class BodyBuffer {
  readonly #limit: number;
  #buffer = new Uint8Array(4096);
  #length = 0;

  /** @param limit How many bytes are kept at most. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Adds a piece. What is beyond the limit is left out.
   *
   * @param bytes The piece, which is copied.
   */
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
   * Undoes a content coding, up to the same limit.
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

function requestOf(
  host: string,
  path: string,
  headers: readonly Header[],
  form: URLSearchParams | null,
): Uint8Array {
  let fields = "";
  if (!headers.some(([name]) => name.toLowerCase() === "host")) fields += `Host: ${host}\r\n`;
  for (const [name, value] of headers) fields += `${name}: ${value}\r\n`;
  fields += "Connection: close\r\n";
  // A form is spelled in ASCII.
  const body = form === null ? "" : form.toString();
  if (form !== null) {
    fields += "Content-Type: application/x-www-form-urlencoded\r\n";
    fields += `Content-Length: ${body.length}\r\n`;
  }
  fields += `\r\n${body}`;
  // A path comes from Deno.serve decoded as UTF-8, header values come as Latin-1.
  const line = new TextEncoder().encode(`${form === null ? "GET" : "POST"} ${path} HTTP/1.1\r\n`);
  const bytes = new Uint8Array(line.length + fields.length);
  bytes.set(line);
  for (let i = 0; i < fields.length; i++) bytes[line.length + i] = fields.charCodeAt(i);
  return bytes;
}

interface Head {
  readonly status: number;
  /** How long it was, the empty line at its end included. */
  readonly bytes: number;
  /** How the body ends: after this many bytes, in chunks, or with the connection. */
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
      lines.push(line);
      room -= line.length + "\r\n".length;
    }
  } catch (error) {
    if (error instanceof LineTooLongError) {
      throw new HttpError(`the answer's headers are longer than ${MAX_HEAD_BYTES} bytes`);
    }
    if (!(error instanceof ConnectionClosedError)) throw error;
    if (lines.length === 0 && reader.isEmpty) {
      throw new NoResponseError("the connection was closed without an answer");
    }
    throw new HttpError("the connection was closed within the answer's headers");
  }
}

function parseHead([statusLine = "", ...lines]: readonly string[]): Omit<Head, "bytes"> {
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine);
  if (match === null) throw new HttpError("the answer is not HTTP/1");
  const status = Number(match[1]);
  if (status < 100) throw new HttpError(`the answer has no HTTP status: ${status}`);

  let length: string | undefined;
  let coding: string | undefined;
  const transferCodings: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    // No space belongs before the colon. This connection carries one response, so that a header which
    // others read otherwise cannot smuggle in another.
    const name = line.slice(0, Math.max(colon, 0)).trimEnd().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "transfer-encoding") {
      transferCodings.push(...value.toLowerCase().split(/\s*,\s*/));
    } else if (name === "content-length") {
      if (!/^\d{1,15}$/.test(value) || (length !== undefined && length !== value)) {
        throw new HttpError("the answer's Content-Length is not one number");
      }
      length = value;
    } else if (name === "content-encoding") {
      coding = value.toLowerCase();
    }
  }
  const rest = { status, coding };
  if (status < 200 || status === 204 || status === 304) return { ...rest, framing: 0 };
  // `identity` is the name that RFC 2616 had for no coding at all.
  const last = transferCodings.findLast((name) => name !== "identity" && name !== "");
  if (last !== undefined) return { ...rest, framing: last === "chunked" ? "chunked" : "close" };
  if (length !== undefined) return { ...rest, framing: Number(length) };
  // The body of a 205 is empty. Some servers do not say so, and keep the connection open.
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
    throw new HttpError("the connection was closed within the answer's body");
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
    // A line ends with two bytes, and so does the chunk.
    framing += line.length + "\r\n\r\n".length;
    if (framing > MAX_FRAMING_BYTES) {
      throw new HttpError(`the answer has more than ${MAX_FRAMING_BYTES} bytes around its chunks`);
    }
    const size = /^([0-9a-f]{1,12})\s*(?:;|$)/i.exec(line);
    if (size === null) throw new HttpError(MALFORMED_CHUNKS);
    const rest = Number.parseInt(size[1]!, 16);
    // The trailer that may follow the last chunk tells a check nothing.
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

const MALFORMED_CHUNKS = "the answer's chunks are malformed";
