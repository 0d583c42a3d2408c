/**
 * Parses the JSON of daemons. hactl prints parts of it, and another program may listen on the port, so every
 * field is validated.
 *
 * @module
 */

import * as v from "valibot";
import type { HttpResponse } from "../../src/net/http_client.ts";
import type { ActiveEntries } from "../../src/spool/active_entries.ts";
import { parseRecordName } from "../../src/spool/names.ts";
import type { RecentService } from "../../src/metrics/stats.ts";
import { describeResponse } from "../terminal.ts";

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
 * Parses the response of `/status/downtimes`.
 *
 * @param response The response.
 * @returns The records and weights in force.
 * @throws {Error} If the daemon does not have this page, or the response is not as expected.
 */
export function parseActiveEntries(response: HttpResponse): ActiveEntries {
  if (response.status === 404) throw new Error(`${TOO_OLD} does not report what is down`);
  return parse(ActiveEntriesSchema, response);
}

const TOO_OLD = "its hacheck is older than this hactl and";

/** The response of `/status/services/<service>/<port>`. */
export type EntryReport = v.InferOutput<typeof EntryReportSchema>;

/**
 * Parses the response of `/status/services/<service>/<port>`.
 *
 * @param response The response.
 * @returns The records of the service.
 * @throws {Error} If the response is not as expected.
 */
export function parseEntryReport(response: HttpResponse): EntryReport {
  return parse(EntryReportSchema, response);
}

/**
 * Tests whether a response is that of `/status` of a hacheck, however old.
 *
 * @param response The response.
 */
export function isStatus(response: HttpResponse): boolean {
  try {
    parse(StatusSchema, response);
    return true;
  } catch {
    return false;
  }
}

/**
 * Parses the response of `/status/checks/<service>?now`.
 *
 * @param response The response.
 * @returns The checks, each with its verdict.
 * @throws {Error} If the daemon does not have this page, or the response is not as expected.
 */
export function parseChecks(
  response: HttpResponse,
): v.InferOutput<typeof ChecksSchema>["checks"] {
  if (response.status === 404) throw new Error(`${TOO_OLD} does not run checks`);
  return parse(ChecksSchema, response).checks;
}

/**
 * Parses the response of `/recent`.
 *
 * @param response The response.
 * @returns The services, each with its last response.
 * @throws {Error} If the response is not as expected.
 */
export function parseRecent(response: HttpResponse): RecentService[] {
  return parse(RecentSchema, response).seen_services;
}

function parse<Schema extends v.GenericSchema>(
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
