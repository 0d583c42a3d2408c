import type { ClientConfig } from "pg";
import { BufferedReader, NoResponseError } from "../net/buffered_reader.ts";
import type { Checker, CheckRequest, Verdict } from "../checks/check.ts";
import type { Connection } from "../net/connection.ts";
import type { TlsMode } from "../net/tls_clients.ts";
import { TlsError, type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import {
  type Attempt,
  attempt,
  plainTextFailure,
  UnsupportedError,
  withTlsMode,
} from "./_attempt.ts";
import { loginFailure, messageStream } from "./_login.ts";
import { withQuery } from "./_match.ts";
import {
  judgeRole,
  type PostgresRole,
  ROLE_STATEMENT,
  type RoleDemand,
  roleDemandOf,
} from "./_postgres_role.ts";

/** The login of PostgreSQL. */
export interface PostgresCheckOptions {
  /** The user's name; null if the configuration has none. */
  readonly username: string | null;
  /** The user's password; null for a server that requires none. */
  readonly password: string | null;
  /** The database; null for that with the user's name. */
  readonly database: string | null;
  /** Whether the connection uses TLS; `prefer` by default. */
  readonly mode?: TlsMode;
  /** The TLS settings; by default certificates are not verified. */
  readonly tls?: TlsSettings;
}

/** The message of PostgreSQL, and of PgBouncer, for a user that is not accepted by this kind of connection. */
const NOT_ACCEPTED = /no pg_hba\.conf entry|pg_hba\.conf rejects/;

function isNotAccepted({ reason, message }: Verdict): boolean {
  return reason === "login" && NOT_ACCEPTED.test(message);
}

/** An error of pg. One with a severity is the server's refusal. */
interface PostgresError extends Error {
  readonly severity?: string;
  /** The SQL state. */
  readonly code?: string;
}

/** The classes of SQL states that refuse a login, not the whole server: authorization, database. */
const LOGIN_STATES = /^(?:28|3D)/;

/** Parts of a client that the types of pg lack. */
interface PostgresClient {
  readonly connectionParameters: Record<string, unknown>;
}

/** The size limit of a message, in bytes. No message of a login is longer. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** How many messages of the server a login may take: some fifteen settings, and notices. */
export const MAX_MESSAGES = 1000;

const NOT_POSTGRES = "the server does not speak PostgreSQL";

/**
 * Makes the checker that logs in to PostgreSQL, and quits.
 *
 * @returns A checker: 200 after the login, 500 and the server's message if it refuses, 503 if it cannot be reached,
 * does not speak PostgreSQL or takes too long.
 */
export function postgresChecker(options: PostgresCheckOptions): Checker {
  const { username, password, database, mode = "prefer", tls = UNVERIFIED } = options;
  return async (request, signal) => {
    if (username === null) {
      const message = "No PostgreSQL username in config file";
      return { code: 500, message, reason: "configuration" };
    }
    const config = configOf(request, username, password ?? "", database ?? username);
    return await withQuery(() => roleDemandOf(request), async (demand) => {
      // Loaded before the connection is opened: a failure is an internal error, not one of the service.
      await import("pg");
      return await attempt(
        "PostgreSQL",
        request,
        signal,
        (attempt) =>
          withTlsMode(mode, async (mode) => {
            using connection = await open(attempt, mode, tls);
            return await logIn(connection, config, demand);
          }, (verdict) => attempt.isSecure && isNotAccepted(verdict)),
        (error) =>
          error instanceof NoResponseError
            ? plainTextFailure(error)
            : loginFailure(error, NOT_POSTGRES),
      );
    });
  };
}

/** The request for TLS: its length and its number. */
const TLS_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);

/** The responses to it. */
const [ACCEPTED, DECLINED, FAILED] = new TextEncoder().encode("SNE");

