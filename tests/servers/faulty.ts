/**
 * TCP servers that misbehave.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createServer, type Server, type Socket } from "node:net";
import { run } from "../support/programs.ts";

/** Handles a connection. A connection that it keeps open is closed with the server. */
export type Behaviour = (socket: Socket) => void;

/** A server of 127.0.0.1 whose connections only its behaviour closes. */
export class FaultyServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #received: Buffer[];

  /** Its port. */
  readonly port: number;
  /** How many connections it has accepted. */
  accepted = 0;

  private constructor(server: Server, sockets: ReadonlySet<Socket>, received: Buffer[]) {
    this.#server = server;
    this.#sockets = sockets;
    this.#received = received;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", () => this.accepted++);
  }

  /**
   * Starts a server.
   *
   * @param behaviour Handles each connection.
   * @param address Where it listens: on a free port of 127.0.0.1, if not given.
   */
  static async start(
    behaviour: Behaviour,
    address: { readonly host?: string; readonly port?: number } = {},
  ): Promise<FaultyServer> {
    const sockets = new Set<Socket>();
    const received: Buffer[] = [];
    // Half open: this side stays open when the peer has sent its end.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      // A peer may close before it has read everything.
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        received.push(bytes as Buffer);
        unread.set(socket, (unread.get(socket) ?? "") + (bytes as Buffer).toString("latin1"));
      });
      behaviour(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: 0, ...address }, resolve);
    });
    return new FaultyServer(server, sockets, received);
  }

  /** All received bytes, one character for each. */
  get received(): string {
    return Buffer.concat(this.#received).toString("latin1");
  }

  /** Returns how many of its connections are open at the client. */
  connected(): Promise<number> {
    return connectionsTo(this.port);
  }

  /** Closes all connections, and stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Received bytes that no behaviour has consumed. */
const unread = new WeakMap<Socket, string>();

/** Accepts, and sends nothing. */
export const silent: Behaviour = () => {};

/** Accepts, and closes at once. */
export const closing: Behaviour = (socket) => {
  socket.end();
};

/** Accepts, and resets the connection at once. */
export const resetting: Behaviour = (socket) => {
  socket.resetAndDestroy();
};

/**
 * Sends something.
 *
 * @param content What to send; a text is sent as one byte for each character.
 * @param then The next behaviour.
 */
export function sending(content: string | Uint8Array, then: Behaviour = silent): Behaviour {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return (socket) => socket.write(bytes, () => then(socket));
}

/**
 * Waits for bytes.
 *
 * @param then The next behaviour.
 * @param end How the received bytes must end; any byte will do, if not given.
 */
export function afterData(then: Behaviour, end = ""): Behaviour {
  return (socket) => {
    const proceed = () => {
      const received = unread.get(socket) ?? "";
      if (received === "" || !received.endsWith(end)) return;
      unread.delete(socket);
      socket.off("data", proceed);
      then(socket);
    };
    socket.on("data", proceed);
    proceed();
  };
}

/**
 * Waits for an HTTP request.
 *
 * @param then The next behaviour.
 */
export function afterRequest(then: Behaviour): Behaviour {
  return afterData(then, "\r\n\r\n");
}

/**
 * Sends pieces with pauses.
 *
 * @param pieces What to send.
 * @param pause The pause between two pieces, in milliseconds.
 * @param then The next behaviour.
 */
export function dripping(
  pieces: Iterable<string>,
  pause: number,
  then: Behaviour = silent,
): Behaviour {
  return (socket) => {
    const rest = pieces[Symbol.iterator]();
    const next = () => {
      const { value, done } = rest.next();
      if (done) return then(socket);
      socket.write(value, "latin1");
      timer = setTimeout(next, pause);
    };
    let timer = setTimeout(next);
    socket.on("close", () => clearTimeout(timer));
  };
}

/**
 * Sends the same content again and again, as fast as the peer reads, until the connection is closed.
 *
 * @param content What to send, one byte for each character.
 */
export function flooding(content: string): Behaviour {
  const block = Buffer.from(content.repeat(Math.ceil(65_536 / content.length)), "latin1");
  return (socket) => {
    const more = () => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on("drain", more);
    more();
  };
}

/** Faulty services. A check of each must end in time and close its connection. */
export const FAULTS: Readonly<Record<string, Behaviour>> = {
  "accepts and sends nothing": silent,
  "closes at once": closing,
  "resets the connection": resetting,
  "sends another protocol's banner and waits": sending("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
  "sends garbage and closes": sending("\x16\x03\x01\0\xff\0".repeat(100), closing),
  "sends a byte a second": dripping("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1000),
  "sends zeros without an end": flooding("\0"),
};

/** A port of 127.0.0.1 that refuses connections. A connection holds it, so that no process can listen on it. */
export class ClosedPort implements Disposable {
  readonly #connections: readonly Deno.TcpConn[];

  /** The port. */
  readonly port: number;

  private constructor(held: Deno.TcpConn, peer: Deno.TcpConn) {
    this.#connections = [held, peer];
    this.port = held.localAddr.port;
  }

  /** Takes a port. */
  static async open(): Promise<ClosedPort> {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const held = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    return new ClosedPort(held, await listener.accept());
  }

  /** Releases the port. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** A port of 127.0.0.1 that does not respond: its accept queue is full. */
export class FullPort implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #waiting: Deno.TcpConn[] = [];

  private constructor() {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 0 });
  }

  /** The port. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** Takes a port, and fills its queue. */
  static async open(): Promise<FullPort> {
    const full = new FullPort();
    for (;;) {
      try {
        const signal = AbortSignal.timeout(1000);
        full.#waiting.push(await Deno.connect({ hostname: "127.0.0.1", port: full.port, signal }));
      } catch (error) {
        if (error instanceof DOMException && error.name === "TimeoutError") return full;
        full[Symbol.dispose]();
        throw error;
      }
    }
  }

  /** Releases the port. */
  [Symbol.dispose](): void {
    for (const connection of this.#waiting) connection.close();
    this.#listener.close();
  }
}

/**
 * Counts the connections to a port of 127.0.0.1 that are open at the client. Connections that the client has
 * closed and the kernel still keeps do not count.
 *
 * @param port The port.
 */
export async function connectionsTo(port: number): Promise<number> {
  const peer = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  // Deno reads /proc only with all permissions. Thousands of closed connections may be listed for a minute.
  const { stdout } = await run("grep", [
    ...["--extended-regexp", `: \\S+ (${peer}|00000000:0000 0A) `, "/proc/net/tcp"],
  ]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/));
  const listening = new Set(rows.flatMap(([, local, , state]) => state === "0A" ? [local] : []));
  return rows.filter(([, local, remote, , , , , , , inode]) => {
    // A server's socket may have the port as its remote port, from an earlier client.
    return remote === peer && inode !== "0" && !listening.has(local);
  }).length;
}
