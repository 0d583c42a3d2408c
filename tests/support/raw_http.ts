/**
 * HTTP spoken by hand, for what no client library sends.
 *
 * @module
 */

/** A response, taken apart. */
export interface RawResponse {
  /** Its status code. */
  readonly status: number;
  /** Its headers. */
  readonly headers: Headers;
  /** All that follows them. */
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

  /** Sends something, text with a byte for each character. */
  async send(text: string): Promise<void> {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#connection.write(bytes.subarray(sent));
    }
  }

  /** Reads what comes first. */
  async some(): Promise<string> {
    const buffer = new Uint8Array(4096);
    const read = await this.#connection.read(buffer);
    return new TextDecoder("latin1").decode(buffer.subarray(0, read ?? 0));
  }

  /** Reads all that comes until the other end closes, a character for each byte. */
  async rest(): Promise<string> {
    const decoder = new TextDecoder("latin1");
    const buffer = new Uint8Array(4096);
    let text = "";
    for (;;) {
      const read = await this.#connection.read(buffer);
      if (read === null) return text;
      text += decoder.decode(buffer.subarray(0, read));
    }
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/**
 * Sends a request to a port of 127.0.0.1, and reads until the server closes the connection.
 *
 * @param port The port.
 * @param request The whole request, a byte for each character. Unless it is one of HTTP/1.0, it
 * must ask for the connection to be closed.
 */
export async function speak(port: number, request: string): Promise<RawResponse> {
  using connection = await RawConnection.open(port);
  await connection.send(request);
  return takenApart(await connection.rest());
}

/**
 * Takes a response apart.
 *
 * @param response All of it.
 * @throws {Error} If it is none.
 */
export function takenApart(response: string): RawResponse {
  const [, status, lines = "", body = ""] =
    /^HTTP\/1\.[01] (\d{3})[^\r]*\r\n((?:[^\r]+\r\n)*)\r\n(.*)$/s.exec(response) ?? [];
  if (status === undefined) throw new Error(`not a response: ${JSON.stringify(response)}`);
  const headers = lines.split("\r\n").slice(0, -1).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
  });
  return { status: Number(status), headers: new Headers(headers), body };
}
