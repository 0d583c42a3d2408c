import { BufferedReader, ConnectionClosedError } from "../net/buffered_reader.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import { Attempt, unexpectedError } from "./_attempt.ts";

/** The length limit of a line, in bytes. RFC 5321 has 512, but some servers send more. */
export const MAX_LINE_BYTES = 2048;

/** How many lines a reply may have. */
export const MAX_LINES = 100;

/** The port on which a server expects TLS before it sends its greeting. */
const IMPLICIT_TLS_PORT = 465;

const IMPLICIT_TLS =
  ": no greeting came. Servers on port 465 expect TLS first, which smtp checks do " +
  "not speak: check that port by tcp, or another one by smtp";

/**
 * Reads the greeting of an SMTP server, and quits.
 *
 * @returns 200 `Connected in 0.00s` if the greeting is 220 and the reply to `QUIT` 221, else 503 and the cause.
 */
export async function checkSmtp(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const attempt = new Attempt(request, signal);
  let isGreeted = false;
  try {
    using connection = await attempt.connect();
    const reader = new BufferedReader(connection);
    const greeting = await readReply(reader);
    isGreeted = true;
    if (!greeting.startsWith("220")) return attempt.end(unexpected("greeting", greeting, attempt));
    await connection.write(new TextEncoder().encode("QUIT\r\n"));
    const goodbye = await readReply(reader);
    if (!goodbye.startsWith("221")) {
      return attempt.end(unexpected("QUIT response", goodbye, attempt));
    }
    return attempt.end({ code: 200, message: `Connected in ${attempt.elapsed}` });
  } catch (error) {
    // A reset has a cause.
    const isClosed = error instanceof ConnectionClosedError && error.cause === undefined;
    const isLate = attempt.timeoutOf(error) !== undefined;
    if (isClosed && !isLate) {
      return attempt.fail(error, `Peer unexpectedly closed connection at ${attempt.address}`);
    }
    const hint = isLate && !isGreeted && request.port === IMPLICIT_TLS_PORT ? IMPLICIT_TLS : "";
    return attempt.fail(error, `${unexpectedError(attempt, error)}${hint}`);
  }
}

/** Returns the last line of a reply. Those before it have a hyphen after the code. */
async function readReply(reader: BufferedReader): Promise<string> {
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const line = await reader.line(MAX_LINE_BYTES);
    if (!/^\d{3}-/.test(line)) return line;
  }
  throw new Error(`a reply of more than ${MAX_LINES} lines`);
}

/** A reply of another SMTP status is the server's report; anything else is another protocol. */
function unexpected(what: string, line: string, { address }: Attempt): Verdict {
  const reason = /^[2-5]\d\d(?: |$)/.test(line) ? "unhealthy" : "protocol";
  const message = `Got unexpected ${what} ${JSON.stringify(line.slice(0, 200))} at ${address}`;
  return { code: 503, message, reason };
}
