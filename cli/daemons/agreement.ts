/**
 * Waits until the daemon of this host reports what the spool contains.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { ALL, recordName, type Subject, weightName } from "../../src/spool/names.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import type { CommandContext } from "../command.ts";
import { sleep } from "../sleep.ts";
import { describeResponse, errorMessage, warn } from "../terminal.ts";
import { LocalDaemon } from "./local.ts";
import { ForbiddenError } from "./daemon.ts";
import { type EntryReport, fetchState, type StateResponse } from "./responses.ts";

/** How long the daemon has to report a change, in milliseconds. */
const AGREE_TIMEOUT_MS = 1000;

/** How often hactl asks meanwhile, in milliseconds. */
const ASK_EVERY_MS = 2;

/**
 * How many connections in a row must be refused until no daemon listens. A daemon that closes hanging connections
 * replaces its listeners, and one connection can be refused meanwhile.
 */
const MAX_REFUSALS = 3;

/** Compares the state of a service with the spool; returns how they differ, if they do. */
type Compare = (found: StateResponse, subject: Subject, store: SpoolStore) => string | undefined;

/**
 * Waits until the daemon reports the downtimes or the weights of the spool, for at most a second. Warns if it
 * does not, and if no daemon listens.
 *
 * @param context The services that were changed.
 * @param kind What was changed.
 * @returns Whether the daemon agrees with the spool; null if no daemon listens.
 */
export async function awaitAgreement(
  { subjects, store, port, trust }: CommandContext,
  kind: "downtime" | "weight",
): Promise<boolean | null> {
  const daemon = new LocalDaemon(port, trust.token);
  const deadline = AbortSignal.timeout(AGREE_TIMEOUT_MS);
  const compare = kind === "weight" ? compareWeight : compareDowntime;
  let isAgreed = true;
  for (const subject of subjects) {
    try {
      const mismatch = await lastMismatch(subject, store, compare, daemon, deadline);
      if (mismatch === undefined) continue;
      isAgreed = false;
      warn(`${daemon.name} does not report the change: ${recordName(subject)}: ${mismatch}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      warn(`no daemon listens on port ${port}: no daemon uses this spool`);
      return null;
    }
  }
  return isAgreed;
}

async function lastMismatch(
  subject: Subject,
  store: SpoolStore,
  compare: Compare,
  daemon: LocalDaemon,
  deadline: AbortSignal,
): Promise<string | undefined> {
  let mismatch: string | undefined = `no response within ${AGREE_TIMEOUT_MS} ms`;
  let refusals = 0;
  while (!deadline.aborted) {
    try {
      const found = await fetchState(daemon, subject, deadline);
      refusals = 0;
      // The files are read each time: another operator may have changed them since.
      mismatch = compare(found, subject, store);
      if (mismatch === undefined) return undefined;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused && ++refusals === MAX_REFUSALS) {
        throw error;
      }
      if (error instanceof ForbiddenError) return `it ${error.message}`;
      if (!deadline.aborted) mismatch = errorMessage(error);
    }
    await sleep(ASK_EVERY_MS, deadline);
  }
  return mismatch;
}

function compareDowntime(
  { report, state, response: { status, body } }: StateResponse,
  subject: Subject,
  store: SpoolStore,
): string | undefined {
  const { index, invalid } = readIndex(subject, recordName, store);
  const downtime = index.find(subject.service, subject.port, subject.host);
  const expected = downtime === undefined ? null : { name: downtime.name, ...downtime.record };
  const found = report?.kept_out_by ?? null;
  const isSame = report === null
    ? state === (expected === null ? "up" : "down")
    : expected === null || found === null
    ? expected === found
    : expected.name === found.name && expected.mode === found.mode &&
      // The reason of an invalid record is a message, which each release may word in its own way.
      (invalid.has(expected.name) || COMPARED.every((key) => expected[key] === found[key]));
  if (isSame) return undefined;
  const received = report !== null
    ? describeDowntime(found)
    : state ?? describeResponse(status, body);
  return `expected ${describeDowntime(expected)}: received ${received}`;
}

const COMPARED = ["reason", "expiration", "creation"] as const;

function describeDowntime(record: EntryReport["kept_out_by"]): string {
  if (record === null) return "up";
  const { name, mode, reason, creation, expiration } = record;
  const since = creation === null ? "" : ` since ${creation}`;
  const until = expiration === null ? "" : ` until ${expiration}`;
  return `${mode} by the record ${name}${since}${until} (${JSON.stringify(reason)})`;
}

function compareWeight(
  { report, response: { status, body } }: StateResponse,
  subject: Subject,
  store: SpoolStore,
): string | undefined {
  const { index } = readIndex(subject, weightName, store);
  const expected = index.weight(subject.service, subject.port, subject.host);
  const found = report?.agent_weight;
  if (found === expected) return undefined;
  const received = found === undefined
    ? describeResponse(status, body)
    : `the weight ${found ?? "unknown"}`;
  return `expected the weight ${expected ?? "unknown"}: received ${received}`;
}

/** Reads the files that can affect a subject. */
function readIndex(
  { service, port, host }: Subject,
  nameOf: (subject: Subject) => string,
  store: SpoolStore,
): { readonly index: SpoolIndex; readonly invalid: ReadonlySet<string> } {
  const index = new SpoolIndex();
  const invalid = new Set<string>();
  const wider = [ALL, service].map((service) => ({ service, port: 0, host: LOCAL_ADDRESS }));
  // The report on port 0 is about `web:0` as well.
  const isPortZero = port === 0;
  const byPort = [LOCAL_ADDRESS, host].map((host) => ({ service, port, host, isPortZero }));
  for (const name of [...wider, ...byPort].map(nameOf)) {
    const stored = store.readEntry(name);
    if (stored === undefined) continue;
    index.set(name, stored.record);
    if (stored.problem !== null) invalid.add(name);
  }
  return { index, invalid };
}