/** Connects, and starts TLS if the mode and the server permit it. */
async function open(attempt: Attempt, mode: TlsMode, tls: TlsSettings): Promise<Connection> {
  const plain = await attempt.connect();
  if (mode === "off") return plain;
  try {
    await plain.write(TLS_REQUEST);
    // One byte is read, and no more: others before the handshake may be injected (CVE-2021-23222).
    const reader = new BufferedReader({ read: (buffer) => plain.read(buffer.subarray(0, 1)) });
    const [response] = await reader.exactly(1);
    if (response === ACCEPTED) return await attempt.startTls(plain, tls);
    if (response === DECLINED && mode === "prefer") return plain;
    if (response === DECLINED || response === FAILED) {
      throw new TlsError("the server does not offer TLS, and postgres_tls requires it");
    }
    throw new Error(NOT_POSTGRES);
  } catch (error) {
    plain[Symbol.dispose]();
    throw error;
  }
}

const UP: Verdict = { code: 200, message: "PostgreSQL connect response: OK" };

/** Logs in, asks for the role if the check demands one, and quits. */
async function logIn(
  connection: Connection,
  config: ClientConfig,
  demand: RoleDemand | null,
): Promise<Verdict> {
  // Loading it takes 28 ms.
  const { Client } = (await import("pg")).default;
  const reader = new BufferedReader(connection);
  let last: number | undefined;
  let messages = 0;
  const nextMessage = async () => {
    const message = await readMessage(reader, last === undefined ? FIRST_TYPES : TYPES);
    if (++messages > MAX_MESSAGES) throw new Error(NOT_POSTGRES);
    last = message[0];
    const method = UNSUPPORTED_METHODS.get(authenticationOf(message));
    if (method !== undefined) {
      throw new UnsupportedError(
        `the server asks for a login by ${method}, which hacheck does not support; ` +
          "it supports trust, password, md5 and scram-sha-256",
      );
    }
    return message;
  };
  // An unexpected message can make pg throw in a callback, or read for ever.
  const stream = await messageStream(
    () => last === READY ? undefined : nextMessage(),
    (message) => connection.write(message),
  );
  Object.assign(stream, {
    // pg calls these of a socket.
    setNoDelay() {},
    connect: () => queueMicrotask(() => stream.emit("connect")),
  });
  const client = new Client({ ...config, stream: () => stream });
  // PgBouncer knows neither parameter, and would refuse the login.
  Object.assign((client as unknown as PostgresClient).connectionParameters, {
    options: "",
    replication: "",
  });
  const refusal = await new Promise<PostgresError | undefined>((resolve, reject) => {
    const fail = (error: PostgresError) =>
      error.severity === undefined ? reject(error) : resolve(error);
    // A second error without a listener would end the program.
    client.on("error", fail);
    client.connect().then(() => resolve(undefined), fail);
  });
  if (refusal !== undefined) {
    const { code = "", message } = refusal;
    const reason = LOGIN_STATES.test(code) ? "login" : "unhealthy";
    return { code: 500, message: `PostgreSQL says ${message}`, reason };
  }
  const verdict = demand === null ? UP : await askRole(connection, reader, demand);
  // Without this message, the server would log an aborted client.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
  return verdict;
}

const HEADER_BYTES = 5;

/** The types of messages: their first bytes. */
const [AUTHENTICATION, SETTING, KEY, READY, REFUSAL, NOTICE] = new TextEncoder().encode("RSKZEN");
const [QUERY, COLUMNS, ROW, COMPLETE] = new TextEncoder().encode("QTDC");

/** The methods of authentication that hacheck does not support, by their numbers. */
const UNSUPPORTED_METHODS: ReadonlyMap<number | undefined, string> = new Map([
  [2, "Kerberos V5"],
  [4, "crypt"],
  [6, "SCM credentials"],
  [7, "GSSAPI (Kerberos)"],
  [8, "GSSAPI (Kerberos)"],
  [9, "SSPI (Windows)"],
]);

/** Returns the number of the method that a message requests; undefined if it requests none. */
function authenticationOf(message: Uint8Array): number | undefined {
  if (message[0] !== AUTHENTICATION || message.length < HEADER_BYTES + 4) return undefined;
  return new DataView(message.buffer).getUint32(HEADER_BYTES);
}

/**
 * Asks for the role by the simple query protocol. pg is not used for that: its parser does not stop at the end of a
 * malformed message.
 */
