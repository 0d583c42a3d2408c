import type { ConnectionOptions, TLSSocket } from "node:tls";
import { Connection, type Socket } from "./connection.ts";
import { duplexOf } from "./duplex.ts";

/** A certificate and its key, in PEM. */
export interface Identity {
  /** The certificate, followed by intermediate certificates. */
  readonly cert: string;
  /** The key. */
  readonly key: string;
}

/** How a client identifies servers, and itself. */
export interface TlsSettings {
  /** The server's name, which a verified certificate must have; null for the IP address. */
  readonly serverName: string | null;
  /** The trusted authorities, in PEM; null if certificates are not verified. */
  readonly trusted: string | null;
  /** The client's certificate; null for none. */
  readonly identity: Identity | null;
}

/** Verifies no certificate, and sends none. */
export const UNVERIFIED: TlsSettings = { serverName: null, trusted: null, identity: null };

/** The options of a TLS connection. */
export interface TlsOptions extends TlsSettings {
  /** The protocols that the client offers (ALPN), such as `h2`; none by default. */
  readonly protocols?: readonly string[];
  /** How many bytes may be received in all where TLS starts on a connection; without a limit by default. */
  readonly maxBytes?: number;
  /** Called when the server has accepted a new connection. */
  readonly onConnect?: () => void;
  /** Called after the handshake, before the certificate is verified. */
  readonly onSession?: (session: TlsSession) => void;
}

/** A TLS session. */
export interface TlsSession {
  /** The version, such as `TLSv1.3`. */
  readonly version: string;
  /** The subject of the server's certificate. */
  readonly subject: string;
  /** When the certificate expires, in unix seconds. */
  readonly expires: number;
}

/** Thrown if a TLS session cannot be made or goes on, or if a server speaks TLS unexpectedly. */
export class TlsError extends Error {
  override name = "TlsError";
}

/**
 * How many bytes are buffered: more than a check reads. Beyond that the socket is paused, and node:tls does not notice
 * the end of the connection.
 */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/**
 * Connects with TLS.
 *
 * @returns The connection; dispose of it to close it.
 * @throws {Error} The signal's reason once it has aborted, else the problem of the connection or the certificate.
 */
export async function openTls(
  hostname: string,
  port: number,
  options: TlsOptions,
  signal: AbortSignal,
): Promise<Connection> {
  return connectionOf(await openTlsSocket(hostname, port, options, signal), options, signal);
}

/**
 * Starts TLS on a connection.
 *
 * @param plain The connection. It is closed with the one that is returned, or if there is an error.
 * @param hostname The address of the server.
 * @returns The connection; dispose of it to close it.
 * @throws {Error} The signal's reason once it has aborted, else the problem of the connection or the certificate.
 */
export async function startTls(
  plain: Connection,
  hostname: string,
  options: TlsOptions,
  signal: AbortSignal,
): Promise<Connection> {
  return connectionOf(await startTlsSocket(plain, hostname, options, signal), options, signal);
}

function connectionOf(socket: TLSSocket, { serverName }: TlsOptions, signal: AbortSignal) {
  return new Connection(new NodeSocket(socket, serverName), signal);
}

/**
 * Connects with TLS, for libraries that use a socket of Node.
 *
 * @returns The socket; destroy it to close the connection.
 */
export async function openTlsSocket(
  hostname: string,
  port: number,
  options: TlsOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  return await handshake({ host: hostname, port }, hostname, options, signal);
}

/** Starts TLS on a connection, for libraries that use a socket of Node. It takes a quarter more time than without. */
export async function startTlsSocket(
  plain: Connection,
  hostname: string,
  options: TlsOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  try {
    const socket = await duplexOf(plain, options.maxBytes);
    return await handshake({ host: hostname, socket }, hostname, options, signal);
  } catch (error) {
    plain[Symbol.dispose]();
    throw error;
  }
}

/**
 * Makes a TLS session. It uses node:tls: Deno's own TLS verifies every certificate, unless the whole program is started
 * with a flag against that.
 */
async function handshake(
  target: Pick<ConnectionOptions, "host" | "port" | "socket">,
  hostname: string,
  { serverName, trusted, identity, protocols = [], onConnect, onSession }: TlsOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  // Loading it takes some 10 ms.
  const { connect } = (await import("node:tls")).default;
  signal.throwIfAborted();
  const options: ConnectionOptions & { highWaterMark: number } = {
    ...target,
    ...serverName === null ? {} : { servername: serverName },
    ...identity ?? {},
    ...protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] },
    // Verified below, for a better message.
    rejectUnauthorized: false,
    // Without a list, node:tls reads that of the system, which needs a permission.
    ca: trusted === null ? [] : [trusted],
    highWaterMark: MAX_BUFFERED_BYTES,
  };
  const socket = connect(options);
  // A later error without a listener would end the program.
  socket.on("error", () => {});
  const abort = () => void socket.destroy();
  signal.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      if (onConnect !== undefined) socket.once("connect", onConnect);
      socket.once("secureConnect", () => resolve());
      socket.once("error", reject);
      socket.once("close", () => reject(new TlsError(CLOSED)));
    });
    onSession?.(sessionOf(socket));
    if (trusted !== null && !socket.authorized) {
      throw new TlsError(certificateProblem(socket, serverName ?? hostname));
    }
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw explainTls(error, serverName);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function sessionOf(socket: TLSSocket): TlsSession {
  const { subject, valid_to } = socket.getPeerCertificate();
  const name: string | string[] | undefined = subject?.CN;
  return {
    version: socket.getProtocol() ?? "unknown",
    subject: String(name ?? ""),
    expires: Date.parse(valid_to) / 1000,
  };
}

