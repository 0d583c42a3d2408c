import { parse as parseCsvUntyped } from "@std/csv/parse";
import type { CheckRequest, Verdict } from "../check.ts";
import { get } from "../http_client.ts";
import { because, stopwatch } from "./_words.ts";

const parseCsv: (
  text: string,
  options: { skipFirstRow: true },
) => Record<string, string | undefined>[] = parseCsvUntyped;

/** How much of the statistics is read, in bytes: some 500 a line, a line for each server. */
export const MAX_STATISTICS_BYTES = 16 * 1024 * 1024;

/** How much of a status is told, in characters: HAProxy has none so long. */
const MAX_STATUS_LENGTH = 200;

/** What the statistics begin with, in every version of HAProxy. */
const COLUMNS = "# pxname,svname,";

/**
 * Asks an HAProxy's statistics page how the backend is that has the service's name.
 *
 * @param request Where the page is, and the service.
 * @param signal The deadline.
 * @returns 200 `web is UP`, 500 `web is DOWN` or `web is not found`, 503 and why where there is no such page.
 */
export async function checkHaproxy(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  const { host, port, service } = request;
  const elapsed = stopwatch();
  try {
    const wanted = MAX_STATISTICS_BYTES + 1;
    const page = await get(host, port, "/;csv", request.headers, signal, wanted);
    if (page.status !== 200) throw new Error(`the statistics page answers ${page.status}`);
    if (!page.body.startsWith(COLUMNS)) throw new Error("the page is not HAProxy's statistics");
    if (page.body.length === wanted) throw new Error("the statistics are too long");
    const rows = parseCsv(page.body.slice("# ".length), { skipFirstRow: true });
    const backend = rows.find((row) => row["pxname"] === service && row["svname"] === "BACKEND");
    const status = backend === undefined
      ? "not found"
      : backend["status"]?.slice(0, MAX_STATUS_LENGTH);
    return { code: status === "UP" ? 200 : 500, message: `${service} is ${status}` };
  } catch (error) {
    const why = signal.aborted ? "timed out" : because(error);
    return { code: 503, message: `HAProxy check failed after ${elapsed()}: ${why}` };
  }
}