async function askRole(
  connection: Connection,
  reader: BufferedReader,
  demand: RoleDemand,
): Promise<Verdict> {
  const statement = new TextEncoder().encode(`${ROLE_STATEMENT}\0`);
  const query = new Uint8Array(HEADER_BYTES + statement.length);
  query[0] = QUERY!;
  new DataView(query.buffer).setUint32(1, query.length - 1);
  query.set(statement, HEADER_BYTES);
  await connection.write(query);
  let role: PostgresRole | undefined;
  for (let messages = 0; messages < MAX_MESSAGES; messages++) {
    const message = await readMessage(reader, RESULT_TYPES);
    const type = message[0];
    if (type === REFUSAL) {
      return { code: 500, message: `PostgreSQL says ${textOf(message)}`, reason: "unhealthy" };
    }
    if (type === ROW) role = roleIn(message);
    if (type === READY && role !== undefined) return judgeRole(role, demand);
  }
  throw new Error(NOT_POSTGRES);
}

/** Parses a row of two values, each after its length. A length of -1 stands for null. */
function roleIn(row: Uint8Array): PostgresRole {
  const view = new DataView(row.buffer);
  const values: (string | null)[] = [];
  for (let at = HEADER_BYTES + 2; at < row.length;) {
    const length = view.getInt32(at);
    at += 4;
    values.push(length < 0 ? null : new TextDecoder().decode(row.subarray(at, at + length)));
    at += Math.max(length, 0);
  }
  const [recovery, lag] = values;
  if (values.length !== 2 || (recovery !== "t" && recovery !== "f")) throw new Error(NOT_POSTGRES);
  return { isStandby: recovery === "t", lag: lag === null ? null : Number(lag) };
}

/** Returns the text in a refusal: its field `M`. */
function textOf(refusal: Uint8Array): string {
  const fields = new TextDecoder().decode(refusal.subarray(HEADER_BYTES)).split("\0");
  return fields.find((field) => field.startsWith("M"))?.slice(1) ?? "nothing";
}

/** The types of the first message, and of all until the end of the login. */
const FIRST_TYPES: ReadonlySet<number | undefined> = new Set([AUTHENTICATION, REFUSAL, NOTICE]);
const TYPES: typeof FIRST_TYPES = new Set([...FIRST_TYPES, SETTING, KEY, READY]);

/** The types of messages in response to a query. */
const RESULT_TYPES: typeof FIRST_TYPES = new Set([
  ...[COLUMNS, ROW, COMPLETE],
  ...[SETTING, READY, REFUSAL, NOTICE],
]);

async function readMessage(
  reader: BufferedReader,
  types: typeof FIRST_TYPES,
): Promise<Uint8Array> {
  const header = await reader.exactly(HEADER_BYTES);
  const [type] = header;
  // The length includes itself, but not the type.
  const length = new DataView(header.buffer).getUint32(1) + 1 - HEADER_BYTES;
  if (!types.has(type) || length < 0 || length > MAX_MESSAGE_BYTES) throw new Error(NOT_POSTGRES);
  const content = await reader.exactly(length);
  const isListOfFields = type === REFUSAL || type === NOTICE;
  if (isListOfFields && !isTerminated(content)) throw new Error(NOT_POSTGRES);
  const message = new Uint8Array(HEADER_BYTES + length);
  message.set(header);
  message.set(content, HEADER_BYTES);
  return message;
}

/** Returns whether a list of fields ends: a zero ends each field, and another one the list. pg would read on for ever. */
function isTerminated(content: Uint8Array): boolean {
  return content.at(-1) === 0 && (content.length === 1 || content.at(-2) === 0);
}

/** Sets all that pg would read from the environment otherwise, which needs a permission. */
function configOf(
  request: CheckRequest,
  user: string,
  password: string,
  database: string,
): ClientConfig & Record<string, unknown> {
  return {
    host: request.host,
    port: request.port,
    user,
    // pg ignores an empty password that is not returned by a function.
    password: () => password,
    database,
    ssl: false,
    sslnegotiation: "postgres",
    application_name: "hacheck",
    client_encoding: "UTF8",
    binary: true,
    options: " ",
    replication: "false",
    // The connection has its own deadline.
    connectionTimeoutMillis: 0,
  };
}
