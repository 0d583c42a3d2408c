import { Deadlines } from "../checks/deadlines.ts";
import type { ChangeSink } from "../checks/history.ts";
import type { Log } from "../log/log.ts";
import type { InternalErrorCounters } from "../metrics/counters.ts";
import { LOCAL_ADDRESS } from "../net/addresses.ts";
import {
  type DowntimeRecord,
  FULL_WEIGHT,
  isTime,
  isWeight,
  type WeightRecord,
} from "../spool/entry.ts";
import { ALL, canHaveRecord, recordName, weightName } from "../spool/names.ts";
import { EntryTooLongError, type NewEntry, type SpoolStore } from "../spool/store.ts";
import type { CheckPath } from "./path.ts";
import { closingText, text } from "./responses.ts";
import { checkSpoolAccess, type SpoolAccessOptions } from "./spool_access.ts";
import type { QueryWorkers } from "./worker_queries.ts";

/** The longest form, in bytes. */
export const MAX_FORM_BYTES = 64 * 1024;

/** How much of a login name is recorded, in characters. */
const MAX_NAME_LENGTH = 100;

/** With this many records POST adds none: remote clients must not fill the spool. */
export const MAX_RECORDS = 10_000;

/** What changes of the spool by POST work with. */
export interface SpoolChanges {
  /** Which clients may make them. */
  readonly access: SpoolAccessOptions;
  /** The spool's files. */
  readonly store: SpoolStore;
  /** How long a form may take to arrive, in seconds. */
  readonly timeout: number;
  /** Queries all workers: each must read the change before the response. */
  readonly queryWorkers: QueryWorkers;
  /** Attributes the change to the client. */
  readonly changes: Pick<ChangeSink, "announce">;
  /** Where errors are logged. */
  readonly log: Log;
  /** Counts internal errors. */
  readonly errors: InternalErrorCounters;
}

/** A change of a record or a weight. */
interface Change {
  /** What the change is, for messages. */
  readonly what: (name: string) => string;
  /** Returns the name of the file to change. */
  readonly fileOf: typeof recordName;
  /** The entry to write; null to remove the present one. */
  readonly entry: NewEntry<DowntimeRecord> | NewEntry<WeightRecord> | null;
}

/**
 * Changes the record or the weight of a service by a form.
 *
 * @param request The POST request.
 * @param path The parts of its path.
 * @param client The client's address.
 * @param changes What to work with.
 * @returns 200 with an empty body once all workers have read the change, so that no later check contradicts it.
 * 401 or 403 for a client that is not allowed to, 400 for an invalid form, 408 for one that does not arrive, 413 for a
 * form or record that is too long, 507 for too many records, 500 if the spool cannot be written or read.
 */
export async function changeSpool(
  request: Request,
  { service, port, path }: CheckPath,
  client: string,
  { access, store, timeout, queryWorkers, changes, log, errors }: SpoolChanges,
): Promise<Response> {
  const refused = await checkSpoolAccess(request, client, access);
  if (refused !== undefined) return refused;
  if (!canHaveRecord(service)) {
    return text(400, `Bad service ${service}: names beginning with a dot are reserved`);
  }
  if (port > 65535) {
    return text(400, `Bad port in the path: expected a number from 0 to 65535: received ${port}`);
  }
  const body = await readBody(request, timeout);
  if (body instanceof Response) return body;
  const form = await parseForm(body, request.headers.get("content-type"));
  if (typeof form === "string") return text(400, form);
  const change = parseChange(form, queryOf(path));
  if (typeof change === "string") return text(400, change);
  const { entry } = change;
  if (service === ALL && port !== 0 && entry !== null) {
    return text(400, `Bad port in the path: expected 0 with ${ALL}: received ${port}`);
  }
  const subject = { service, port, host: LOCAL_ADDRESS };
  const file = change.fileOf(subject);
  const name = recordName(subject);
  const what = change.what(name);
  const fail = (how: string, error: unknown) => {
    errors.spool_changes++;
    log.error("cannot {what}: {error}", { what, error });
    return text(500, `Cannot ${what}: the spool cannot be ${how}`);
  };
  changes.announce(name, client);
  using _ = { [Symbol.dispose]: () => changes.announce(name, null) };
  try {
    if (entry === null) await store.remove(file);
    else if (store.readEntry(file) === undefined && store.listEntries().length >= MAX_RECORDS) {
      return text(507, `Cannot ${what}: the spool has ${MAX_RECORDS} records already`);
    } else if ("weight" in entry) await store.set(file, entry);
    else await store.set(file, entry);
  } catch (error) {
    if (error instanceof EntryTooLongError) return text(413, error.message);
    // Even a failed change may have changed the file.
    await queryWorkers("refresh", file);
    return fail("written", error);
  }
  const isRead = (await queryWorkers("refresh", file)).every((isRead) => isRead);
  return isRead ? text(200, "") : fail("read", "the last known state stays in force");
}

