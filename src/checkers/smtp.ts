import { BufferedReader, ConnectionClosedError } from "../net/buffered_reader.ts";
import type { CheckRequest, Verdict } from "../checks/check.ts";
import { Connection } from "../net/connection.ts";
import { connectionFailure, stopwatch } from "./_words.ts";

/** How long a line of a reply may be, in bytes: RFC 5321 has 512, and servers with more to say. */
export const MAX_LINE_BYTES = 2048;

/** How many lines a reply may have. */
export const MAX_LINES = 100;

/** The port on which a server waits for TLS before it greets. */
const IMPLICIT_TLS_PORT = 465;

/**
 * Reads an SMTP server's greeting, and says good-bye.
 *
 * @param request Where to connect.
 * @param signal The deadline.
 * @returns 200 `Connected in 0.00s` if the server greets with 220 and answers `QUIT` with 221, else 503 and why.
 */
export async function checkSmtp(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const elapsed = stopwatch();
  let isGreeted = false;
  try {
    using connection = await Connection.open(request.host, request.port, signal);
    const reader = new BufferedReader(connection);
    const greeting = await reply(reader);
    isGreeted = true;
    if (!greeting.startsWith("220")) return unexpected("greeting", greeting);
    await connection.write(new TextEncoder().encode("QUIT\r\n"));
    const goodbye = await reply(reader);
    if (!goodbye.startsWith("221")) return unexpected("QUIT response", goodbye);
    return { code: 200, message: `Connected in ${elapsed()}` };
  } catch (error) {
    if (signal.aborted) {
      const isImplicitTls = !isGreeted && request.port === IMPLICIT_TLS_PORT;
      const why = isImplicitTls ? IMPLICIT_TLS : "";
      return { code: 503, message: `Connection timed out after ${elapsed()}${why}` };
    }
    if (error instanceof ConnectionClosedError) {
      return { code: 503, message: "Peer unexpectedly closed connection" };
    }
    return {
      code: 503,
      message: `Unexpected error ${connectionFailure(error, request)} after ${elapsed()}`,
    };
  }
}

const IMPLICIT_TLS =
  ": no greeting came. Servers on port 465 expect TLS first, which smtp checks do " +
  "not speak: check that port by tcp, or another one by smtp";

/** The last line of a reply; those before it have a hyphen behind the code. */
async function reply(reader: BufferedReader): Promise<string> {
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const line = await reader.line(MAX_LINE_BYTES);
    if (!/^\d{3}-/.test(line)) return line;
  }
  throw new Error(`a reply of more than ${MAX_LINES} lines`);
}

function unexpected(what: string, line: string): Verdict {
  return { code: 503, message: `Got unexpected ${what} ${JSON.stringify(line.slice(0, 200))}` };
}
