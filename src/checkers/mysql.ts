import { BufferedReader, ConnectionClosedError } from "../net/buffered_reader.ts";
import type { Checker, CheckRequest, Verdict } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { connectionFailure, stopwatch } from "./_words.ts";

/** Who logs in to MySQL. */
export interface MysqlCheckOptions {
  /** The user's name; null where the configuration names none. */
  readonly username: string | null;
  /** The user's password; null where the configuration has none. */
  readonly password: string | null;
}

/** What mysql2 tells of a failure. Only a server's own refusal has an SQL state. */
interface MysqlFailure extends Error {
  readonly sqlState?: string;
  readonly sqlMessage?: string;
}

/** No packet of a login is longer; what claims to be is not MySQL. */
export const MAX_PACKET_BYTES = 64 * 1024;

/** No login takes so many packets of the server. */
export const MAX_PACKETS = 20;

/** The authentication plugins that hacheck can log in by. */
const SUPPORTED_PLUGINS: readonly string[] = [
  "mysql_native_password",
  "caching_sha2_password",
  "sha256_password",
  "client_ed25519",
];

/** What the others are, in plain words. */
const PLUGIN_KINDS: ReadonlyMap<string, string> = new Map([
  ["dialog", "PAM"],
  ["mysql_clear_password", "PAM or LDAP, the password in clear text"],
  ["mysql_old_password", "passwords from before MySQL 4.1"],
  ["auth_gssapi_client", "Kerberos or NTLM"],
  ["authentication_kerberos_client", "Kerberos"],
  ["authentication_ldap_sasl_client", "LDAP with SASL"],
  ["parsec", "PARSEC"],
]);

/** How many characters of a plugin's name a message repeats. */
const MAX_PLUGIN_NAME_LENGTH = 64;

/**
 * Makes the checker that logs in to MySQL or MariaDB, selects no database, and quits.
 *
 * @param options Who logs in.
 * @returns A checker: 200 after a login, 500 with the server's words when it refuses,
 * 503 when it cannot be reached, does not speak MySQL or takes too long.
 */
export function mysqlChecker({ username, password }: MysqlCheckOptions): Checker {
  return async (request: CheckRequest, signal: AbortSignal): Promise<Verdict> => {
    if (username === null || password === null) {
      return { code: 500, message: "No MySQL username/password in config file" };
    }
    const elapsed = stopwatch();
    try {
      using connection = await Connection.open(request.host, request.port, signal);
      await logIn(connection, username, password);
      return { code: 200, message: "MySQL connect response: OK" };
    } catch (error) {
      if (signal.aborted && !(error instanceof UnsupportedPluginError)) {
        return { code: 503, message: `MySQL timed out after ${elapsed()}` };
      }
      const { sqlState, sqlMessage } = error as MysqlFailure;
      if (sqlState !== undefined) return { code: 500, message: `MySQL sez ${sqlMessage}` };
      return {
        code: 503,
        message: `MySQL check failed after ${elapsed()}: ${whyNot(error, request)}`,
      };
    }
  };
}

/**
 * Logs in and quits.
 *
 * mysql2 gets one whole packet at a time, and none after the login. On a socket of its own it
 * takes whatever comes, and as much as comes, from what is no MySQL at all; a packet that it
 * does not expect may throw out of it; and it closes its own half of the connection only.
 */