/** Reads a form. Returns a response if it is too long or does not arrive. */
async function readBody(
  { body }: Request,
  timeout: number,
): Promise<Uint8Array<ArrayBuffer> | Response> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const bytes = new Uint8Array(new ArrayBuffer(0, { maxByteLength: MAX_FORM_BYTES }));
  let isLate = false;
  using _deadline = new Deadlines(timeout * 1000).begin(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) return closingText(408, `The form was not sent within ${timeout} seconds`);
      if (done) return bytes.slice();
      const { length } = bytes;
      if (length + value.length > MAX_FORM_BYTES) {
        reader.cancel().catch(() => {});
        return closingText(413, `The form is longer than ${MAX_FORM_BYTES} bytes`);
      }
      bytes.buffer.resize(length + value.length);
      bytes.set(value, length);
    }
  } catch {
    // The client has gone, or the daemon stops.
    return closingText(400, "The form was not sent to its end");
  }
}

type Fields = Pick<URLSearchParams, "get" | "getAll">;

/** Parses a form: multipart if the content type is, else URL-encoded. */
async function parseForm(
  body: Uint8Array<ArrayBuffer>,
  contentType: string | null,
): Promise<Fields | string> {
  if (!/^\s*multipart\/form-data\b/i.test(contentType ?? "")) {
    return new URLSearchParams(new TextDecoder().decode(body));
  }
  try {
    const headers = { "content-type": contentType! };
    const form = await new Response(body, { headers }).formData();
    // Files are ignored.
    return new URLSearchParams(
      [...form].flatMap(([name, value]) => typeof value === "string" ? [[name, value]] : []),
    );
  } catch {
    return "Bad form: expected multipart/form-data, as its Content-Type says";
  }
}

function queryOf(path: string): URLSearchParams {
  const query = path.indexOf("?");
  return new URLSearchParams(query < 0 ? "" : path.slice(query));
}

const FIELDS = ["status", "weight", "reason", "expiration", "creation", "by"] as const;

/**
 * Parses a change, or returns what is wrong with the form. The query string has the fields that the body does not, as
 * in the Python hachecks.
 */
function parseChange(body: Fields, query: Fields): Change | string {
  const form: Partial<Record<typeof FIELDS[number], string>> = {};
  for (const name of FIELDS) {
    const values = [body, query].map((fields) => fields.getAll(name));
    if (values.some(({ length }) => length > 1)) {
      return `Bad ${name}: expected it once: received it more than once`;
    }
    const [value] = values.flat();
    if (value !== undefined) form[name] = value.trim();
  }
  const { status, weight: percent } = form;
  if (status !== undefined && percent !== undefined) {
    return "Bad weight: expected either a weight or a status: received both";
  }
  if (status === "up") {
    return { what: (name) => `end the downtime of ${name}`, fileOf: recordName, entry: null };
  }
  if (percent === undefined && status !== "down" && status !== "drain") {
    const received = status === undefined ? "none" : JSON.stringify(status);
    return `Bad status: expected up, down or drain: received ${received}`;
  }
  const weight = /^\d{1,3}$/.test(percent ?? "") ? Number(percent) : undefined;
  if (percent !== undefined && !isWeight(weight)) {
    return `Bad weight: expected a whole number from 0 to 100: received ${JSON.stringify(percent)}`;
  }
  const { reason = status === undefined ? "" : undefined } = form;
  if (reason === undefined) return "Bad reason: expected why the service is down: received none";
  const expiration = parseTime("expiration", form.expiration);
  if (typeof expiration === "string") return expiration;
  const creation = parseTime("creation", form.creation);
  if (typeof creation === "string") return creation;
  // The token or the address decides about access. The name is only shown.
  const by = form.by?.slice(0, MAX_NAME_LENGTH);
  const fields = { reason, expiration: expiration ?? null, creation, by };
  if (isWeight(weight)) {
    const entry = weight === FULL_WEIGHT ? null : { weight, ...fields };
    return { what: (name) => `set the weight of ${name} to ${weight}`, fileOf: weightName, entry };
  }
  const mode = status === "drain" ? "drain" : "down";
  const what = (name: string) => mode === "drain" ? `drain ${name}` : `take down ${name}`;
  return { what, fileOf: recordName, entry: { mode, ...fields } };
}

/** Parses a time; undefined if it is not given. Returns what is wrong with an invalid one. */
function parseTime(name: string, given: string | undefined): number | string | undefined {
  if (given === undefined) return undefined;
  const seconds = given === "" ? NaN : Number(given);
  if (isTime(seconds)) return seconds;
  return `Bad ${name}: expected a time in unix seconds: received ${JSON.stringify(given)}`;
}
