import { LOCAL_ADDRESS } from "../net/addresses.ts";
import { Deadlines } from "../checks/deadlines.ts";
import type { InternalErrorCounters } from "../metrics/counters.ts";
import type { Log } from "../log.ts";
import type { QueryWorkers } from "./worker_queries.ts";
import { ALL, canHaveRecord, recordName, weightName } from "../spool/names.ts";
import { FULL_WEIGHT, isTime, isWeight } from "../spool/entry.ts";
import { EntryTooLongError, type SpoolStore } from "../spool/store.ts";
import type { CheckPath } from "./path.ts";
import { closingText, text } from "./responses.ts";
import { checkSpoolAccess, type SpoolAccessOptions } from "./spool_access.ts";

/** How long a form may be, in bytes. */
export const MAX_FORM_BYTES = 64 * 1024;

/** How much of a login name is kept, in characters. */
const MAX_NAME_LENGTH = 100;

/** With how many records POST adds no more: the spool is not for whoever asks to fill. */
export const MAX_RECORDS = 10_000;

/** What changes of the spool by POST need. */
export interface SpoolChanges {
  /** Who may make them. */
  readonly access: SpoolAccessOptions;
  /** Where they are written. */
  readonly store: SpoolStore;
  /** How long a form may take to arrive, in seconds. */
  readonly timeout: number;
  /** Asks all event loops, which must know at once. */
  readonly queryWorkers: QueryWorkers;
  /** Logs what fails. */
  readonly log: Log;
  /** Counts internal errors. */
  readonly errors: InternalErrorCounters;
}

/** A change, as the form asks for it. */
type Change =
  | { readonly status: "up" }
  | { readonly status: "down" | "drain" } & Marking
  | { readonly status: "weight"; readonly weight: number } & Marking;

/** What goes with a change. */
interface Marking {
  readonly reason: string;
  readonly expiration: number | null;
  readonly creation: number | undefined;
  /** The login name of who asks for it, as that client says. */
  readonly by: string | undefined;
}

/**
 * Marks a service up, down or as draining, or gives it a weight, as a form asks for it.
 *
 * @param request The POST request.
 * @param path What its path names.
 * @param client The address of who sent it.
 * @param changes What to work with.
 * @returns 200 with an empty body once the spool says so and every later answer does;
 * 401 or 403 for who may not change it, 507 where there are too many records, 400 for a form that makes
 * no sense, 408 for one that does not arrive, 413 for a form or a record too long, 500 if the spool
 * cannot be written or read.
 */
export async function changeSpool(
  request: Request,
  { service, port, path }: CheckPath,
  client: string,
  { access, store, timeout, queryWorkers, log, errors }: SpoolChanges,
): Promise<Response> {
  const refused = await checkSpoolAccess(request, client, access);
  if (refused !== undefined) return refused;
  if (!canHaveRecord(service)) {
    return text(400, `Cannot mark ${service}: names beginning with a dot are reserved`);
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
  if (service === ALL && port !== 0 && adds(change)) {
    return text(400, `Bad port in the path: expected 0 with ${ALL}: received ${port}`);
  }
  const subject = { service, port, host: LOCAL_ADDRESS };
  const name = recordName(subject);
  const file = change.status === "weight" ? weightName(subject) : name;
  const what = whatOf(change, name);
  const failed = (how: string, error: unknown) => {
    errors.spool_changes++;
    log.error("cannot {what}: {error}", { what, error });
    return text(500, `Cannot ${what}: the spool cannot be ${how}`);
  };
  try {
    if (adds(change) && store.readEntry(file) === undefined && isFull(store)) {
      return text(507, `Cannot ${what}: the spool has ${MAX_RECORDS} records already`);
    }
    await make(change, file, store);
  } catch (error) {
    if (error instanceof EntryTooLongError) return text(413, error.message);
    // Even a failed change may have changed the file.
    await queryWorkers("refresh", file);
    return failed("written", error);
  }
  const known = await queryWorkers("refresh", file);
  return known.every((isKnown) => isKnown) ? text(200, "") : failed("read", "what was known stays");
}

/** What a change does, in words. */
function whatOf(change: Change, name: string): string {
  if (change.status === "weight") return `give ${name} the weight ${change.weight}`;
  return change.status === "drain" ? `drain ${name}` : `mark ${name} ${change.status}`;
}

/** Tells whether a change may put a file where there is none. */
function adds(change: Change): boolean {
  return change.status !== "up" && !(change.status === "weight" && change.weight === FULL_WEIGHT);
}

function isFull(store: SpoolStore): boolean {
  return store.listEntries().length >= MAX_RECORDS;
}

async function make(change: Change, file: string, store: SpoolStore): Promise<void> {
  if (change.status === "up") return await store.remove(file);
  if (!adds(change)) return await store.remove(file);
  const { reason, expiration, creation, by } = change;
  const fields = { reason, expiration, creation, by };
  if (change.status === "weight") await store.set(file, { weight: change.weight, ...fields });
  else await store.set(file, { mode: change.status, ...fields });
}

/** The body of a request, or the response to a request whose body is too long or does not arrive. */
async function readBody(
  { body }: Request,
  timeout: number,
): Promise<Uint8Array<ArrayBuffer> | Response> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  let buffer = new Uint8Array(1024);
  let length = 0;
  let isLate = false;
  using _deadline = new Deadlines(timeout * 1000).begin(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) return closingText(408, `The form was not sent within ${timeout} seconds`);
      if (done) return buffer.subarray(0, length);
      const end = length + value.length;
      if (end > MAX_FORM_BYTES) {
        reader.cancel().catch(() => {});
        return closingText(413, `The form is longer than ${MAX_FORM_BYTES} bytes`);
      }
      if (end > buffer.length) {
        const larger = new Uint8Array(Math.max(end, 2 * buffer.length));
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(value, length);
      length = end;
    }
  } catch {
    // The client has gone, or the daemon is to stop.
    return closingText(400, "The form was not sent to its end");
  }
}

