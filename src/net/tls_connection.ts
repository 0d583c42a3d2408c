import type { ConnectionOptions, TLSSocket } from "node:tls";
import { Connection, type Socket } from "./connection.ts";

/** How to speak TLS. */
export interface TlsOptions {
  /** The name to ask for, and that a certificate that is verified must have; null for the IP address. */
  readonly serverName: string | null;
  /** The authorities that are trusted, in PEM; null for a certificate that is not verified. */
  readonly trusted: string | null;
  /** Is called with when the peer's certificate expires, in milliseconds since 1970. */
  readonly onExpiry?: (expiry: number) => void;
}

/**
 * How many bytes may wait to be read: more than a check reads. With so many node:tls stops listening to
 * the peer, and overlooks that it has said its last.
 */
const MAX_WAITING_BYTES = 1024 * 1024;

/**
 * Connects, and speaks TLS from then on.
 *
 * This is node:tls, since Deno's own TLS verifies every certificate unless the whole program is told not to.
 *
 * @param hostname The IP address of the peer.
 * @param port The TCP port of the peer.
 * @param options How to speak TLS.
 * @param signal The deadline of all that is done with the connection.
 * @returns The open connection; dispose of it to close it.
 * @throws {Error} The signal's reason once it has aborted, else what is wrong with the connection
 * or with the certificate.
 */
export async function openTls(
  hostname: string,
  port: number,
  { serverName, trusted, onExpiry }: TlsOptions,
  signal: AbortSignal,
): Promise<Connection> {
  // Loaded by who checks https: it takes some 10 ms.
  const { connect } = (await import("node:tls")).default;
  signal.throwIfAborted();
  const options: ConnectionOptions & { highWaterMark: number } = {
    host: hostname,
    port,
    ...serverName === null ? {} : { servername: serverName },
    // Judged below, where it can be told what is wrong.
    rejectUnauthorized: false,
    // Without a list of its own, node:tls looks for the system's, which takes a permission.
    ca: trusted === null ? [] : [trusted],
    highWaterMark: MAX_WAITING_BYTES,
  };
  const socket = connect(options);
  const connection = new Connection(new NodeSocket(socket), signal);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", () => resolve());
      socket.once("error", reject);
      socket.once(
        "close",
        () => reject(new Error("the connection was closed within the TLS handshake")),
      );
    });
    onExpiry?.(Date.parse(socket.getPeerCertificate().valid_to));
    if (trusted !== null && !socket.authorized) {
      throw new Error(faultOf(socket, serverName ?? hostname));
    }
    return connection;
  } catch (error) {
    connection[Symbol.dispose]();
    signal.throwIfAborted();
    throw explained(error, serverName);
  }
}

/**
 * Recognizes a TLS server, which answers other protocols with an alert.
 *
 * @param bytes The first two bytes that the peer sent: the type of a TLS record, and its version.
 * @returns Whether they are those of an alert or a handshake.
 */
export function isTls([type, version]: Uint8Array): boolean {
  return (type === 0x15 || type === 0x16) && version === 3;
}

/**
 * Explains why a handshake failed, where the error of Deno's TLS (rustls) does not.
 *
 * Certificates are not verified during the handshake, but its signature always is. Where that fails, Deno
 * reports a fault of the certificate, such as that it is self-signed.
 */
function explained(error: unknown, serverName: string | null): unknown {
  const { code, message } = error as Error & { readonly code?: string };
  const alert = /^received fatal alert: (\w+)$/.exec(message)?.[1];
  if (alert === "ProtocolVersion") {
    return new Error("the server speaks neither TLS 1.2 nor TLS 1.3, and Deno speaks no other");
  }
  if (alert === "HandshakeFailure") {
    return new Error(
      "the server and Deno have no cipher, curve or signature algorithm in common, or the server " +
        "wants a client certificate (fatal alert: HandshakeFailure)",
    );
  }
  if (alert === "UnrecognisedName" || alert === "UnrecognizedName") {
    return new Error(`the server knows no host named ${serverName ?? "by its address"}`);
  }
  if (alert !== undefined) return new Error(`the server sent the fatal TLS alert ${alert}`);
  if (/wrong version number/i.test(message)) {
    return new Error("expected TLS, found a server that does not speak it");
  }
  if (code !== undefined && CERTIFICATE_CODES.test(code)) {
    return new Error(
      "Deno cannot verify the signature of the TLS handshake: it takes no RSA keys below 2048 bits, " +
        "and no certificate that it cannot parse",
    );
  }
  return error;
}

/** The codes of what is wrong with a certificate, as OpenSSL and Node name them. */
const CERTIFICATE_CODES = /CERT|ISSUER|LEAF_SIGNATURE/;

/** What is wrong with the certificate of a server that is not to be trusted. */
function faultOf(socket: TLSSocket, name: string): string {
  const { valid_from, valid_to, subjectaltname } = socket.getPeerCertificate();
  if (Date.parse(valid_to) < Date.now()) return `the certificate expired on ${valid_to}`;
  if (Date.parse(valid_from) > Date.now()) {
    return `the certificate is not valid before ${valid_from}`;
  }
  const code = String(socket.authorizationError);
  if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `the certificate's issuer is unknown (${code})`;
  }
  return `the certificate is not for ${name}, but for ${subjectaltname ?? "no name"}`;
}

/**
 * A socket of Node's that reads and writes as one of Deno's does. What waits to be read is kept in one
 * buffer: a peer that sends a byte in each TLS record would make a hundred times as much of a list of pieces.
 */
class NodeSocket implements Socket {
  readonly #socket: TLSSocket;
  #buffer = new Uint8Array(4096);
  #start = 0;
  #end = 0;
  #isEnded = false;
  #error: Error | undefined;
  /** Is called when there is something to tell a reader. */
  #wake: () => void = () => {};

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (piece: Uint8Array) => {
      this.#add(piece);
      this.#wake();
    });
    socket.once("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    // Not `once`: an error that nobody waits for must not end the program.
    socket.on("error", (error) => {
      this.#error ??= error;
      this.#wake();
    });
    socket.once("close", () => {
      this.#error ??= new Error("the connection was closed");
      this.#wake();
    });
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#start === this.#end) {
      if (this.#isEnded) return null;
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const bytes = this.#buffer.subarray(
      this.#start,
      Math.min(this.#end, this.#start + buffer.length),
    );
    buffer.set(bytes);
    this.#start += bytes.length;
    if (this.#end - this.#start < MAX_WAITING_BYTES) this.#socket.resume();
    return bytes.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #add(piece: Uint8Array): void {
    const waiting = this.#buffer.subarray(this.#start, this.#end);
    const length = waiting.length + piece.length;
    if (this.#end + piece.length > this.#buffer.length) {
      const isRoom = 2 * length <= this.#buffer.length;
      const buffer = isRoom ? this.#buffer : new Uint8Array(2 * length);
      buffer.set(waiting);
      this.#buffer = buffer;
      this.#start = 0;
      this.#end = waiting.length;
    }
    this.#buffer.set(piece, this.#end);
    this.#end += piece.length;
    if (length >= MAX_WAITING_BYTES) this.#socket.pause();
  }
}
