import { BufferedReader } from "../net/buffered_reader.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import { attempt } from "./_attempt.ts";

/** The length limit of a reply, in bytes. It should have some twenty. */
export const MAX_VERSION_BYTES = 1024;

/**
 * Asks a memcached for its version, and quits.
 *
 * @returns 200 `Sent version, got back VERSION 1.6.18`, 500 and an error of the server, or 503 and why there is no reply.
 */
export function checkMemcached(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  return attempt("memcached", request, signal, async (attempt) => {
    using connection = await attempt.connect();
    const encoder = new TextEncoder();
    await connection.write(encoder.encode("version\r\n"));
    const reader = new BufferedReader(connection);
    const reply = await reader.line(MAX_VERSION_BYTES);
    const isError = /^(?:ERROR|SERVER_ERROR|CLIENT_ERROR)\b/.test(reply);
    if (!isError && !reply.startsWith("VERSION ")) {
      throw new Error("expected a reply of memcached, found another protocol");
    }
    const message = `Sent version, got back ${reply.slice(0, 200)}`;
    if (isError) return { code: 500, message, reason: "unhealthy" };
    await connection.write(encoder.encode("quit\r\n"));
    return { code: 200, message };
  });
}