/**
 * Recognizes a TLS server, which responds to other protocols with an alert.
 *
 * @param bytes The first two bytes from the peer: the type of a TLS record, and its version.
 * @returns Whether they are those of an alert or a handshake.
 */
export function isTls([type, version]: Uint8Array): boolean {
  return (type === 0x15 || type === 0x16) && version === 3;
}

/**
 * Explains why a handshake failed, also one that fails after it seemed to be over (TLS 1.3), if the error of Deno's
 * TLS (rustls) does not. The handshake verifies no certificate, but always its own signature. If that fails, Deno
 * reports a problem of the certificate, such as that it is self-signed.
 */
function explainTls(error: unknown, serverName: string | null): unknown {
  const { code, message } = error as Error & { readonly code?: string };
  // It has the code of a reset.
  if (/^Client network socket disconnected/.test(message)) return new TlsError(CLOSED);
  const alert = /^received fatal alert: (\w+)$/.exec(message)?.[1];
  if (alert === "ProtocolVersion") {
    return new TlsError(
      "the server speaks neither TLS 1.2 nor TLS 1.3, and Deno supports no other version",
    );
  }
  if (alert === "HandshakeFailure") {
    return new TlsError(
      "the server and Deno have no cipher, curve or signature algorithm in common, or the server " +
        "wants a client certificate (fatal alert: HandshakeFailure)",
    );
  }
  if (alert === "UnrecognisedName" || alert === "UnrecognizedName") {
    return new TlsError(`the server knows no host named ${serverName ?? "by its address"}`);
  }
  if (alert === "CertificateRequired") {
    return new TlsError(
      "the server requires a client certificate, and hacheck sends none (fatal alert: CertificateRequired)",
    );
  }
  if (alert !== undefined) return new TlsError(`the server sent the fatal TLS alert ${alert}`);
  if (/wrong version number/i.test(message)) {
    return new TlsError("expected TLS, found a server that does not speak it");
  }
  if (code !== undefined && CERTIFICATE_CODES.test(code)) {
    return new TlsError(
      "Deno cannot verify the signature of the TLS handshake: it takes no RSA keys below 2048 bits, " +
        "and no certificate that it cannot parse",
    );
  }
  return error;
}

const CLOSED = "the connection was closed within the TLS handshake";

/** The codes of problems of a certificate in OpenSSL and Node. */
const CERTIFICATE_CODES = /CERT|ISSUER|LEAF_SIGNATURE/;

/** Returns the problem of a certificate that is not trusted. */
function certificateProblem(socket: TLSSocket, name: string): string {
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
 * Adapts a socket of Node to the interface of Deno's. It has one buffer: with a peer that sends one byte in each TLS
 * record, a list of pieces would take a hundred times as much memory.
 */
class NodeSocket implements Socket {
  readonly #socket: TLSSocket;
  #buffer = new Uint8Array(4096);
  #start = 0;
  #end = 0;
  #isEnded = false;
  #error: Error | undefined;
  /** Called when a pending read can go on. */
  #wake: () => void = () => {};

  constructor(socket: TLSSocket, serverName: string | null) {
    this.#socket = socket;
    socket.on("data", (piece: Uint8Array) => {
      this.#add(piece);
      this.#wake();
    });
    socket.once("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    // Not `once`: a second error without a listener would end the program.
    socket.on("error", (error) => {
      this.#error ??= explainTls(error, serverName) as Error;
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
    if (this.#end - this.#start < MAX_BUFFERED_BYTES) this.#socket.resume();
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
    const buffered = this.#buffer.subarray(this.#start, this.#end);
    const length = buffered.length + piece.length;
    if (this.#end + piece.length > this.#buffer.length) {
      const isRoom = 2 * length <= this.#buffer.length;
      const buffer = isRoom ? this.#buffer : new Uint8Array(2 * length);
      buffer.set(buffered);
      this.#buffer = buffer;
      this.#start = 0;
      this.#end = buffered.length;
    }
    this.#buffer.set(piece, this.#end);
    this.#end += piece.length;
    if (length >= MAX_BUFFERED_BYTES) this.#socket.pause();
  }
}
