import { BufferedReader } from "../net/buffered_reader.ts";
import type { CheckRequest, FailureReason, Verdict } from "../checks/check.ts";
import { isTls, TlsError, type TlsSettings } from "../net/tls_connection.ts";
import { attempt, plainTextFailure, tlsFailure } from "./_attempt.ts";

/** The login of a Redis. */
export interface RedisLogin {
  /** The ACL user; null for the default one. */
  readonly username: string | null;
  /** The password; null for a Redis without one. */
  readonly password: string | null;
}

/** How a Redis is checked. */
export interface RedisCheckOptions extends RedisLogin {
  /** The TLS settings; null, the default, for a connection without TLS. */
  readonly tls?: TlsSettings | null;
}

/** The length limit of a reply, in bytes. */
export const MAX_REPLY_BYTES = 4 * 1024 * 1024;

/** Sends a command, and returns the reply: its first byte and its text. */
export type AskRedis = (...words: readonly string[]) => Promise<string>;

/**
 * Connects to a Redis, and logs in if there is a password.
 *
 * @param check Sends commands, and returns the verdict.
 * @returns The verdict; 503 and the cause if there is no reply.
 */
export function checkRedis(
  request: CheckRequest,
  { username, password, tls = null }: RedisCheckOptions,
  signal: AbortSignal,
  check: (ask: AskRedis) => Promise<Verdict>,
): Promise<Verdict> {
  return attempt("Redis", request, signal, async (attempt) => {
    using connection = await (tls === null ? attempt.connect() : attempt.connectTls(tls));
    const reader = new BufferedReader(connection);
    const ask: AskRedis = async (...words) => {
      await connection.write(encode(words));
      return await readReply(reader);
    };
    if (password !== null) {
      const reply = await ask("AUTH", ...username === null ? [] : [username], password);
      if (reply !== "+OK") return unexpected("AUTH", reply);
    }
    return await check(ask);
  }, (error) => {
    if (tls !== null) return tlsFailure(error, tls);
    return plainTextFailure(error, request.protocol.replace(/^(redis|sentinel)/, "$1s"));
  });
}

/** Returns the verdict for an unexpected reply. */
export function unexpected(command: string, reply: string): Verdict {
  const message = `Sent ${command}, got back ${reply.slice(0, 200)}`;
  return { code: 500, message, reason: reasonOf(command, reply) };
}

function reasonOf(command: string, reply: string): FailureReason {
  if (!reply.startsWith("-")) return "protocol";
  return command === "AUTH" || /^-(?:NOAUTH|WRONGPASS|NOPERM)\b/.test(reply)
    ? "login"
    : "unhealthy";
}

/** Encodes a command as an array of bulk strings. */
function encode(words: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const bulk = words.map((word) => `$${encoder.encode(word).length}\r\n${word}\r\n`);
  return encoder.encode(`*${words.length}\r\n${bulk.join("")}`);
}

/** Reads a reply: a bulk string as `$` and its content, others as their line. */
async function readReply(reader: BufferedReader): Promise<string> {
  if (isTls(await reader.peek(2))) throw new TlsError("expected Redis, found a TLS server");
  const line = await reader.line(MAX_REPLY_BYTES);
  if (/^[+:-]/.test(line)) return line;
  const [, digits] = /^\$(\d{1,10})$/.exec(line) ?? [];
  const length = Number(digits ?? NaN);
  if (!(length <= MAX_REPLY_BYTES)) {
    throw new Error("expected a reply of Redis, found another protocol");
  }
  const content = new TextDecoder().decode(await reader.exactly(length));
  await reader.exactly(2);
  return `$${content}`;
}
