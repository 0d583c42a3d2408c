import { BufferedReader, ConnectionClosedError } from "../net/buffered_reader.ts";
import type { Checker, Verdict } from "../checks/check.ts";
import type { Connection } from "../net/connection.ts";
import type { TlsMode } from "../net/tls_clients.ts";
import { TlsError, type TlsSettings, UNVERIFIED } from "../net/tls_connection.ts";
import { Attempt, unexpectedError, withTlsMode } from "./_attempt.ts";

/** The length limit of a line, in bytes. RFC 5321 has 512, but some servers send more. */
export const MAX_LINE_BYTES = 2048;

/** How many lines a reply may have. */
export const MAX_LINES = 100;

/** The port on which a server expects TLS before it sends its greeting. */
const IMPLICIT_TLS_PORT = 465;

const IMPLICIT_TLS =
  ": no greeting came. Servers on port 465 expect TLS first: check that port by smtps";

/** How an SMTP server is checked. */
export interface SmtpCheckOptions {
  /** Whether the connection uses TLS by STARTTLS, or from the start; `off` by default. */
  readonly mode?: TlsMode | "implicit";
  /** The TLS settings; by default certificates are not verified. */
  readonly tls?: TlsSettings;
}

/**
 * Makes the checker that reads the greeting of an SMTP server, starts TLS if that is configured, and quits.
 *
 * @returns A checker: 200 `Connected in 0.00s` if the greeting is 220 and the reply to `QUIT` 221, else 503 and the
 * cause.
 */
export function smtpChecker(options: SmtpCheckOptions = {}): Checker {
  const { mode = "off", tls = UNVERIFIED } = options;
  return async (request, signal) => {
    const attempt = new Attempt(request, signal);
    const session = new SmtpSession(attempt);
    try {
      const verdict = mode === "implicit"
        ? await session.check("implicit", tls)
        : await withTlsMode(mode, (mode) => session.check(mode, tls));
      return attempt.end(verdict);
    } catch (error) {
      // A reset has a cause.
      const isClosed = error instanceof ConnectionClosedError && error.cause === undefined;
      const isLate = attempt.timeoutOf(error) !== undefined;
      if (isClosed && !isLate) {
        return attempt.fail(error, `Peer unexpectedly closed connection at ${attempt.address}`);
      }
      const isSilent = isLate && !session.isGreeted && mode !== "implicit";
      const hint = isSilent && request.port === IMPLICIT_TLS_PORT ? IMPLICIT_TLS : "";
      return attempt.fail(error, `${unexpectedError(attempt, error)}${hint}`);
    }
  };
}

/** A dialog with an SMTP server. */
class SmtpSession {
  readonly #attempt: Attempt;

  /** Whether the greeting has come. */
  isGreeted = false;

  constructor(attempt: Attempt) {
    this.#attempt = attempt;
  }

  async check(mode: TlsMode | "implicit", tls: TlsSettings): Promise<Verdict> {
    using plain =
      await (mode === "implicit" ? this.#attempt.connectTls(tls) : this.#attempt.connect());
    const reader = new BufferedReader(plain);
    const greeting = await readReply(reader);
    this.isGreeted = true;
    if (!greeting.last.startsWith("220")) return this.#unexpected("greeting", greeting);
    if (mode === "off" || mode === "implicit") return await this.#quit(plain, reader);
    const hello = await exchange(plain, reader, `EHLO ${HELLO_NAME}`);
    const isOffered = hello.lines.some((line) => /^250[ -]STARTTLS\b/i.test(line));
    if (!isOffered) {
      if (mode === "prefer") return await this.#quit(plain, reader);
      throw new TlsError("the server does not offer STARTTLS, and smtp_tls requires it");
    }
    const ready = await exchange(plain, reader, "STARTTLS");
    if (!ready.last.startsWith("220")) {
      throw new TlsError(`the server refused STARTTLS: ${ready.last.slice(0, 200)}`);
    }
    // Bytes that were received before the handshake may be injected (CVE-2011-0411): the reader is not used further.
    using secure = await this.#attempt.startTls(plain, tls);
    return await this.#quit(secure, new BufferedReader(secure));
  }

  async #quit(connection: Connection, reader: BufferedReader): Promise<Verdict> {
    const goodbye = await exchange(connection, reader, "QUIT");
    if (!goodbye.last.startsWith("221")) return this.#unexpected("QUIT response", goodbye);
    return { code: 200, message: `Connected in ${this.#attempt.elapsed}` };
  }

  /** A reply of another SMTP status is the server's report; anything else is another protocol. */
  #unexpected(what: string, { last }: Reply): Verdict {
    const reason = /^[2-5]\d\d(?: |$)/.test(last) ? "unhealthy" : "protocol";
    const { address } = this.#attempt;
    const message = `Got unexpected ${what} ${JSON.stringify(last.slice(0, 200))} at ${address}`;
    return { code: 503, message, reason };
  }
}

/** The name by which hacheck introduces itself. It has no name of its own in DNS. */
const HELLO_NAME = "[127.0.0.1]";

/** A reply of an SMTP server. */
interface Reply {
  /** All lines. */
  readonly lines: readonly string[];
  /** The last line. Those before it have a hyphen after the code. */
  readonly last: string;
}

async function exchange(
  connection: Connection,
  reader: BufferedReader,
  command: string,
): Promise<Reply> {
  await connection.write(new TextEncoder().encode(`${command}\r\n`));
  return await readReply(reader);
}

async function readReply(reader: BufferedReader): Promise<Reply> {
  const lines: string[] = [];
  while (lines.length < MAX_LINES) {
    const last = await reader.line(MAX_LINE_BYTES);
    lines.push(last);
    if (!/^\d{3}-/.test(last)) return { lines, last };
  }
  throw new Error(`a reply of more than ${MAX_LINES} lines`);
}
