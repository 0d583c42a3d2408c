/** What a {@linkcode Connection} closes at its deadline: a socket of Deno's, or one made to look like it. */
export interface Socket {
  /** Reads what has come, and tells how many bytes that is; null when the peer has said its last. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Sends some of it, and tells how many bytes that is. */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes it. What is pending on it then fails. */
  close(): void;
}

/**
 * A TCP connection that lives no longer than its deadline.
 *
 * An AbortSignal given to `Deno.connect` ends the connecting only; a read that
 * waits for a silent peer goes on. So the socket is closed when the signal
 * aborts, which ends every pending operation on it.
 *
 * @example
 * ```ts
 * import { Connection } from "./connection.ts";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const { port } = listener.addr as Deno.NetAddr;
 * using connection = await Connection.open("127.0.0.1", port, AbortSignal.timeout(1000));
 * using peer = await listener.accept();
 * await connection.write(new TextEncoder().encode("PING\r\n"));
 * ```
 */
export class Connection implements Disposable {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #close: () => void;
  #closed = false;

  /**
   * @param socket An open socket.
   * @param signal The deadline of all that is done with it.
   */
  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    this.#close = () => this[Symbol.dispose]();
    signal.addEventListener("abort", this.#close, { once: true });
  }

  /**
   * Connects.
   *
   * @param hostname The IP address of the peer.
   * @param port The TCP port of the peer.
   * @param signal The deadline of all that is done with the connection.
   * @returns The open connection; dispose of it to close it.
   * @throws {Error} The signal's reason once it has aborted, else what the system says.
   */
  static async open(hostname: string, port: number, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    // AbortSignal.any() would do, and take three times as long: 3 of the 75 µs of a tcp check.
    const connecting = new AbortController();
    // Deno asks the signal again when it has connected, and if it throws then, the socket is open
    // and nobody has it to close it.
    connecting.signal.throwIfAborted = () => {};
    const giveUp = () => connecting.abort(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    let socket;
    try {
      const options = { hostname, port, signal: connecting.signal };
      socket = await orReason(signal, Deno.connect(options));
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
    if (signal.aborted) {
      socket.close();
      throw signal.reason;
    }
    if (isConnectedToItself(socket)) {
      socket.close();
      throw new Deno.errors.ConnectionRefused("Connection refused: nobody but this end is there");
    }
    return new Connection(socket, signal);
  }

  /**
   * Reads what has come.
   *
   * @param buffer Where to put it.
   * @returns How many bytes came, or null when the peer has said its last.
   * @throws {Error} The deadline's reason, or what the system says.
   */
  read(buffer: Uint8Array): Promise<number | null> {
    return orReason(this.#signal, this.#socket.read(buffer));
  }

  /**
   * Writes all of it.
   *
   * @param bytes What to send.
   * @throws {Error} The deadline's reason, or what the system says.
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await orReason(this.#signal, this.#socket.write(bytes.subarray(sent)));
    }
  }

  /** Closes the connection, however often it is called. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal.removeEventListener("abort", this.#close);
    this.#socket.close();
  }
}

/**
 * Where nobody listens on a port of this host, the system may give that very port to who connects to it,
 * and TCP then connects the two ends of one socket.
 */
function isConnectedToItself({ localAddr, remoteAddr }: Deno.TcpConn): boolean {
  return localAddr.port === remoteAddr.port && localAddr.hostname === remoteAddr.hostname;
}

/** What a closed socket says of itself is noise where a deadline closed it. */
async function orReason<T>(signal: AbortSignal, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
