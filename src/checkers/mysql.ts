import { BufferedReader, EndedError } from "../buffered_reader.ts";
import type { Checker, CheckRequest, Verdict } from "../check.ts";
import { Connection } from "../connection.ts";
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

/** No packet of a login is longer; what claims to be is not MySQL. */
export const MAX_PACKET_BYTES = 64 * 1024;

/** No login takes so many packets of the server. */
export const MAX_PACKETS = 20;

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
      if (signal.aborted) return { code: 503, message: `MySQL timed out after ${elapsed()}` };
      const { sqlState, sqlMessage } = error as MysqlFailure;
      if (sqlState !== undefined) return { code: 500, message: `MySQL sez ${sqlMessage}` };
      return { code: 503, message: `MySQL check failed after ${elapsed()}: ${whyNot(error)}` };
    }
  };
}

/**
 * Logs in and says good-bye.
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
      readPacket(reader).then((packet) => {
        const isExpected = packets === 0 ? isGreeting(packet) : packets < MAX_PACKETS;
        if (!isExpected) throw new Error(NOT_MYSQL);
        packets++;
        // Not all who refuse before the greeting number it alike, and mysql2 prints what it thinks of that.
        packet[3] = client.sequenceId;
        this.push(packet);
      }).catch((error) => this.destroy(error));
    },
    write(packet, _encoding, done) {
      connection.write(packet).then(() => done(), done);
    },
  });
  // The connection's deadline is the only one.
  const client = createConnection({ stream, user, password, connectTimeout: 0 });
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    // Not `once`: a second error without a listener would end the program.
    client.on("error", reject);
  });
  // Cut off without a word, the server would count an aborted client.
  client.end();
  await new Promise<void>((resolve) => stream.end(() => resolve()));
}

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
function whyNot(error: unknown): string {
  if (error instanceof EndedError) return "the server closed the connection";
  // A packet shorter than it should be.
  return error instanceof RangeError ? NOT_MYSQL : because(error);
}
