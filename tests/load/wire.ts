/**
 * HTTP/1 as it goes over the wire, where a character stands for a byte.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** A text as the bytes of its UTF-8, a character each. */
export function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** A response. */
export interface WireResponse {
  /** Its status. */
  readonly status: number;
  /** Its body, a character a byte. */
  readonly body: string;
  /** Whether it is the last on its connection. */
  readonly isLast: boolean;
}

/** Thrown when what came is no response, or not all of one. */
export class WireError extends Error {
  override name = "WireError";
}

/** Thrown when the connection was closed in the middle of a response. */
export class CutError extends WireError {
  override name = "CutError";
}

/** A connection to a port of 127.0.0.1 that anything may be sent on. */
export class Wire implements Disposable {
  /** Null if the connection was reset before it was accepted: its listener was closed. */
  readonly #socket: Deno.TcpConn | null;
  readonly #buffer = Buffer.alloc(16_384);
  #received = "";
  #open = true;

  private constructor(socket: Deno.TcpConn | null) {
    this.#socket = socket;
  }

  /** Connects. A connection that is reset at once is one that the other end has closed. */
  static async open(port: number): Promise<Wire> {
    try {
      return new Wire(await Deno.connect({ hostname: "127.0.0.1", port }));
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      return new Wire(null);
    }
  }

  /** What has come and was not taken yet. */
  get received(): string {
    return this.#received;
  }

  /**
   * Sends something.
   *
   * @returns Whether the other end took it. It may have closed the connection before.
   */
  async send(bytes: string): Promise<boolean> {
    if (this.#socket === null) return false;
    const rest = Buffer.from(bytes, "latin1");
    try {
      for (let sent = 0; sent < rest.length;) sent += await this.#socket.write(rest.subarray(sent));
      return true;
    } catch {
      return false;
    }
  }

  /** Says that nothing more will be sent. */
  async end(): Promise<void> {
    try {
      await this.#socket?.closeWrite();
    } catch {
      // The other end has closed already.
    }
  }

  /**
   * Takes the next response.
   *
   * @param method What it answers: that to a HEAD has no body.
   * @returns The response, or null where the connection was closed instead.
   * @throws {WireError} If what comes is none.
   */
  async response(method: string): Promise<WireResponse | null> {
    for (;;) {
      const head = await this.#head();
      if (head === null) return null;
      const match = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head);
      if (match === null) throw new WireError("it is not HTTP/1");
      const status = Number(match[1]);
      if (status === 100) continue;
      const isLast = /\r\nconnection: *close\r\n/i.test(head);
      return { status, body: await this.#body(method, status, head), isLast };
    }
  }

  /** Waits until the other end has closed, and returns what it still sent. */
  async rest(): Promise<string> {
    while (await this.#more());
    return this.#take(this.#received.length);
  }

  /** Closes it. What came and was not read makes that a reset. */
  [Symbol.dispose](): void {
    try {
      this.#socket?.close();
    } catch {
      // That was done before its time.
    }
  }

  async #head(): Promise<string | null> {
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end >= 0) return this.#take(end + 4);
      if (await this.#more()) continue;
      if (this.#received === "") return null;
      throw new CutError("the connection was closed within headers");
    }
  }

  async #body(method: string, status: number, head: string): Promise<string> {
    if (method === "HEAD" || status === 204 || status === 304) return "";
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    if (length !== undefined) return await this.#exactly(Number(length));
    if (!/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) {
      throw new WireError("the end of its body is unknown");
    }
    let body = "";
    for (;;) {
      const line = await this.#line();
      const size = Number.parseInt(line, 16);
      if (Number.isNaN(size)) throw new WireError("a chunk has no length");
      body += await this.#exactly(size);
      await this.#line();
      if (size === 0) return body;
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf("\r\n");
      if (end >= 0) return this.#take(end + 2).slice(0, -2);
      if (!await this.#more()) throw new CutError("the connection was closed within a body");
    }
  }

  async #exactly(length: number): Promise<string> {
    while (this.#received.length < length) {
      if (!await this.#more()) throw new CutError("the connection was closed within a body");
    }
    return this.#take(length);
  }

  #take(length: number): string {
    const taken = this.#received.slice(0, length);
    this.#received = this.#received.slice(length);
    return taken;
  }

  async #more(): Promise<boolean> {
    if (!this.#open || this.#socket === null) return false;
    try {
      const read = await this.#socket.read(this.#buffer);
      if (read !== null) {
        this.#received += this.#buffer.toString("latin1", 0, read);
        return true;
      }
    } catch {
      // A reset is an end like another.
    }
    this.#open = false;
    return false;
  }
}
