import type { ClientConfig } from "pg";
import { BufferedReader, ConnectionClosedError } from "../net/buffered_reader.ts";
import type { Checker, CheckRequest, Verdict } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { connectionFailure, errorMessage, stopwatch } from "./_words.ts";

/** Who logs in to PostgreSQL, and to what. */
export interface PostgresCheckOptions {
  /** The user's name; null where the configuration names none. */
  readonly username: string | null;
  /** The user's password; null for a server that asks for none. */
  readonly password: string | null;
  /** The database; null for the one that has the user's name. */
  readonly database: string | null;
}

/** What pg tells of a failure. Only a server's own refusal has a severity. */
interface PostgresFailure extends Error {
  readonly severity?: string;
}

/** What pg's types leave out: what it says when it connects. */
interface PostgresClient {
  readonly connectionParameters: Record<string, unknown>;
}

/** No message of a login is longer; what claims to be is not PostgreSQL. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** No login takes so many messages of the server: some fifteen settings, and what it has to notice. */
export const MAX_MESSAGES = 1000;

/**
 * Makes the checker that logs in to PostgreSQL, and quits.
 *
 * @param options Who logs in.
 * @returns A checker: 200 after a login, 500 with the server's words when it refuses, 503 when it
 * cannot be reached, does not speak PostgreSQL or takes too long.
 */
export function postgresChecker({ username, password, database }: PostgresCheckOptions): Checker {
  return async (request: CheckRequest, signal: AbortSignal): Promise<Verdict> => {
    if (username === null) return { code: 500, message: "No PostgreSQL username in config file" };
    const elapsed = stopwatch();
    try {
      using connection = await Connection.open(request.host, request.port, signal);
      await logIn(connection, settings(request, username, password ?? "", database ?? username));
      return { code: 200, message: "PostgreSQL connect response: OK" };
    } catch (error) {
      if (signal.aborted) return { code: 503, message: `PostgreSQL timed out after ${elapsed()}` };
      if ((error as PostgresFailure).severity !== undefined) {
        return { code: 500, message: `PostgreSQL says ${errorMessage(error)}` };
      }
      return {
        code: 503,
        message: `PostgreSQL check failed after ${elapsed()}: ${whyNot(error, request)}`,
      };
    }
  };
}

/**
 * Logs in and says good-bye.
 *
 * pg gets one whole message at a time, and none after the login. On a socket of its own it takes
 * whatever comes, and as much as comes, from what is no PostgreSQL at all; and a message that it
 * does not expect may throw out of it, or be read without an end.
 */
async function logIn(connection: Connection, config: ClientConfig): Promise<void> {
  // 28 ms that only a host with PostgreSQL checks has to pay, and only once.
  const { Client } = (await import("pg")).default;
  const { Duplex } = await import("node:stream");
  const reader = new BufferedReader(connection);
  let last: number | undefined;
  let messages = 0;
  const stream = new Duplex({
    read() {
      if (last === READY) return;
      readMessage(reader, last === undefined ? FIRST_TYPES : TYPES).then((message) => {
        if (++messages > MAX_MESSAGES) throw new Error(NOT_POSTGRES);
        last = message[0];
        const method = UNSUPPORTED_METHODS.get(authenticationOf(message));
        if (method !== undefined) {
          throw new Error(
            `the server asks for a login by ${method}, which hacheck does not support; ` +
              "it supports trust, password, md5 and scram-sha-256",
          );
        }
        this.push(message);
      }).catch((error) => this.destroy(error));
    },
    write(message, _encoding, done) {
      connection.write(message).then(() => done(), done);
    },
  });
  Object.assign(stream, {
    // What pg does with a socket that is not connected yet.
    setNoDelay() {},
    connect: () => queueMicrotask(() => stream.emit("connect")),
  });
  const client = new Client({ ...config, stream: () => stream });
  // Said to PgBouncer, which knows neither, they are reason enough to refuse.
  Object.assign((client as unknown as PostgresClient).connectionParameters, {
    options: "",
    replication: "",
  });
  await new Promise<void>((resolve, reject) => {
    // An error after the first has nobody else to go to, and would end the program.
    client.on("error", reject);
    client.connect().then(() => resolve(), reject);
  });
  // Cut off without a word, the server would log it.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
}

const NOT_POSTGRES = "the server does not speak PostgreSQL";

const HEADER_BYTES = 5;

/** The types of messages, by their first byte. */
const [AUTHENTICATION, SETTING, KEY, READY, REFUSAL, NOTICE] = new TextEncoder().encode("RSKZEN");

/** The methods of authentication that hacheck does not support, by the numbers that stand for them. */
const UNSUPPORTED_METHODS: ReadonlyMap<number | undefined, string> = new Map([
  [2, "Kerberos V5"],
  [4, "crypt"],
  [6, "SCM credentials"],
  [7, "GSSAPI (Kerberos)"],
  [8, "GSSAPI (Kerberos)"],
  [9, "SSPI (Windows)"],
]);

/** The method that a message asks for; undefined if it asks for none. */
function authenticationOf(message: Uint8Array): number | undefined {
  if (message[0] !== AUTHENTICATION || message.length < HEADER_BYTES + 4) return undefined;
  return new DataView(message.buffer).getUint32(HEADER_BYTES);
}

/** What a server may say first, and what until the login is over. */
const FIRST_TYPES: ReadonlySet<number | undefined> = new Set([AUTHENTICATION, REFUSAL, NOTICE]);
const TYPES: typeof FIRST_TYPES = new Set([...FIRST_TYPES, SETTING, KEY, READY]);

async function readMessage(
  reader: BufferedReader,
  types: typeof FIRST_TYPES,
): Promise<Uint8Array> {
  const header = await reader.exactly(HEADER_BYTES);
  const [type] = header;
  // The length counts itself, but not the type.
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

/** Whether a list of fields ends: a zero ends each field, and another one the list. pg looks for it for ever. */
function isTerminated(content: Uint8Array): boolean {
  return content.at(-1) === 0 && (content.length === 1 || content.at(-2) === 0);
}

/** What went wrong, in words that say whose fault it is. */
function whyNot(error: unknown, request: CheckRequest): string {
  if (error instanceof ConnectionClosedError) return "the server closed the connection";
  // A message shorter than it should be, one that does not fit those before it, or a refusal without a word.
  const isNonsense = error instanceof RangeError || error instanceof TypeError;
  return isNonsense || errorMessage(error) === ""
    ? NOT_POSTGRES
    : connectionFailure(error, request);
}

/** What pg is not told, it looks for in the environment, which takes a permission: so it is told everything. */
function settings(
  request: CheckRequest,
  user: string,
  password: string,
  database: string,
): ClientConfig & Record<string, unknown> {
  return {
    host: request.host,
    port: request.port,
    user,
    // An empty one would not count as told.
    password: () => password,
    database,
    ssl: false,
    sslnegotiation: "postgres",
    application_name: "hacheck",
    client_encoding: "UTF8",
    binary: true,
    options: " ",
    replication: "false",
    // The signal is the only deadline.
    connectionTimeoutMillis: 0,
  };
}
