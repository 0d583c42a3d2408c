import { BufferedReader } from "../net/buffered_reader.ts";
import type { Checker, Verdict } from "../checks/check.ts";
import type { Connection } from "../net/connection.ts";
import { attempt, UnsupportedError } from "./_attempt.ts";
import { loginFailure, messageStream } from "./_login.ts";

/** The login of MySQL. */
export interface MysqlCheckOptions {
  /** The user's name; null if the configuration has none. */
  readonly username: string | null;
  /** The user's password; null if the configuration has none. */
  readonly password: string | null;
}

/** An error of mysql2. One with an SQL state is the server's refusal. */
interface MysqlError extends Error {
  readonly sqlState?: string;
  readonly sqlMessage?: string;
  readonly errno?: number;
}

/** Errors of a server that cannot serve: too many connections, shutdown, a blocked host. All others refuse the login. */
const UNHEALTHY_ERRORS: ReadonlySet<number | undefined> = new Set([1040, 1053, 1129]);

/** The size limit of a packet, in bytes. No packet of a login is longer. */
export const MAX_PACKET_BYTES = 64 * 1024;

/** How many packets of the server a login may take. */
export const MAX_PACKETS = 20;

/** The authentication plugins that hacheck supports. */
const SUPPORTED_PLUGINS: readonly string[] = [
  "mysql_native_password",
  "caching_sha2_password",
  "sha256_password",
  "client_ed25519",
];

/** The kinds of other plugins. */
const PLUGIN_KINDS: ReadonlyMap<string, string> = new Map([
  ["dialog", "PAM"],
  ["mysql_clear_password", "PAM or LDAP, the password in clear text"],
  ["mysql_old_password", "passwords from before MySQL 4.1"],
  ["auth_gssapi_client", "Kerberos or NTLM"],
  ["authentication_kerberos_client", "Kerberos"],
  ["authentication_ldap_sasl_client", "LDAP with SASL"],
  ["parsec", "PARSEC"],
]);

/** How many characters of a plugin's name a message contains. */
const MAX_PLUGIN_NAME_LENGTH = 64;

const NOT_MYSQL = "the server does not speak MySQL";

/**
 * Makes the checker that logs in to MySQL or MariaDB, selects no database, and quits.
 *
 * @returns A checker: 200 after the login, 500 and the server's message if it refuses, 503 if it cannot be reached,
 * does not speak MySQL or takes too long.
 */
export function mysqlChecker({ username, password }: MysqlCheckOptions): Checker {
  return async (request, signal) => {
    if (username === null || password === null) {
      const message = "No MySQL username/password in config file";
      return { code: 500, message, reason: "configuration" };
    }
    // Loaded before the connection is opened: without the client it would end without a login, which MySQL counts.
    await import("mysql2");
    return await attempt("MySQL", request, signal, async (attempt) => {
      using connection = await attempt.connect();
      return await logIn(connection, username, password);
    }, (error) => loginFailure(error, NOT_MYSQL));
  };
}

/** Logs in and quits. */
async function logIn(connection: Connection, user: string, password: string): Promise<Verdict> {
  // Loading it takes 58 ms.
  const { createConnection } = (await import("mysql2")).default;
  const reader = new BufferedReader(connection);
  let packets = 0;
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
    // Some servers number a refusal before the greeting differently, and mysql2 prints a warning then.
    packet[3] = client.sequenceId;
    return packet;
  };
  // An unexpected packet can make mysql2 throw in a callback; and it closes only its own half of the connection.
  const stream = await messageStream(
    connection,
    () => client.authorized ? undefined : nextPacket(),
  );
  const client = createConnection({
    stream,
    user,
    password,
    // The connection has its own deadline.
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
  const refusal = await new Promise<MysqlError | undefined>((resolve, reject) => {
    client.once("connect", () => resolve(undefined));
    // Not `once`: a second error without a listener would end the program.
    client.on("error", (error: MysqlError) => {
      return error.sqlState === undefined ? reject(error) : resolve(error);
    });
  });
  if (refusal !== undefined) {
    const { errno, sqlMessage = "" } = refusal;
    const reason = UNHEALTHY_ERRORS.has(errno) ? "unhealthy" : "login";
    return { code: 500, message: `MySQL sez ${sqlMessage}`, reason };
  }
  // Without COM_QUIT, the server would count an aborted client.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
  return { code: 200, message: "MySQL connect response: OK" };
}

/** The length of the challenge that MariaDB sends; a zero may follow it. */
const ED25519_CHALLENGE_BYTES = 32;

/**
 * Ends a login that hacheck does not support. The server counts clients that close the connection during the handshake,
 * and blocks the host after `max_connect_errors` of them (error 1129). An empty packet makes it a refused login, which
 * does not count.
 *
 * @throws {UnsupportedError} Always.
 */
async function decline(
  connection: Connection,
  reader: BufferedReader,
  request: Uint8Array,
  plugin: string,
): Promise<never> {
  await connection.write(new Uint8Array([0, 0, 0, request[3]! + 1]));
  // Whatever the response is, the plugin is the cause. PAM takes seconds to refuse.
  await readPacket(reader).catch(() => {});
  const kind = PLUGIN_KINDS.get(plugin);
  const name = JSON.stringify(plugin.slice(0, MAX_PLUGIN_NAME_LENGTH));
  throw new UnsupportedError(
    `the server asks for a login by the authentication plugin ${name}${
      kind === undefined ? "" : ` (${kind})`
    }, which hacheck does not support; it supports ${SUPPORTED_PLUGINS.join(", ")}`,
  );
}

/** Returns the plugin that a packet requests; undefined if it requests none. */
function requestedPlugin(packet: Uint8Array): string | undefined {
  const type = packet[HEADER_BYTES];
  if (type !== SWITCH_PLUGIN && type !== NEXT_FACTOR) return undefined;
  // A request without a name comes from servers that had only one other plugin.
  if (packet.length === HEADER_BYTES + 1) return "mysql_old_password";
  const end = packet.indexOf(0, HEADER_BYTES + 1);
  return LATIN1.decode(packet.subarray(HEADER_BYTES + 1, end < 0 ? packet.length : end));
}

const LATIN1 = new TextDecoder("latin1");

/** The first byte of packets that request another plugin, or one more factor. */
const SWITCH_PLUGIN = 0xfe;
const NEXT_FACTOR = 0x02;

const HEADER_BYTES = 4;

/** A greeting begins with the version of the protocol, a refusal in its place with the type of an error. */
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
