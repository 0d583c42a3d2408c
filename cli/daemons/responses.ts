/**
 * Requests JSON of daemons. hactl prints parts of it, and another program may listen on the port, so every field
 * is validated.
 *
 * @module
 */

import * as v from "valibot";
import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import type { Header, HttpResponse } from "../../src/net/http_client.ts";
import type { ActiveEntries } from "../../src/spool/active_entries.ts";
import { parseRecordName, type Subject } from "../../src/spool/names.ts";
import type { RecentService } from "../../src/metrics/stats.ts";
import { sleep } from "../sleep.ts";
import { describeResponse } from "../terminal.ts";
import { type Daemon, ForbiddenError } from "./daemon.ts";

const Time = v.pipe(v.number(), v.minValue(0));

const entryFields = {
  reason: v.string(),
  expiration: v.nullable(Time),
  creation: v.nullable(Time),
  by: v.exactOptional(v.string()),
};

const namedEntryFields = {
  name: v.pipe(v.string(), v.check((name) => parseRecordName(name) !== undefined)),
  service: v.string(),
  port: v.number(),
  host: v.string(),
  ...entryFields,
};

const ModeSchema = v.picklist(["down", "drain"]);
const WeightSchema = v.nullable(v.number());
const RecordSchema = v.object({ mode: ModeSchema, ...entryFields });

const EntryReportSchema = v.object({
  service: v.string(),
  port: v.number(),
  record: v.nullable(RecordSchema),
  kept_out_by: v.nullable(v.object({ name: v.string(), ...RecordSchema.entries })),
  weight: v.nullable(v.object({ weight: WeightSchema, ...entryFields })),
  agent_weight: v.exactOptional(WeightSchema),
  last_asked: v.nullable(Time),
});

const ChecksSchema = v.object({
  service: v.string(),
  checks: v.array(v.object({
    protocol: v.string(),
    host: v.string(),
    port: v.number(),
    path: v.string(),
    verdict: v.object({ code: v.number(), message: v.string(), healthy: v.boolean() }),
  })),
});

const ActiveEntriesSchema = v.object({
  downtimes: v.array(v.object({ ...namedEntryFields, mode: ModeSchema })),
  weights: v.array(v.object({ ...namedEntryFields, weight: WeightSchema })),
});

const RecentSchema = v.object({
  seen_services: v.array(v.tuple([
    v.pipe(v.string(), v.regex(/^[.\w-]+$/)),
    v.nullable(v.object({ code: v.number(), remote_ip: v.string(), ts: v.number() })),
  ])),
});

const StatusSchema = v.object({ uptime: v.number(), cache: v.object({ hits: v.number() }) });

/**
 * Requests the records and weights in force.
 *
 * @param daemon The daemon.
 * @param signal The deadline.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchActiveEntries(
  daemon: Daemon,
  signal: AbortSignal,
): Promise<ActiveEntries> {
  const response = await askForLargePage(daemon, "/status/downtimes", signal);
  if (response.status === 404) throw new Error(`${TOO_OLD} does not report what is down`);
  return parseResponse(ActiveEntriesSchema, response);
}

/** The start of the message about a daemon without a page. */
export const TOO_OLD = "its hacheck is older than this hactl and";

/**
 * Requests the services that balancers asked for, each with its last response.
 *
 * @param daemon The daemon.
 * @param signal The deadline.
 * @param threshold How many seconds back; ten minutes, if not given.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchRecent(
  daemon: Daemon,
  signal: AbortSignal,
  threshold?: number,
): Promise<RecentService[]> {
  const query = threshold === undefined ? "" : `?threshold=${threshold}`;
  const response = await askForLargePage(daemon, `/recent${query}`, signal);
  return parseResponse(RecentSchema, response).seen_services;
}

/** How long to wait before a rejected page is requested again, in milliseconds. */
const RETRY_MS = 250;

/**
 * Requests a page again while the daemon responds 503, as it does while large pages wait for clients.
 *
 * @param daemon The daemon.
 * @param path The path of the page.
 * @param signal The deadline.
 * @returns The response; the last 503 after the deadline.
 */
