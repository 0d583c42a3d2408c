import { BufferedReader } from "../net/buffered_reader.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { isTls } from "../net/tls_connection.ts";
import { connectionFailure, stopwatch } from "./_words.ts";

/** Who logs in to a Redis. */
export interface RedisLogin {
  /** The ACL user; null for the default one. */
  readonly username: string | null;
  /** The password; null for a Redis that asks for none. */
  readonly password: string | null;
}

/** How long a reply may be, in bytes. */
export const MAX_REPLY_BYTES = 4 * 1024 * 1024;

/**
 * Sends one command to a Redis, after logging in where there is a password.
 *
 * @param request Where to connect.
 * @param login Who logs in.
 * @param command The command.
 * @param signal The deadline.
 * @param judge Makes a verdict of the reply: its first byte and its text.
 * @returns The verdict; 503 where no reply comes.
 */
export async function askRedis(
  request: CheckRequest,
  { username, password }: RedisLogin,
  command: string,
  signal: AbortSignal,
  judge: (reply: string) => Verdict,
): Promise<Verdict> {
  const elapsed = stopwatch();
  try {
    using connection = await Connection.open(request.host, request.port, signal);
    const reader = new BufferedReader(connection);
    if (password !== null) {
      const login = ["AUTH", ...username === null ? [] : [username], password];
      await connection.write(encode(login));
      const reply = await readReply(reader);
      if (reply !== "+OK") return unexpected("AUTH", reply);
    }
    await connection.write(encode([command]));
    return judge(await readReply(reader));
  } catch (error) {
    const why = signal.aborted ? "timed out" : connectionFailure(error, request);
    return { code: 503, message: `Redis check failed after ${elapsed()}: ${why}` };
  }
}

/**
 * The verdict on a reply that should have been another.
 *
 * @param command The command it is a reply to.
 * @param reply The reply.
 */
export function unexpected(command: string, reply: string): Verdict {
  return { code: 500, message: `Sent ${command}, got back ${reply.slice(0, 200)}` };
}

/** A command as Redis reads it: an array of bulk strings. */
function encode(words: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const bulk = words.map((word) => `$${encoder.encode(word).length}\r\n${word}\r\n`);
  return encoder.encode(`*${words.length}\r\n${bulk.join("")}`);
}

/** A reply: a bulk string as `$` and its content, everything else as its line. */
async function readReply(reader: BufferedReader): Promise<string> {
  if (isTls(await reader.peek(2))) throw new Error("expected Redis, found a TLS server");
  const line = await reader.line(MAX_REPLY_BYTES);
  if (/^[+:-]/.test(line)) return line;
  const [, digits] = /^\$(\d{1,10})$/.exec(line) ?? [];
  const length = Number(digits ?? NaN);
  if (!(length <= MAX_REPLY_BYTES)) throw new Error("the reply is not one of Redis");
  const content = new TextDecoder().decode(await reader.exactly(length));
  await reader.exactly(2);
  return `$${content}`;
}
