import type { HttpResponse } from "../../src/net/http_client.ts";
import type { Subject } from "../../src/spool/names.ts";
import { type EntryReport, parseEntryReport } from "./responses.ts";

/** Requests a page of a daemon. */
export type AskPage = (path: string, signal: AbortSignal) => Promise<HttpResponse>;

/** What a daemon responds about a service. */
export interface StateResponse {
  /** The state; null for a response without one, such as 409 while the workers disagree. */
  readonly state: "up" | "down" | null;
  /** The report; null from a Python hacheck, which has none, and where there is no state. */
  readonly report: EntryReport | null;
  /** The response. */
  readonly response: HttpResponse;
}

/**
 * Asks a daemon for the state of a service by the spool.
 *
 * @param subject The service.
 * @param ask Asks the daemon.
 * @param signal The deadline.
 * @returns The state. Draining is down.
 * @throws {Error} If there is no response, or the daemon is no hacheck.
 */
export async function askState(
  { service, port }: Subject,
  ask: AskPage,
  signal: AbortSignal,
): Promise<StateResponse> {
  const response = await ask(`/status/services/${service}/${port}`, signal);
  if (response.status === 200) {
    const report = parseEntryReport(response);
    return { state: report.kept_out_by === null ? "up" : "down", report, response };
  }
  if (response.status !== 404) return { state: null, report: null, response };
  // A Python hacheck has no such page. The status of its check is enough.
  const check = await ask(`/spool/${service}/${port}/status`, signal);
  const state = check.status === 200 ? "up" : check.status === 503 ? "down" : null;
  return { state, report: null, response: check };
}
