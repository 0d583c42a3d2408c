/**
 * A proxy that holds back a piece of what a client or a server sends.
 *
 * @module
 */

/** A piece that is held back, or will be. */
export interface Hold {
  /** Resolves when the piece has come. */
  readonly reached: Promise<void>;
  /** Sends the piece and all that follows. Resolves when the piece is sent. */
  release(): Promise<void>;
}

/** What a gate holds next. */
interface Next {
  readonly piece: number;
  readonly reach: () => void;
  readonly released: Promise<void>;
  readonly sent: () => void;
}

/** A proxy of 127.0.0.1 in front of a port of 127.0.0.1. */
export class Gate implements AsyncDisposable {
  readonly #target: number;
  readonly #held: "requests" | "responses";
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;
  #next: Next | undefined;

  /**
   * Starts a proxy.
   *
   * @param target The port.
   * @param held What it can hold.
   */
  constructor(target: number, held: "requests" | "responses") {
    this.#target = target;
    this.#held = held;
    this.#accepting = this.#accept();
  }

  /** Its port. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /**
   * Holds back a piece of the next connection.
   *
   * @param piece Which one: 0 for the first.
   */
  hold(piece: number): Hold {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const sent = Promise.withResolvers<void>();
    this.#next = {
      piece,
      reach: reached.resolve,
      released: released.promise,
      sent: sent.resolve,
    };
    return {
      reached: reached.promise,
      release() {
        released.resolve();
        return sent.promise;
      },
    };
  }

  /** Closes all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) this.#close(connection);
    await this.#accepting;
  }

  async #accept(): Promise<void> {
    const serving: Promise<void>[] = [];
    try {
      for await (const client of this.#listener) {
        const next = this.#next;
        this.#next = undefined;
        serving.push(this.#serve(client, next));
      }
    } finally {
      await Promise.all(serving);
    }
  }

  async #serve(client: Deno.TcpConn, next: Next | undefined): Promise<void> {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
    const both = [client, server];
    for (const connection of both) {
      connection.setNoDelay();
      this.#open.add(connection);
    }
    await Promise.all([
      pump(client, server, this.#held === "requests" ? next : undefined),
      pump(server, client, this.#held === "responses" ? next : undefined),
    ]);
    for (const connection of both) this.#close(connection);
  }

  #close(connection: Deno.TcpConn): void {
    if (this.#open.delete(connection)) connection.close();
  }
}

async function pump(from: Deno.TcpConn, to: Deno.TcpConn, next: Next | undefined): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (let piece = 0;; piece++) {
      const length = await from.read(buffer);
      if (length === null) return await to.closeWrite();
      const isHeld = piece === next?.piece;
      if (isHeld) {
        next?.reach();
        await next?.released;
      }
      for (let sent = 0; sent < length;) sent += await to.write(buffer.subarray(sent, length));
      if (isHeld) next?.sent();
    }
  } catch {
    // An end has reset the connection, or the gate was disposed of.
  }
}
