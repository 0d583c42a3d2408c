import type { CheckRequest, Verdict } from "../checks/check.ts";
import { hostPort } from "../net/addresses.ts";
import { BodyBuffer, exchangePieces, MAX_BODY_BYTES } from "../net/http_client.ts";
import { parseCsv } from "../std/csv.ts";
import { attempt, StatusError } from "./_attempt.ts";

/** The size limit of the statistics, in bytes. They have some 500 bytes for each server. */
export const MAX_STATISTICS_BYTES = 16 * 1024 * 1024;

/** The length limit of a row, in bytes. */
export const MAX_ROW_BYTES = 64 * 1024;

/** How many characters of a status are returned. HAProxy has none so long. */
const MAX_STATUS_LENGTH = 200;

/** The start of the statistics in every version of HAProxy. */
const COLUMNS = "# pxname,svname,";

/**
 * Reads the status of the backend with the service's name from the statistics page of an HAProxy: `/;csv`, or the path
 * of the request if that has `;csv`.
 *
 * @returns 200 `web is UP`, 500 `web is DOWN` or `web is not found`, the page's own status and body if that is an
 * error, or 503 and the cause.
 */
export function checkHaproxy(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const { host, port, path, service, traceparent } = request;
  const headers = traceparent === undefined ? request.headers : [...request.headers, traceparent];
  return attempt("HAProxy", request, signal, async (attempt) => {
    const statistics = new Statistics(`${service},BACKEND`);
    const body = new BodyBuffer(MAX_BODY_BYTES);
    const take = (piece: Uint8Array, status: number) => {
      if (status === 200) statistics.add(piece);
      else body.add(piece);
    };
    using connection = await attempt.connect();
    const { status: code } = await exchangePieces(connection, {
      ...{ host: hostPort(host, port), path: statisticsPath(path), headers },
      maxBodyBytes: MAX_STATISTICS_BYTES + 1,
    }, take);
    // As in the Python hachecks: HAProxy may treat a 404 differently from a 503.
    if (code >= 400 && body.text !== "") return { code, message: body.text, reason: "status" };
    if (code !== 200) {
      throw new StatusError(`expected status 200 of the statistics page, found ${code}`);
    }
    const backend = statistics.finish();
    const status = backend === undefined
      ? "not found"
      : backend["status"]?.slice(0, MAX_STATUS_LENGTH);
    const message = `${service} is ${status}`;
    return status === "UP" ? { code: 200, message } : { code: 500, message, reason: "unhealthy" };
  });
}

/** Returns the path of the statistics. Other paths are ignored, as in the Python hachecks. */
function statisticsPath(path: string): string {
  return path.includes(";csv") ? path : "/;csv";
}

const [LF, CR, COMMA, QUOTE] = new TextEncoder().encode('\n\r,"');

/** The bytes that may follow a value; undefined for the end of the page. */
const ENDS: ReadonlySet<number | undefined> = new Set([LF, CR, COMMA, undefined]);

/** Finds one row of the statistics while they arrive, and keeps only that and the names of the columns. */
class Statistics {
  readonly #wanted: Uint8Array;
  /** The current row. */
  readonly #row = new Uint8Array(MAX_ROW_BYTES);
  #length = 0;
  #isTooLong = false;
  /** Whether the row is within quotes, where a line feed does not end it. */
  #isQuoted = false;
  #bytes = 0;
  #columns: string | undefined;
  #found: string | undefined;

  /** @param start The first values of the row. */
  constructor(start: string) {
    this.#wanted = new TextEncoder().encode(start);
  }

  add(piece: Uint8Array): void {
    this.#bytes += piece.length;
    for (let start = 0; start < piece.length;) {
      let end = start;
      let isEnd = false;
      for (; end < piece.length && !isEnd; end++) {
        if (piece[end] === QUOTE) this.#isQuoted = !this.#isQuoted;
        else isEnd = piece[end] === LF && !this.#isQuoted;
      }
      this.#append(piece.subarray(start, end));
      if (isEnd) this.#endRow();
      start = end;
    }
  }

  /**
   * Ends the statistics.
   *
   * @returns The values of the row by the names of the columns; undefined if it was not found.
   * @throws {Error} If they are not those of an HAProxy.
   */
  finish(): Record<string, string | undefined> | undefined {
    if (this.#length > 0) this.#endRow();
    if (!this.#columns?.startsWith(COLUMNS)) {
      throw new Error("the page is not HAProxy's statistics");
    }
    if (this.#bytes > MAX_STATISTICS_BYTES) throw new Error("the statistics are too long");
    if (this.#isTooLong) throw new Error("a row of the statistics is too long");
    if (this.#isQuoted) throw new Error("a quoted value of the statistics does not end");
    if (this.#found === undefined) return undefined;
    return parseCsv(this.#columns.slice("# ".length) + this.#found)[0];
  }

  #append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > MAX_ROW_BYTES) {
      this.#isTooLong = true;
      return;
    }
    this.#row.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #endRow(): void {
    const row = this.#row.subarray(0, this.#length);
    if (this.#columns === undefined) this.#columns = new TextDecoder().decode(row);
    else if (this.#found === undefined && this.#isWanted(row)) {
      this.#found = new TextDecoder().decode(row);
    }
    this.#length = 0;
  }

  #isWanted(row: Uint8Array): boolean {
    return this.#wanted.every((byte, i) => row[i] === byte) && ENDS.has(row[this.#wanted.length]);
  }
}
