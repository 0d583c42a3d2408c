/**
 * Requests the outcomes of checks and the history of changes. hactl prints them, and another program may listen
 * on the port, so every field is validated.
 *
 * @module
 */

import * as v from "valibot";
import type { Daemon } from "./daemon.ts";
import { askForLargePage, parseResponse, rejectForbidden, TOO_OLD } from "./responses.ts";

const Time = v.number();

const identity = {
  service: v.string(),
  protocol: v.string(),
  host: v.string(),
  port: v.number(),
  path: v.string(),
};

const PhasesSchema = v.object({
  queue: v.number(),
  connect: v.nullable(v.number()),
  tls: v.nullable(v.number()),
  first_byte: v.nullable(v.number()),
  rest: v.nullable(v.number()),
  total: v.number(),
});

const ResultSchema = v.object({
  at: Time,
  code: v.number(),
  reason: v.nullable(v.string()),
  message: v.string(),
  address: v.string(),
  milliseconds: PhasesSchema,
});

const CheckSchema = v.object({
  ...identity,
  state: v.picklist(["up", "down"]),
  since: Time,
  last: ResultSchema,
  last_good: v.nullable(ResultSchema),
  failures: v.array(ResultSchema),
});

const RunSchema = v.object({
  ...identity,
  record: v.nullable(v.object({ name: v.string(), mode: v.string(), reason: v.string() })),
  cached: v.nullable(v.object({ at: Time, code: v.number(), for_seconds: v.number() })),
  verdict: v.object({
    code: v.number(),
    message: v.string(),
    healthy: v.boolean(),
    reason: v.nullable(v.string()),
    milliseconds: PhasesSchema,
    tls: v.nullable(v.object({ version: v.string(), subject: v.string(), expires: Time })),
  }),
});

const ChangeSchema = v.variant("kind", [
  v.object({
    kind: v.literal("record"),
    id: v.number(),
    at: Time,
    name: v.string(),
    service: v.string(),
    to: v.string(),
    weight: v.nullable(v.number()),
    reason: v.string(),
    by: v.nullable(v.string()),
    until: v.nullable(Time),
    source: v.string(),
    client: v.nullable(v.string()),
    why: v.nullable(v.string()),
  }),
  v.object({
    kind: v.literal("check"),
    id: v.number(),
    at: Time,
    ...identity,
    from: v.nullable(v.string()),
    to: v.string(),
    code: v.number(),
    reason: v.nullable(v.string()),
    message: v.string(),
    changes: v.number(),
  }),
]);

const ChecksSchema = v.object({ checks: v.array(CheckSchema), checks_left_out: v.number() });
const RunsSchema = v.object({ checks: v.array(RunSchema), checks_left_out: v.number() });
const HistorySchema = v.object({ started: Time, changes: v.array(ChangeSchema) });

/** The milliseconds of the phases of a check; null for one that was not reached. */
export type Phases = v.InferOutput<typeof PhasesSchema>;

/** A check, with its last results. */
export type CheckReport = v.InferOutput<typeof CheckSchema>;

/** A check that hactl had run. */
export type CheckRun = v.InferOutput<typeof RunSchema>;

/** The checks that a daemon lists, and how many more there are. */
export type Checks = v.InferOutput<typeof ChecksSchema>;

/** The checks that a daemon ran, and how many more there are. */
export type Runs = v.InferOutput<typeof RunsSchema>;

/** The last changes, and when the daemon started: the numbers of changes begin anew then. */
export type History = v.InferOutput<typeof HistorySchema>;

/** A change of a record or of the outcome of a check. */
export type Change = v.InferOutput<typeof ChangeSchema>;

/**
 * Requests the last results of the checks that balancers asked for.
 *
 * @param daemon The daemon.
 * @param service The service; null for all.
 * @param signal The deadline.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchOutcomes(
  daemon: Daemon,
  service: string | null,
  signal: AbortSignal,
): Promise<Checks> {
  const path = service === null ? "/status/checks" : `/status/checks/${service}`;
  const response = await askForLargePage(daemon, path, signal);
  rejectForbidden(response);
  if (response.status === 404) throw new Error(`${TOO_OLD} does not report results of checks`);
  return parseResponse(ChecksSchema, response);
}

/**
 * Has the checks of a service run, and requests what happened.
 *
 * @param daemon The daemon.
 * @param service The service.
 * @param signal The deadline.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchRuns(
  daemon: Daemon,
  service: string,
  signal: AbortSignal,
): Promise<Runs> {
  const response = await daemon.ask(`/status/checks/${service}?now`, signal);
  rejectForbidden(response);
  if (response.status === 404) throw new Error(`${TOO_OLD} does not run checks`);
  return parseResponse(RunsSchema, response);
}

/**
 * Requests the last changes, newest first.
 *
 * @param daemon The daemon.
 * @param service The service; null for all.
 * @param after The number of the last change that is known; 0 for none.
 * @param signal The deadline.
 * @throws {Error} If there is no response, or it is not as expected.
 */
export async function fetchHistory(
  daemon: Daemon,
  service: string | null,
  after: number,
  signal: AbortSignal,
): Promise<History> {
  const query = service === null ? "" : `&service=${service}`;
  const response = await askForLargePage(daemon, `/status/history?after=${after}${query}`, signal);
  rejectForbidden(response);
  if (response.status === 404) throw new Error(`${TOO_OLD} keeps no history`);
  return parseResponse(HistorySchema, response);
}
