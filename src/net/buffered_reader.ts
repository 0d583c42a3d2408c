/** A source of bytes, such as a connection. */
export interface ByteSource {
  /** Reads what was received into a buffer. Returns how many bytes that is, or null at the end. */
  read(buffer: Uint8Array): Promise<number | null>;
}

/** Thrown when a connection ends before all bytes were read. */
export class ConnectionClosedError extends Error {
  override name = "ConnectionClosedError";
}

/** Thrown when a connection is closed, or reset (the cause), before its first byte was read. */
export class NoResponseError extends ConnectionClosedError {
  override name = "NoResponseError";
}

/** Thrown for a line that is longer than its limit. */
export class LineTooLongError extends Error {
  override name = "LineTooLongError";
}

/** Returns whether an error of Deno or Node is that the peer reset the connection. */
export function isReset(error: unknown): error is Error {
  const { code } = error as { readonly code?: unknown };
  return code === "ECONNRESET" || code === "EPIPE";
}

const LF = 10;
const LATIN1 = new TextDecoder("latin1");

/**
 * Reads lines and bytes of a stream, whatever the pieces in which they arrive.
 *
 * @example
 * ```ts
 * import { BufferedReader } from "./buffered_reader.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const pieces = ["220 he", "llo\r\n", "rest"].map((piece) => new TextEncoder().encode(piece));
 * const reader = new BufferedReader({
 *   read: (buffer) => {
 *     const piece = pieces.shift();
 *     if (piece !== undefined) buffer.set(piece);
 *     return Promise.resolve(piece?.length ?? null);
 *   },
 * });
 * assertEquals(await reader.line(100), "220 hello");
 * assertEquals((await reader.exactly(4)).length, 4);
 * ```
 */
export class BufferedReader {
  readonly #source: ByteSource;
  #buffer = new Uint8Array(4096);
  #start = 0;
  #end = 0;
  #hasReceived = false;

  /** @param source The stream. */
  constructor(source: ByteSource) {
    this.#source = source;
  }

  /**
   * Reads a line.
   *
   * @param limit Its limit in bytes, its end included.
   * @returns The line as Latin-1, without the CR LF or LF that ends it.
   * @throws {LineTooLongError} If it is longer.
   * @throws {ConnectionClosedError} If the stream ends within it.
   */
  async line(limit: number): Promise<string> {
    for (let scanned = 0;;) {
      const buffered = this.#buffer.subarray(this.#start, this.#end);
      const end = buffered.indexOf(LF, scanned);
      if (end < 0 ? buffered.length >= limit : end >= limit) {
        throw new LineTooLongError(`a line is longer than ${limit} bytes`);
      }
      if (end >= 0) {
        this.#start += end + 1;
        return LATIN1.decode(buffered.subarray(0, end)).replace(/\r$/, "");
      }
      scanned = buffered.length;
      if (!await this.#more()) {
        throw new ConnectionClosedError("the connection was closed within a line");
      }
    }
  }

  /**
   * Waits for bytes without consuming them.
   *
   * @param length How many. There are fewer if the stream ends before.
   * @returns The bytes, valid until the next call.
   */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#end - this.#start < length && await this.#more());
    return this.#buffer.subarray(this.#start, Math.min(this.#end, this.#start + length));
  }

  /**
   * Reads bytes.
   *
   * @throws {ConnectionClosedError} If the stream ends before.
   */
  async exactly(length: number): Promise<Uint8Array> {
    const bytes = (await this.peek(length)).slice();
    this.#start += bytes.length;
    if (bytes.length === length) return bytes;
    throw new ConnectionClosedError(
      `the connection was closed after ${bytes.length} of ${length} bytes`,
    );
  }

  /**
   * Consumes bytes as they arrive.
   *
   * @param length How many at most.
   * @param take Receives a piece, which is valid until it returns.
   * @returns How many bytes there were before the stream ended.
   */
  async drain(length: number, take: (piece: Uint8Array) => void): Promise<number> {
    for (let drained = 0;;) {
      const end = Math.min(this.#end, this.#start + length - drained);
      const piece = this.#buffer.subarray(this.#start, end);
      if (piece.length > 0) take(piece);
      this.#start = end;
      drained += piece.length;
      if (drained === length || !await this.#more()) return drained;
    }
  }

  async #more(): Promise<boolean> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) this.#makeRoom();
    let read;
    try {
      read = await this.#source.read(this.#buffer.subarray(this.#end));
    } catch (error) {
      if (this.#hasReceived || !isReset(error)) throw error;
      throw new NoResponseError(error.message, { cause: error });
    }
    if (read === null) {
      if (this.#hasReceived) return false;
      throw new NoResponseError("the connection was closed without a response");
    }
    this.#hasReceived = true;
    this.#end += read;
    return true;
  }

  #makeRoom(): void {
    const buffered = this.#buffer.subarray(this.#start, this.#end);
    const isHalfFull = buffered.length > this.#buffer.length / 2;
    const buffer = isHalfFull ? new Uint8Array(2 * this.#buffer.length) : this.#buffer;
    buffer.set(buffered);
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = buffered.length;
  }
}
