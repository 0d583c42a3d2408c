/**
 * What daemons answer, made sure of: what they say is printed, and who answers may be no daemon.
 *
 * @module
 */

import * as v from "valibot";
import type { HttpAnswer } from "../src/http_client.ts";
import type { InForce } from "../src/spool/in_force.ts";
import { parseRecordName } from "../src/spool/names.ts";
import type { RecentService } from "../src/stats.ts";
import { shown } from "./command.ts";

const Time = v.pipe(v.number(), v.minValue(0));

const ofSubject = {
  name: v.pipe(v.string(), v.check((name) => parseRecordName(name) !== undefined)),
  service: v.string(),
  port: v.number(),
  host: v.string(),
  reason: v.string(),
  expiration: v.nullable(Time),
  creation: v.nullable(Time),
};

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
export function inForceOf(answer: HttpAnswer): InForce {
  if (answer.status === 404) {
    throw new Error("it does not tell what is marked down: its hacheck is older than this hactl");
  }
  return read(InForceSchema, answer);
}

/**
 * Reads what `/recent` answers.
 *
 * @param answer The answer.
 * @returns What was asked for.
 * @throws {Error} If that is not what it answers.
 */
export function recentOf(answer: HttpAnswer): RecentService[] {
  return read(Recent, answer).seen_services;
}

function read<Schema extends v.GenericSchema>(
  schema: Schema,
  { status, body }: HttpAnswer,
): v.InferOutput<Schema> {
  if (status !== 200) throw new Error(`expected status 200: received ${shown(status, body)}`);
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
