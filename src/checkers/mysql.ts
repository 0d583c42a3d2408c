import type { Connection } from "mysql2";
import type { Checker, CheckRequest, Verdict } from "../check.ts";
import { because, stopwatch } from "./_words.ts";

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
    // 58 ms that only a host with MySQL checks has to pay, and only once.
    const { createConnection } = (await import("mysql2")).default;
    const elapsed = stopwatch();
    if (signal.aborted) return { code: 503, message: `MySQL timed out after ${elapsed()}` };
    const connection = createConnection({
      host: request.host,
      port: request.port,
      user: username,
      password,
      // The signal is the only deadline.
      connectTimeout: 0,
    });
    const expired = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    try {
      await Promise.race([loggedIn(connection), expired]);
      await Promise.race([closed(connection), expired.catch(() => {})]);
      return { code: 200, message: "MySQL connect response: OK" };
    } catch (error) {
      if (signal.aborted) return { code: 503, message: `MySQL timed out after ${elapsed()}` };
      const { sqlState, sqlMessage } = error as MysqlFailure;
      if (sqlState !== undefined) return { code: 500, message: `MySQL sez ${sqlMessage}` };
      return { code: 503, message: `MySQL check failed after ${elapsed()}: ${because(error)}` };
    } finally {
      connection.destroy();
    }
  };
}

function loggedIn(connection: Connection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once("connect", () => resolve());
    // Not `once`: a second error without a listener would end the program.
    connection.on("error", reject);
  });
}

/** Says good-bye, and waits for the server to hang up: cut off, it would count an aborted client. */
function closed(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    connection.once("end", () => resolve());
    connection.end();
  });
}
