import type { Connection as MysqlClient } from "mysql2";
import type { Checker, FailureReason, Verdict } from "../checks/check.ts";
import type { TlsMode } from "../net/tls_clients.ts";
import { TlsError, type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import { attempt, UnsupportedError, withTlsMode } from "./_attempt.ts";
import { loginFailure, messageStream } from "./_login.ts";
import { type Demands, withQuery } from "./_match.ts";
import { HEADER_BYTES, MysqlConnection, NOT_MYSQL } from "./_mysql_connection.ts";
import {
  judgeVariables,
  MAX_RESULT_PACKETS,
  statementsFor,
  variableDemandsOf,
  type VariableRow,
} from "./_mysql_variables.ts";

/** The login of MySQL. */
export interface MysqlCheckOptions {
  /** The user's name; null if the configuration has none. */
  readonly username: string | null;
  /** The user's password; null if the configuration has none. */
  readonly password: string | null;
  /** Whether the connection uses TLS; `prefer` by default. */
  readonly mode?: TlsMode;
  /** The TLS settings; by default certificates are not verified. */
  readonly tls?: TlsSettings;
}

/** An error of mysql2. One with an SQL state is the server's refusal. */
interface MysqlError extends Error {
  readonly sqlState?: string;
  readonly sqlMessage?: string;
  readonly errno?: number;
}

/** Errors of a server that cannot serve: too many connections, shutdown, a blocked host. All others refuse the login. */
const UNHEALTHY_ERRORS: ReadonlySet<number | undefined> = new Set([1040, 1053, 1129]);

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

/**
 * Makes the checker that logs in to MySQL or MariaDB, selects no database, and quits.
 *
 * @returns A checker: 200 after the login, 500 and the server's message if it refuses, 503 if it cannot be reached,
 * does not speak MySQL or takes too long.
 */
export function mysqlChecker(options: MysqlCheckOptions): Checker {
  const { username, password, mode = "prefer", tls = UNVERIFIED } = options;
  return async (request, signal) => {
    if (username === null || password === null) {
      const message = "No MySQL username/password in config file";
      return { code: 500, message, reason: "configuration" };
    }
    return await withQuery(() => variableDemandsOf(request), async (demands) => {
      // Loaded before the connection is opened: without the client it would end without a login, which MySQL counts.
      await import("mysql2");
      return await attempt(
        "MySQL",
        request,
        signal,
        (attempt) =>
          withTlsMode(mode, async (mode) => {
            using connection = await MysqlConnection.open(attempt, mode, tls);
            return await logIn(connection, username, password, demands);
          }),
        (error) => loginFailure(error, NOT_MYSQL),
      );
    });
  };
}

const UP: Verdict = { code: 200, message: "MySQL connect response: OK" };

/** Logs in, reads the demanded variables, and quits. */
async function logIn(
  connection: MysqlConnection,
  user: string,
  password: string,
  demands: Demands | null,
): Promise<Verdict> {
  // Loading it takes 58 ms.
  const { createConnection } = (await import("mysql2")).default;
  let packets = 0;
  let isDone = false;
  const nextPacket = async () => {
    const packet = await connection.read();
    const limit = client.authorized ? MAX_PACKETS + MAX_RESULT_PACKETS : MAX_PACKETS;
    if (packets === limit) throw new Error(NOT_MYSQL);
    if (packets > 0 && !client.authorized) {
      const plugin = requestedPlugin(packet);
      if (plugin !== undefined && !SUPPORTED_PLUGINS.includes(plugin)) {
        await decline(connection, packet, plugin);
      }
    }
    packets++;
    // Some servers number a refusal before the greeting differently, and mysql2 prints a warning then.
    packet[3] = client.sequenceId;
    return packet;
  };
  const send = async (packet: Uint8Array) => {
    if (client.authorized) return await connection.sendCommand(packet);
    await connection.send(packet);
    // From now on the client sends passwords as it does with TLS.
    if (connection.usesTls) Object.assign(client.config, { ssl: {} });
  };
  // An unexpected packet can make mysql2 throw in a callback; and it closes only its own half of the connection.
  const stream = await messageStream(
    () => isDone || (client.authorized && demands === null) ? undefined : nextPacket(),
    send,
  );
  const client = createConnection({
    stream,
    // Closed without a login, the connection would count as a connect error.
    ...connection.lacksTls ? { user: "", password: "" } : { user, password },
    // The connection has its own deadline.
    connectTimeout: 0,
    authPlugins: {
      // The server expects the password itself where the connection uses TLS.
      ...connection.usesTls ? { sha256_password: () => () => passwordWithEnd(password) } : {},
      client_ed25519: () => async (data) => {
        const { signAsMariaDb } = await import("./_mariadb_ed25519.ts");
        const { Buffer } = await import("node:buffer");
        const challenge = data.subarray(0, ED25519_CHALLENGE_BYTES);
        return Buffer.from(signAsMariaDb(new TextEncoder().encode(password), challenge));
      },
    },
  });
  const failed = Promise.withResolvers<MysqlError>();
  // Not `once`: a second error without a listener would end the program.
  client.on("error", (error: MysqlError) => {
    return error.sqlState === undefined ? failed.reject(error) : failed.resolve(error);
  });
  const connected = new Promise<undefined>((resolve) => {
    client.once("connect", () => resolve(undefined));
  });
  const refusal = await Promise.race([connected, failed.promise]);
  if (connection.lacksTls) {
    throw new TlsError("the server does not offer TLS, and mysql_tls requires it");
  }
  if (refusal !== undefined) {
    return refused(refusal, UNHEALTHY_ERRORS.has(refusal.errno) ? "unhealthy" : "login");
  }
  const reading = demands === null ? UP : judgeRows(client, demands);
  const result = await Promise.race([reading, failed.promise]);
  isDone = true;
  // Without COM_QUIT, the server would count an aborted client.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
  return result instanceof Error ? refused(result) : result;
}

/** Reads the demanded variables, and judges them. A refusal of the server is returned. */
async function judgeRows(client: MysqlClient, demands: Demands): Promise<Verdict | MysqlError> {
  const rows: VariableRow[] = [];
  for (const statement of statementsFor(demands)) {
    const result = await rowsOf(client, statement);
    if (result instanceof Error) return result;
    rows.push(...result);
  }
  return judgeVariables(rows, demands);
}

/** Runs a statement. A refusal of the server is returned. */
function rowsOf(client: MysqlClient, statement: string): Promise<VariableRow[] | MysqlError> {
  return new Promise((resolve, reject) => {
    client.query(statement, (error: MysqlError | null, rows: unknown) => {
      if (error === null) resolve(rows as VariableRow[]);
      else if (error.sqlState === undefined) reject(error);
      else resolve(error);
    });
  });
}

function refused({ sqlMessage = "" }: MysqlError, reason: FailureReason = "unhealthy"): Verdict {
  return { code: 500, message: `MySQL sez ${sqlMessage}`, reason };
}

async function passwordWithEnd(password: string): Promise<Buffer> {
  const { Buffer } = await import("node:buffer");
  return Buffer.from(`${password}\0`);
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
  connection: MysqlConnection,
  request: Uint8Array,
  plugin: string,
): Promise<never> {
  await connection.sendCommand(new Uint8Array([0, 0, 0, request[3]! + 1]));
  // Whatever the response is, the plugin is the cause. PAM takes seconds to refuse.
  await connection.read().catch(() => {});
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