async function logIn(connection: Connection, user: string, password: string): Promise<void> {
  // 58 ms that only a host with MySQL checks has to pay, and only once.
  const { createConnection } = (await import("mysql2")).default;
  const { Duplex } = await import("node:stream");
  const reader = new BufferedReader(connection);
  let packets = 0;
  const stream = new Duplex({
    read() {
      if (client.authorized) return;
      nextPacket().then((packet) => this.push(packet)).catch((error) => this.destroy(error));
    },
    write(packet, _encoding, done) {
      connection.write(packet).then(() => done(), done);
    },
  });
  const nextPacket = async () => {
    const packet = await readPacket(reader);
    const isExpected = packets === 0 ? isGreeting(packet) : packets < MAX_PACKETS;
    if (!isExpected) throw new Error(NOT_MYSQL);
    if (packets > 0) {
      const plugin = requestedPlugin(packet);
      if (plugin !== undefined && !SUPPORTED_PLUGINS.includes(plugin)) {
        await decline(connection, reader, packet, plugin);
      }
    }
    packets++;
    // Some servers number a refusal before the greeting otherwise, and mysql2 prints a warning then.
    packet[3] = client.sequenceId;
    return packet;
  };
  // The connection's deadline is the only one.
  const client = createConnection({
    stream,
    user,
    password,
    connectTimeout: 0,
    authPlugins: {
      client_ed25519: () => async (data) => {
        const { signAsMariaDb } = await import("./_mariadb_ed25519.ts");
        const { Buffer } = await import("node:buffer");
        const challenge = data.subarray(0, ED25519_CHALLENGE_BYTES);
        return Buffer.from(signAsMariaDb(new TextEncoder().encode(password), challenge));
      },
    },
  });
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    // Not `once`: a second error without a listener would end the program.
    client.on("error", reject);
  });
  // Without COM_QUIT, the server would count an aborted client.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
}

/** How many bytes MariaDB wants signed; a zero may follow them. */
const ED25519_CHALLENGE_BYTES = 32;

/**
 * Ends a login that hacheck does not support.
 *
 * A client that closes the connection here interrupts the handshake. The server counts that, and
 * after `max_connect_errors` of them it blocks the whole host (error 1129). An empty answer makes it
 * a refused login, which does not count.
 *
 * @throws {UnsupportedPluginError} Always.
 */
async function decline(
  connection: Connection,
  reader: BufferedReader,
  request: Uint8Array,
  plugin: string,
): Promise<never> {
  await connection.write(new Uint8Array([0, 0, 0, request[3]! + 1]));
  // The plugin is why the check fails, whatever the server answers. PAM takes seconds to refuse.
  await readPacket(reader).catch(() => {});
  throw new UnsupportedPluginError(plugin);
}

/** Thrown when a server asks for a login by an authentication plugin that hacheck does not support. */
class UnsupportedPluginError extends Error {
  override name = "UnsupportedPluginError";

  constructor(plugin: string) {
    const kind = PLUGIN_KINDS.get(plugin);
    const name = JSON.stringify(plugin.slice(0, MAX_PLUGIN_NAME_LENGTH));
    super(
      `the server asks for a login by the authentication plugin ${name}${
        kind === undefined ? "" : ` (${kind})`
      }, which hacheck does not support; it supports ${SUPPORTED_PLUGINS.join(", ")}`,
    );
  }
}

/** The plugin that a packet asks to go on with; undefined if it asks for none. */
function requestedPlugin(packet: Uint8Array): string | undefined {
  const mark = packet[HEADER_BYTES];
  if (mark !== SWITCH_PLUGIN && mark !== NEXT_FACTOR) return undefined;
  // A request without a name is that of servers which knew one other plugin only.
  if (packet.length === HEADER_BYTES + 1) return "mysql_old_password";
  const end = packet.indexOf(0, HEADER_BYTES + 1);
  return LATIN1.decode(packet.subarray(HEADER_BYTES + 1, end < 0 ? packet.length : end));
}

const LATIN1 = new TextDecoder("latin1");

/** What a packet begins with that asks for another plugin, or for one more factor. */
const SWITCH_PLUGIN = 0xfe;
const NEXT_FACTOR = 0x02;

const NOT_MYSQL = "the server does not speak MySQL";

const HEADER_BYTES = 4;

/** A greeting begins with the version of the protocol, a refusal instead of it with the mark of an error. */
function isGreeting(packet: Uint8Array): boolean {
  return packet[HEADER_BYTES] === 10 || packet[HEADER_BYTES] === 0xff;
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

/** What went wrong, in words that say whose fault it is. */
function whyNot(error: unknown, request: CheckRequest): string {
  if (error instanceof ConnectionClosedError) return "the server closed the connection";
  // A packet shorter than it should be.
  return error instanceof RangeError ? NOT_MYSQL : connectionFailure(error, request);
}
