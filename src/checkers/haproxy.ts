import type { CheckRequest, Verdict } from "../checks/check.ts";
import { BodyBuffer, getInPieces, MAX_BODY_BYTES } from "../net/http_client.ts";
import { parseCsv } from "../std/csv.ts";
import { connectionFailure, stopwatch } from "./_words.ts";

/** How much of the statistics is read, in bytes: some 500 a line, a line for each server. */
export const MAX_STATISTICS_BYTES = 16 * 1024 * 1024;

/** How long one row of them may be, in bytes. */
export const MAX_ROW_BYTES = 64 * 1024;

/** How much of a status is told, in characters: HAProxy has none so long. */
const MAX_STATUS_LENGTH = 200;

/** What the statistics begin with, in every version of HAProxy. */
const COLUMNS = "# pxname,svname,";

/**
 * Asks an HAProxy's statistics page how the backend is that has the service's name.
 *
 * @param request Where the page is, and the service.
 * @param signal The deadline.
 * @returns 200 `web is UP`, 500 `web is DOWN` or `web is not found`, the page's own status and body where
 * that is an error, 503 and why where there is no such page.
 */
export async function checkHaproxy(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const { host, port, service, headers } = request;
  const elapsed = stopwatch();
  try {
    const statistics = new Statistics(`${service},BACKEND`);
    const wanted = MAX_STATISTICS_BYTES + 1;
    const body = new BodyBuffer(MAX_BODY_BYTES);
    const take = (piece: Uint8Array, status: number) => {
      if (status === 200) statistics.add(piece);
      else body.add(piece);
    };
    const code = await getInPieces(host, port, "/;csv", headers, signal, wanted, take);
    // As the Python hachecks have it: a 404 tells HAProxy something else than a 503.
    if (code >= 400 && body.text !== "") return { code, message: body.text };
    if (code !== 200) throw new Error(`the statistics page answers ${code}`);
    const backend = statistics.finish();
    const status = backend === undefined
      ? "not found"
      : backend["status"]?.slice(0, MAX_STATUS_LENGTH);
    return { code: status === "UP" ? 200 : 500, message: `${service} is ${status}` };
  } catch (error) {
    const why = signal.aborted ? "timed out" : connectionFailure(error, request);
    return { code: 503, message: `HAProxy check failed after ${elapsed()}: ${why}` };
  }
}

const [LF, CR, COMMA, QUOTE] = new TextEncoder().encode('\n\r,"');

/** What may follow a value; undefined for the end of the page. */
const ENDS: ReadonlySet<number | undefined> = new Set([LF, CR, COMMA, undefined]);

/** Finds one row of the statistics while they arrive. It keeps that row, and the names of the columns. */
class Statistics {
  readonly #wanted: Uint8Array;
  /** The row that is arriving. */
  readonly #row = new Uint8Array(MAX_ROW_BYTES);
  #length = 0;
  #isTooLong = false;
  /** Whether the row is within quotes, where a line feed does not end it. */
  #isQuoted = false;
  #bytes = 0;
  #columns: string | undefined;
  #found: string | undefined;

  /** @param start The values that the row begins with. */
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
   * @returns The row that was found, by the names of the columns.
   * @throws {Error} If they are not those of HAProxy.
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
