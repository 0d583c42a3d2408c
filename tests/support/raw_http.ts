/**
 * Raw HTTP, for requests that no client library sends.
 *
 * @module
 */

/** A parsed response. */
export interface RawResponse {
  /** Its status code. */
  readonly status: number;
  /** Its headers. */
  readonly headers: Headers;
  /** Everything after the headers. */
  readonly body: string;
}

/** A connection to a port of 127.0.0.1. */
export class RawConnection implements Disposable {
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects. */
  static async open(port: number): Promise<RawConnection> {
    return new RawConnection(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Sends a text, one byte for each character. */
  async send(text: string): Promise<void> {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#connection.write(bytes.subarray(sent));
    }
  }

  /** Reads the next bytes. */
  async readSome(): Promise<string> {
    const buffer = new Uint8Array(4096);
    const read = await this.#connection.read(buffer);
    return new TextDecoder("latin1").decode(buffer.subarray(0, read ?? 0));
  }

  /** Reads until the other end closes, one character for each byte. */
  async readAll(): Promise<string> {
    const decoder = new TextDecoder("latin1");
    const buffer = new Uint8Array(4096);
    let text = "";
    for (;;) {
      const read = await this.#connection.read(buffer);
      if (read === null) return text;
      text += decoder.decode(buffer.subarray(0, read));
    }
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/**
 * Sends a request to a port of 127.0.0.1, and reads until the server closes the connection.
 *
 * @param port The port.
 * @param request The whole request, one byte for each character. Except in HTTP/1.0, it must include
 * `Connection: close`.
 */
export async function sendRaw(port: number, request: string): Promise<RawResponse> {
  using connection = await RawConnection.open(port);
  await connection.send(request);
  return parseResponse(await connection.readAll());
}

/**
 * Parses a response.
 *
 * @param response The whole response.
 * @throws {Error} If it is not HTTP/1.
 */
export function parseResponse(response: string): RawResponse {
  const [, status, lines = "", body = ""] =
    /^HTTP\/1\.[01] (\d{3})[^\r]*\r\n((?:[^\r]+\r\n)*)\r\n(.*)$/s.exec(response) ?? [];
  if (status === undefined) throw new Error(`not a response: ${JSON.stringify(response)}`);
  const headers = lines.split("\r\n").slice(0, -1).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
  });
  return { status: Number(status), headers: new Headers(headers), body };
}
