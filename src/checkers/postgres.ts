import type { Client, ClientConfig } from "pg";
import type { Checker, CheckRequest, Verdict } from "../check.ts";
import { because, stopwatch } from "./_words.ts";

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
    // 40 ms that only a host with PostgreSQL checks has to pay, and only once.
    const { Client } = (await import("pg")).default;
    const elapsed = stopwatch();
    if (signal.aborted) return { code: 503, message: `PostgreSQL timed out after ${elapsed()}` };
    const client = new Client(
      settings(request, username, password ?? "", database ?? username),
    );
    const expired = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    // An error after the first has nobody else to go to, and would end the program.
    client.on("error", () => {});
    try {
      await Promise.race([client.connect(), expired]);
      await Promise.race([client.end(), expired.catch(() => {})]);
      return { code: 200, message: "PostgreSQL connect response: OK" };
    } catch (error) {
      if (signal.aborted) return { code: 503, message: `PostgreSQL timed out after ${elapsed()}` };
      if ((error as PostgresFailure).severity !== undefined) {
        return { code: 500, message: `PostgreSQL says ${because(error)}` };
      }
      return {
        code: 503,
        message: `PostgreSQL check failed after ${elapsed()}: ${because(error)}`,
      };
    } finally {
      destroy(client);
    }
  };
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

/** Closes a connection that may not have come about. */
function destroy(client: Client): void {
  // pg's types leave out the only way to end a connection that does not answer.
  const { stream } =
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  stream.destroy();
}
