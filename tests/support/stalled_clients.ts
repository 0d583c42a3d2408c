/**
 * Clients that send requests and do not read the responses.
 *
 * @module
 */

/** Connections that stay open until they are disposed of. */
export class StalledClients implements Disposable {
  readonly #connections: Deno.TcpConn[] = [];

  /** How many connections could be opened. */
  get count(): number {
    return this.#connections.length;
  }

  /**
   * Opens connections, sends the same bytes on each, and reads nothing.
   *
   * @param port The port of 127.0.0.1.
   * @param connections The number of connections.
   * @param bytes What to send on each. This function does not wait until the server has taken all.
   * @param afterEach Called after each connection.
   */
  static async open(
    port: number,
    connections: number,
    bytes: Uint8Array,
    afterEach: () => unknown = () => {},
  ): Promise<StalledClients> {
    const clients = new StalledClients();
    for (let i = 0; i < connections; i++) {
      try {
        const connection = await Deno.connect({ hostname: "127.0.0.1", port });
        clients.#connections.push(connection);
        sendAll(connection, bytes);
        await afterEach();
      } catch {
        // The server may close connections.
      }
    }
    return clients;
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }
}

async function sendAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  try {
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
  } catch {
    // The connection was closed.
  }
}

const encoder = new TextEncoder();

/** Returns pipelined requests in HTTP/1.1. */
export function pipelined(path: string, count = 1, method = "GET"): Uint8Array {
  return encoder.encode(`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(count));
}

const PREFACE = encoder.encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Types of frames, and the flags of HEADERS. */
const HEADERS = 1;
const SETTINGS = 4;
const END_OF_STREAM_AND_HEADERS = 5;

/** SETTINGS_INITIAL_WINDOW_SIZE of 0. */
const CLOSED_WINDOW = Uint8Array.of(0, 4, 0, 0, 0, 0);

/** Returns requests in HTTP/2 by prior knowledge, with a flow-control window of 0 bytes. */
export function withClosedWindow(path: string, streams: number): Uint8Array {
  const head = joined([
    // From HPACK's static table: GET, http; then literals: the path, the authority.
    Uint8Array.of(0x82, 0x86, 0x04, path.length),
    encoder.encode(path),
    Uint8Array.of(0x01, 1),
    encoder.encode("x"),
  ]);
  const frames = Array.from(
    { length: streams },
    (_, i) => frame(HEADERS, END_OF_STREAM_AND_HEADERS, 2 * i + 1, head),
  );
  return joined([PREFACE, frame(SETTINGS, 0, 0, CLOSED_WINDOW), ...frames]);
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const head = new DataView(new ArrayBuffer(9));
  head.setUint32(0, (payload.length << 8) | type);
  head.setUint8(4, flags);
  head.setUint32(5, stream);
  return joined([new Uint8Array(head.buffer), payload]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
