import { BufferedReader } from "../net/buffered_reader.ts";
import type { Connection } from "../net/connection.ts";
import type { TlsMode } from "../net/tls_clients.ts";
import type { TlsSettings } from "../net/tls_connection.ts";
import type { Attempt } from "./_attempt.ts";

/** The size limit of a packet, in bytes. No packet of a login is longer. */
export const MAX_PACKET_BYTES = 64 * 1024;

/** The message for a server of another protocol. */
export const NOT_MYSQL = "the server does not speak MySQL";

/** The length of a packet's header: three bytes for the length of the content, and the number of the packet. */
export const HEADER_BYTES = 4;

/** The first byte of a refusal. */
const ERROR = 0xff;

/** The first byte of a greeting: the version of the protocol. */
const VERSION = 10;

/** The content of a client's request for TLS: the start of its first packet. */
const TLS_REQUEST_BYTES = 32;

/** CLIENT_SSL, in the second byte of the capabilities of a client or a server. */
const CLIENT_SSL = 0x08;

/**
 * A connection to MySQL or MariaDB. It starts TLS before the client's first packet, without the client's knowledge:
 * a client of its own would read whatever arrives.
 */
export class MysqlConnection implements Disposable {
  readonly #attempt: Attempt;
  readonly #tls: TlsSettings;
  readonly #plain: Connection;
  #connection: Connection;
  #reader: BufferedReader;
  #greeting: Uint8Array | undefined;
  /** Resolves when packets can be read; undefined without TLS. */
  #securing: PromiseWithResolvers<void> | undefined;

  /** Whether the mode requires TLS, and the server does not offer it. */
  readonly lacksTls: boolean;
  /** Whether the login is sent with TLS. */
  readonly usesTls: boolean;
  #isSecure = false;

  private constructor(
    attempt: Attempt,
    tls: TlsSettings,
    mode: TlsMode,
    connection: Connection,
    reader: BufferedReader,
    greeting: Uint8Array,
  ) {
    this.#attempt = attempt;
    this.#tls = tls;
    this.#plain = this.#connection = connection;
    this.#reader = reader;
    this.#greeting = greeting;
    const isGreeting = greeting[HEADER_BYTES] === VERSION;
    const isOffered = isGreeting && offersTls(greeting);
    this.usesTls = mode !== "off" && isOffered;
    if (this.usesTls) this.#securing = Promise.withResolvers();
    this.lacksTls = mode === "require" && isGreeting && !isOffered;
  }

  /**
   * Connects, and reads the server's greeting, or its refusal.
   *
   * @param mode Whether the connection uses TLS.
   */
  static async open(attempt: Attempt, mode: TlsMode, tls: TlsSettings): Promise<MysqlConnection> {
    const connection = await attempt.connect();
    try {
      const reader = new BufferedReader(connection);
      const greeting = await readPacket(reader);
      const type = greeting[HEADER_BYTES];
      if (type !== VERSION && type !== ERROR) throw new Error(NOT_MYSQL);
      return new MysqlConnection(attempt, tls, mode, connection, reader, greeting);
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Reads the next packet. The first one is the greeting. */
  async read(): Promise<Uint8Array> {
    const greeting = this.#greeting;
    this.#greeting = undefined;
    if (greeting !== undefined) return greeting;
    await this.#securing?.promise;
    return await readPacket(this.#reader);
  }

  /** Sends a packet of the login. */
  async send(packet: Uint8Array): Promise<void> {
    const isFirst = this.usesTls && !this.#isSecure;
    if (isFirst) await this.#secure(packet);
    if (!this.usesTls) return await this.#connection.write(packet);
    // The client does not know of the request for TLS, which is a packet too.
    const copy = new Uint8Array(packet);
    copy[3]! += 1;
    if (isFirst) copy[HEADER_BYTES + 1]! |= CLIENT_SSL;
    await this.#connection.write(copy);
  }

  /** Sends a packet of a command after the login. */
  async sendCommand(packet: Uint8Array): Promise<void> {
    await this.#connection.write(packet);
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
    this.#plain[Symbol.dispose]();
  }

  /** Starts TLS. MySQL takes the capabilities of the client from the request, MariaDB from the packet after it. */
  async #secure(first: Uint8Array): Promise<void> {
    const request = new Uint8Array(first.subarray(0, HEADER_BYTES + TLS_REQUEST_BYTES));
    request.set([TLS_REQUEST_BYTES, 0, 0]);
    request[HEADER_BYTES + 1]! |= CLIENT_SSL;
    await this.#plain.write(request);
    this.#connection = await this.#attempt.startTls(this.#plain, this.#tls);
    // Bytes that were received before the handshake may be injected: the other reader is not used further.
    this.#reader = new BufferedReader(this.#connection);
    this.#isSecure = true;
    this.#securing?.resolve();
  }
}

/** Whether a greeting has the capability CLIENT_SSL. */
function offersTls(greeting: Uint8Array): boolean {
  // After the version of the server: the thread (4 bytes), a part of the challenge (8) and a zero.
  const end = greeting.indexOf(0, HEADER_BYTES + 1);
  const capabilities = end + 1 + 4 + 8 + 1;
  return end > 0 && (greeting[capabilities + 1]! & CLIENT_SSL) !== 0;
}

async function readPacket(reader: BufferedReader): Promise<Uint8Array> {
  const header = await reader.exactly(HEADER_BYTES);
  const length = header[0]! | header[1]! << 8 | header[2]! << 16;
  if (length > MAX_PACKET_BYTES) throw new Error(NOT_MYSQL);
  const packet = new Uint8Array(HEADER_BYTES + length);
  packet.set(header);
  packet.set(await reader.exactly(length), HEADER_BYTES);
  return packet;
}
