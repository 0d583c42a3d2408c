import { LOCAL_ADDRESS } from "../addresses.ts";
import type { FaultCounts } from "../faults.ts";
import type { Log } from "../log.ts";
import type { Ask } from "../peers.ts";
import { canBeMarked, recordName } from "../spool/names.ts";
import { isTime } from "../spool/record.ts";
import type { SpoolStore } from "../spool/store.ts";
import type { CheckPath } from "./path.ts";
import { lastText, text } from "./responses.ts";
import { refusedChange, type SpoolAccessOptions } from "./spool_access.ts";

/** How long a form may be, in bytes. */
export const MAX_FORM_BYTES = 64 * 1024;

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
  readonly ask: Ask;
  /** Where faults are told. */
  readonly log: Log;
  /** Where they are counted. */
  readonly faults: FaultCounts;
}

/** A change, as the form asks for it. */
type Change =
  | { readonly status: "up" }
  | {
    readonly status: "down";
    readonly reason: string;
    readonly expiration: number | null;
    readonly creation: number | undefined;
  };

/**
 * Marks a service up or down, as a form asks for it.
 *
 * @param request The POST request.
 * @param path What its path names.
 * @param client The address of who sent it.
 * @param changes What to work with.
 * @returns 200 with an empty body once the spool says so and every later answer does;
 * 401 or 403 for who may not change it, 507 where there are too many records, 400 for a form that makes
 * no sense, 408 for one that does not arrive, 413 for one too long, 500 if the spool
 * cannot be written or read.
 */
export async function changeSpool(
  request: Request,
  { service, port }: CheckPath,
  client: string,
  { access, store, timeout, ask, log, faults }: SpoolChanges,
): Promise<Response> {
  const refused = await refusedChange(request.headers, client, access);
  if (refused !== undefined) return refused;
  if (!canBeMarked(service)) {
    return text(400, `Cannot mark ${service}: names beginning with a dot are reserved`);
  }
  if (port > 65535) {
    return text(400, `Bad port in the path: expected a number from 0 to 65535: received ${port}`);
  }
  const form = await readForm(request, timeout);
  if (form instanceof Response) return form;
  const change = parseChange(new URLSearchParams(form));
  if (typeof change === "string") return text(400, change);
  const name = recordName({ service, port, host: LOCAL_ADDRESS });
  const { status } = change;
  const failed = (what: string, error: unknown) => {
    faults.spool_changes++;
    log.error("cannot mark {name} {status}: {error}", { name, status, error });
    return text(500, `Cannot mark ${name} ${status}: the spool cannot be ${what}`);
  };
  try {
    if (change.status === "down" && store.read(name) === undefined && isFull(store)) {
      return text(507, `Cannot mark ${name} down: the spool has ${MAX_RECORDS} records already`);
    }
    if (change.status === "up") await store.markUp(name);
    else await store.markDown(name, change.reason, change.expiration, change.creation);
  } catch (error) {
    // Even a failed change may have changed the file.
    await ask("refresh", name);
    return failed("written", error);
  }
  const known = await ask("refresh", name);
  return known.every((isKnown) => isKnown) ? text(200, "") : failed("read", "what was known stays");
}

function isFull(store: SpoolStore): boolean {
  return store.list().length >= MAX_RECORDS;
}

/** The form that a request brings, or the answer to one that does not bring it. */
async function readForm({ body }: Request, timeout: number): Promise<string | Response> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let form = "";
  let length = 0;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  }, timeout * 1000);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) return lastText(408, `The form was not sent within ${timeout} seconds`);
      if (done) return form + decoder.decode();
      length += value.length;
      if (length > MAX_FORM_BYTES) {
        reader.cancel().catch(() => {});
        return lastText(413, `The form is longer than ${MAX_FORM_BYTES} bytes`);
      }
      form += decoder.decode(value, { stream: true });
    }
  } catch {
    // The client has gone, or the daemon is to stop.
    return lastText(400, "The form was not sent to its end");
  } finally {
    clearTimeout(timer);
  }
}

/** The change that a form asks for, or what is wrong with it. */
function parseChange(form: URLSearchParams): Change | string {
  for (const name of ["status", "reason", "expiration", "creation"]) {
    if (form.getAll(name).length > 1) {
      return `Bad ${name}: expected it once: received it more than once`;
    }
  }
  const status = form.get("status");
  if (status === "up") return { status };
  if (status !== "down") {
    return `Bad status: expected up or down: received ${
      status === null ? "none" : JSON.stringify(status)
    }`;
  }
  const reason = form.get("reason");
  if (reason === null) return "Bad reason: expected why the service is down: received none";
  const expiration = time(form, "expiration");
  if (typeof expiration === "string") return expiration;
  const creation = time(form, "creation");
  if (typeof creation === "string") return creation;
  return { status, reason, expiration: expiration ?? null, creation };
}

/** A time that a form gives, undefined if it gives none, or what is wrong with it. */
function time(form: URLSearchParams, name: string): number | string | undefined {
  const given = form.get(name);
  if (given === null) return undefined;
  const seconds = given.trim() === "" ? NaN : Number(given);
  if (isTime(seconds)) return seconds;
  return `Bad ${name}: expected a time in unix seconds: received ${JSON.stringify(given)}`;
}