export async function askForLargePage(
  daemon: Daemon,
  path: string,
  signal: AbortSignal,
): Promise<HttpResponse> {
  let rejection: HttpResponse | undefined;
  for (;;) {
    try {
      const response = await daemon.ask(path, signal);
      if (response.status !== 503) return response;
      rejection = response;
    } catch (error) {
      if (rejection === undefined || !signal.aborted) throw error;
    }
    await sleep(RETRY_MS, signal);
    if (signal.aborted) return rejection!;
  }
}

/**
 * Runs the checks of a service.
 *
 * @param daemon The daemon.
 * @param service The service.
 * @param signal The deadline.
 * @returns The checks that balancers asked for lately, each with its verdict.
 * @throws {ForbiddenError} If the daemon rejects hactl.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchChecks(
  daemon: Daemon,
  service: string,
  signal: AbortSignal,
): Promise<v.InferOutput<typeof ChecksSchema>["checks"]> {
  const response = await daemon.ask(`/status/checks/${service}?now`, signal);
  rejectForbidden(response);
  if (response.status === 404) throw new Error(`${TOO_OLD} does not run checks`);
  return parseResponse(ChecksSchema, response).checks;
}

/** The records and the weight of a service, as a daemon reports them. */
export type EntryReport = v.InferOutput<typeof EntryReportSchema>;

/** What a daemon responds about a service. */
export interface StateResponse {
  /** The state, draining being down; null for a response without one, such as 409 while the workers disagree. */
  readonly state: "up" | "down" | null;
  /** The report; null from a Python hacheck, which has none, and where there is no state. */
  readonly report: EntryReport | null;
  readonly response: HttpResponse;
}

/**
 * Requests the state of a service by the spool.
 *
 * @param daemon The daemon.
 * @param subject The service.
 * @param signal The deadline.
 * @throws {ForbiddenError} If the daemon rejects hactl.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchState(
  daemon: Daemon,
  { service, port, host }: Subject,
  signal: AbortSignal,
): Promise<StateResponse> {
  const headers: Header[] = host === LOCAL_ADDRESS ? [] : [["X-Nerve-Check-IP", host]];
  const path = `/status/services/${service}/${port}`;
  const response = await daemon.ask({ path, headers }, signal);
  rejectForbidden(response);
  if (response.status === 200) {
    const report = parseResponse(EntryReportSchema, response);
    return { state: report.kept_out_by === null ? "up" : "down", report, response };
  }
  if (response.status !== 404) return { state: null, report: null, response };
  // A Python hacheck has no such page. The status of its check is enough.
  const check = await daemon.ask({ path: `/spool/${service}/${port}/status`, headers }, signal);
  const state = check.status === 200 ? "up" : check.status === 503 ? "down" : null;
  return { state, report: null, response: check };
}

/**
 * Rejects a response that says that the daemon rejects hactl.
 *
 * @throws {ForbiddenError} If it does.
 */
export function rejectForbidden({ status, body }: HttpResponse): void {
  if (status !== 401 && status !== 403) return;
  throw new ForbiddenError(`rejects hactl: ${describeResponse(status, body)}`);
}

/**
 * Tests whether a daemon is a hacheck, however old.
 *
 * @param daemon The daemon.
 * @param signal The deadline.
 * @throws {Error} If there is no response.
 */
export async function isHacheck(daemon: Daemon, signal: AbortSignal): Promise<boolean> {
  const response = await daemon.ask("/status", signal);
  try {
    parseResponse(StatusSchema, response);
    return true;
  } catch {
    return false;
  }
}

/**
 * Validates the JSON of a response.
 *
 * @param schema What it has to be.
 * @param response The response.
 * @throws {Error} If it is something else.
 */
export function parseResponse<Schema extends v.GenericSchema>(
  schema: Schema,
  { status, body }: HttpResponse,
): v.InferOutput<Schema> {
  if (status !== 200) {
    throw new Error(`expected status 200: received ${describeResponse(status, body)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Error("expected JSON of a hacheck: received something else");
  }
  const { success, output, issues } = v.safeParse(schema, value);
  if (success) return output;
  throw new Error(`expected JSON of a hacheck: ${issues[0].message}`);
}