type Fields = Pick<URLSearchParams, "get" | "getAll">;

/** Reads a form, which is multipart where the content type says so, else URL-encoded. */
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
    // A file is no field.
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

/**
 * The change that a form asks for, or what is wrong with it. What it does not say, the query string may, as with
 * the other hachecks.
 */
function parseChange(body: Fields, query: Fields): Change | string {
  const form = new Map<string, string>();
  for (const name of ["status", "weight", "reason", "expiration", "creation", "by"]) {
    const values = [body, query].map((fields) => fields.getAll(name));
    if (values.some(({ length }) => length > 1)) {
      return `Bad ${name}: expected it once: received it more than once`;
    }
    const [value] = values.flat();
    if (value !== undefined) form.set(name, value.trim());
  }
  const status = form.get("status") ?? null;
  const percent = form.get("weight") ?? null;
  if (status !== null && percent !== null) {
    return "Bad weight: expected either a weight or a status: received both";
  }
  if (status === "up") return { status };
  if (percent === null && status !== "down" && status !== "drain") {
    return `Bad status: expected up, down or drain: received ${
      status === null ? "none" : JSON.stringify(status)
    }`;
  }
  const weight = /^\d{1,3}$/.test(percent ?? "") ? Number(percent) : undefined;
  if (percent !== null && !isWeight(weight)) {
    return `Bad weight: expected a whole number from 0 to 100: received ${JSON.stringify(percent)}`;
  }
  const reason = form.get("reason") ?? (status === null ? "" : null);
  if (reason === null) return "Bad reason: expected why the service is down: received none";
  const expiration = time(form, "expiration");
  if (typeof expiration === "string") return expiration;
  const creation = time(form, "creation");
  if (typeof creation === "string") return creation;
  // The token or the address says who may write; this is for people to read, as the reason is.
  const by = form.get("by")?.slice(0, MAX_NAME_LENGTH);
  const marking = { reason, expiration: expiration ?? null, creation, by };
  return isWeight(weight)
    ? { status: "weight", weight, ...marking }
    : { status: status as "down" | "drain", ...marking };
}

/** A time that a form gives, undefined if it gives none, or what is wrong with it. */
function time(form: ReadonlyMap<string, string>, name: string): number | string | undefined {
  const given = form.get(name);
  if (given === undefined) return undefined;
  const seconds = given === "" ? NaN : Number(given);
  if (isTime(seconds)) return seconds;
  return `Bad ${name}: expected a time in unix seconds: received ${JSON.stringify(given)}`;
}
