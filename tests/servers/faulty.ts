/**
 * Real TCP servers that misbehave.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createServer, type Server, type Socket } from "node:net";
import { run } from "../support/programs.ts";

/** What a server does with a connection. It may keep it: it is closed with the server. */
export type Behaviour = (socket: Socket) => void;

/** A server of 127.0.0.1 that never closes a connection by itself unless its behaviour says so. */
export class FaultyServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #received: Buffer[];

  /** Its port. */
  readonly port: number;
  /** How many connections it has had. */
  accepted = 0;

  private constructor(server: Server, sockets: ReadonlySet<Socket>, received: Buffer[]) {
    this.#server = server;
    this.#sockets = sockets;
    this.#received = received;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", () => this.accepted++);
  }

  /**
   * Starts a server that treats every connection alike.
   *
   * @param behaviour What it does.
   * @param address Where it listens: any free port of 127.0.0.1, if not given.
   */
  static async start(
    behaviour: Behaviour,
    address: { readonly host?: string; readonly port?: number } = {},
  ): Promise<FaultyServer> {
    const sockets = new Set<Socket>();
    const received: Buffer[] = [];
    // Half open: that the peer has said its last does not close this side.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      // A peer that goes before it has heard all is what these servers are made for.
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        received.push(bytes as Buffer);
        unheard.set(socket, (unheard.get(socket) ?? "") + (bytes as Buffer).toString("latin1"));
      });
      behaviour(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: 0, ...address }, resolve);
    });
    return new FaultyServer(server, sockets, received);
  }

  /** All that it was told, a character a byte. */
  get received(): string {
    return Buffer.concat(this.#received).toString("latin1");
  }

  /** How many connections to it are open at their other end. */
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

/** What has come from a peer and no behaviour has waited for yet. */
const unheard = new WeakMap<Socket, string>();

/** Accepts, and never speaks. */
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
 * Sends something, and then behaves otherwise.
 *
 * @param content What to send, text with a byte for each character.
 * @param then How to go on.
 */
export function sending(content: string | Uint8Array, then: Behaviour = silent): Behaviour {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return (socket) => socket.write(bytes, () => then(socket));
}

/**
 * Waits until it has been told something, and behaves then.
 *
 * @param then How to go on.
 * @param end What the last that it waits for must end with; any byte will do, if not given.
 */
export function afterData(then: Behaviour, end = ""): Behaviour {
  return (socket) => {
    const hear = () => {
      const heard = unheard.get(socket) ?? "";
      if (heard === "" || !heard.endsWith(end)) return;
      unheard.delete(socket);
      socket.off("data", hear);
      then(socket);
    };
    socket.on("data", hear);
    hear();
  };
}

/**
 * Waits until it has been asked for something by HTTP, and behaves then.
 *
 * @param then How to go on.
 */
export function afterRequest(then: Behaviour): Behaviour {
  return afterData(then, "\r\n\r\n");
}

/**
 * Sends something piece by piece.
 *
 * @param pieces What to send.
 * @param pause How many milliseconds lie between two pieces.
 * @param then How to go on.
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
 * Sends the same again and again, as fast as it is taken, until the connection is closed.
 *
 * @param content What to send, text with a byte for each character.
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

/** Servers that no check may hang at, and none may leave a connection to. */
export const FAULTS: Readonly<Record<string, Behaviour>> = {
  "accepts and never speaks": silent,
  "closes at once": closing,
  "resets the connection": resetting,
  "sends another protocol's banner and waits": sending("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
  "sends garbage and closes": sending("\x16\x03\x01\0\xff\0".repeat(100), closing),
  "sends a byte a second": dripping("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1000),
  "sends zeros without an end": flooding("\0"),
};

/** A port of 127.0.0.1 that refuses: a connection holds it, so that nobody can listen on it. */
export class ClosedPort implements Disposable {
  readonly #connections: readonly Deno.TcpConn[];

  /** The port. */
  readonly port: number;

  private constructor(held: Deno.TcpConn, peer: Deno.TcpConn) {
    this.#connections = [held, peer];
    this.port = held.localAddr.port;
  }

  /** Finds such a port. */
  static async open(): Promise<ClosedPort> {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const held = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    return new ClosedPort(held, await listener.accept());
  }

  /** Gives the port back. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** A port of 127.0.0.1 that answers nobody: its line of connections to accept is full. */
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

  /** Fills the line. */
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

  /** Gives the port back. */
  [Symbol.dispose](): void {
    for (const connection of this.#waiting) connection.close();
    this.#listener.close();
  }
}

/**
 * Counts the connections to a port of 127.0.0.1 that are open at their other end. One that a
 * program has closed but the system still has to wind up is not among them.
 *
 * @param port The port.
 */
export async function connectionsTo(port: number): Promise<number> {
  // Deno lets no program read this by itself that may not do everything.
  const { stdout } = await run("cat", ["/proc/net/tcp"]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/));
  const listening = new Set(rows.flatMap(([, local, , state]) => state === "0A" ? [local] : []));
  const peer = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return rows.filter(([, local, remote, , , , , , , inode]) => {
    // A server's end of a connection may still name the port that its client, gone since, came from.
    return remote === peer && inode !== "0" && !listening.has(local);
  }).length;
}
