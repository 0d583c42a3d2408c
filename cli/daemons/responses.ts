/**
 * What daemons answer, made sure of: what they say is printed, and who answers may be no daemon.
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

const markingOf = {
  reason: v.string(),
  expiration: v.nullable(Time),
  creation: v.nullable(Time),
  by: v.exactOptional(v.string()),
};

const ofSubject = {
  name: v.pipe(v.string(), v.check((name) => parseRecordName(name) !== undefined)),
  service: v.string(),
  port: v.number(),
  host: v.string(),
  ...markingOf,
};

const RecordSchema = v.object({ mode: v.picklist(["down", "drain"]), ...markingOf });

const EntrySchema = v.object({
  service: v.string(),
  port: v.number(),
  record: v.nullable(RecordSchema),
  kept_out_by: v.nullable(v.object({ name: v.string(), ...RecordSchema.entries })),
  weight: v.nullable(v.object({ weight: v.nullable(v.number()), ...markingOf })),
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

const InForceSchema = v.object({
  downtimes: v.array(v.object({ ...ofSubject, mode: v.picklist(["down", "drain"]) })),
  weights: v.array(v.object({ ...ofSubject, weight: v.nullable(v.number()) })),
});

const Recent = v.object({
  seen_services: v.array(v.tuple([
    v.pipe(v.string(), v.regex(/^[.\w-]+$/)),
    v.nullable(v.object({ code: v.number(), remote_ip: v.string(), ts: v.number() })),
  ])),
});

/**
 * Reads what `/status/downtimes` answers.
 *
 * @param answer The answer.
 * @returns All that an operator has said.
 * @throws {Error} If that is not what it answers.
 */
export function inForceOf(answer: HttpResponse): ActiveEntries {
  if (answer.status === 404) {
    throw new Error("it does not tell what is marked down: its hacheck is older than this hactl");
  }
  return read(InForceSchema, answer);
}

/** What `/status/services/…` reports. */
export type Entry = v.InferOutput<typeof EntrySchema>;

/**
 * Reads what `/status/services/<service>/<port>` answers.
 *
 * @param answer The answer.
 * @returns The records of the service.
 * @throws {Error} If that is not what it answers.
 */
export function entryOf(answer: HttpResponse): Entry {
  return read(EntrySchema, answer);
}

const StatusSchema = v.object({ uptime: v.number(), cache: v.object({ hits: v.number() }) });

/**
 * Whether an answer is what `/status` of any hacheck answers.
 *
 * @param answer The answer.
 */
export function isStatus(answer: HttpResponse): boolean {
  try {
    read(StatusSchema, answer);
    return true;
  } catch {
    return false;
  }
}

/**
 * Reads what `/status/checks/<service>?now` answers.
 *
 * @param answer The answer.
 * @returns The checks, each with its verdict.
 * @throws {Error} If that is not what it answers.
 */
export function checksOf(answer: HttpResponse): v.InferOutput<typeof ChecksSchema>["checks"] {
  if (answer.status === 404) {
    throw new Error("it does not run checks: its hacheck is older than this hactl");
  }
  return read(ChecksSchema, answer).checks;
}

/**
 * Reads what `/recent` answers.
 *
 * @param answer The answer.
 * @returns What was asked for.
 * @throws {Error} If that is not what it answers.
 */
export function recentOf(answer: HttpResponse): RecentService[] {
  return read(Recent, answer).seen_services;
}

function read<Schema extends v.GenericSchema>(
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
    throw new Error("it answers no JSON: is it a hacheck?");
  }
  const { success, output, issues } = v.safeParse(schema, value);
  if (success) return output;
  throw new Error(`it answers what no hacheck does: ${issues[0].message}`);
}
