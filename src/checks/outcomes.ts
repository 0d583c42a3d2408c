import type { CheckStatus } from "../metrics/exposition.ts";
import { hostPort } from "../net/addresses.ts";
import { type CheckRequest, type FailureReason, isFailure, type Verdict } from "./check.ts";

/** How many checks are kept; the one with the oldest verdict is dropped first. */
export const MAX_CHECKS = 16_384;

/** How many failures of one check are kept at most. */
export const MAX_FAILURES_PER_CHECK = 10;

/** How many failures are kept for all checks together, beside the last one of each. */
export const MAX_FAILURES = 20_000;

/** How many characters of a message are kept. */
export const MAX_MESSAGE_KEPT = 200;

/** How many characters the path and the headers of a check may have together. Longer ones are not kept. */
export const MAX_REQUEST_KEPT = 2048;

/** How many services with the same check are kept: it is run once for all of them. */
const MAX_SERVICES_PER_CHECK = 32;

/** How long the phases of a run took, in milliseconds; null for a phase that was not reached. */
export interface Milliseconds {
  /** In hacheck's queue. */
  readonly queue: number;
  readonly connect: number | null;
  readonly tls: number | null;
  readonly first_byte: number | null;
  readonly rest: number | null;
  /** All of them together. */
  readonly total: number;
}

/** One run of a check. */
export interface CheckResult {
  /** When it ended, in unix seconds. */
  readonly at: number;
  /** The status code of the verdict. */
  readonly code: number;
  /** Why it failed; null if it did not. */
  readonly reason: FailureReason | null;
  /** The first line of the message, up to {@linkcode MAX_MESSAGE_KEPT} characters. */
  readonly message: string;
  /** The address that was checked. */
  readonly address: string;
  /** How long its phases took. */
  readonly milliseconds: Milliseconds;
}

/** The state of a service, as one check sees it. */
export type CheckState = "up" | "down";

/** What identifies a check for operators. */
export type CheckIdentity = Pick<CheckRequest, "service" | "protocol" | "host" | "port" | "path">;

/** What is known of a check. */
export interface CheckReport extends CheckIdentity {
  /** The state by the last run, whatever the spool says. */
  readonly state: CheckState;
  /** Since when it has been in this state, in unix seconds. */
  readonly since: number;
  /** The last run. */
  readonly last: CheckResult;
  /** The last run that did not fail; null if there was none. */
  readonly last_good: CheckResult | null;
  /** The last failures, newest first. */
  readonly failures: readonly CheckResult[];
}

/** The last run of a check, in short. */
export interface CheckSummary extends CheckIdentity {
  /** The state by the last run, whatever the spool says. */
  readonly state: CheckState;
  /** Since when it has been in this state, in unix seconds. */
  readonly since: number;
  /** When the last run ended, in unix seconds. */
  readonly at: number;
  /** When a balancer asked for it last, in unix seconds. */
  readonly asked: number;
  /** The status code of the verdict. */
  readonly code: number;
  /** Why it failed; null if it did not. */
  readonly reason: FailureReason | null;
  /** The first line of the message. */
  readonly message: string;
}

/** A change of the state of a check. */
export interface OutcomeChange {
  /** The check. */
  readonly request: CheckRequest;
  /** The state before; null if the first run failed. */
  readonly from: CheckState | null;
  /** The state now. */
  readonly to: CheckState;
  /** The run that changed it. */
  readonly result: CheckResult;
}

/**
 * One run of a check, as it is kept. It is overwritten by a later one: objects that live for some seconds cost the
 * garbage collector more than all else here. Phases are in milliseconds, NaN for one that was not reached.
 */
class Run {
  at = NaN;
  code = 0;
  reason: FailureReason | null = null;
  message = "";
  queuedMs = NaN;
  totalMs = NaN;
  connectMs = NaN;
  tlsMs = NaN;
  firstByteMs = NaN;
  restMs = NaN;

  write({ code, message, reason, phases }: Verdict, queuedMs: number, totalMs: number, at: number) {
    this.at = at;
    this.code = code;
    this.reason = reason ?? null;
    this.message = firstLine(message, this.message);
    this.queuedMs = queuedMs;
    this.totalMs = totalMs;
    this.connectMs = phases?.connect ?? NaN;
    this.tlsMs = phases?.tls ?? NaN;
    this.firstByteMs = phases?.first_byte ?? NaN;
    this.restMs = phases?.rest ?? NaN;
  }
}

/** A check, and its last runs. */
interface Tracked {
  /** The check as each service with it asks for it. */
  readonly requests: CheckRequest[];
  /** Null before the first run. */
  state: CheckState | null;
  since: number;
  /** The last good run. */
  good: Run | null;
  /** The last failures, oldest first. */
  failures: readonly Run[];
}

/** A check without a failure. */
const NO_FAILURES: readonly Run[] = [];

/**
 * Keeps the last results of each check, failures apart from good ones.
 *
 * Checks with the same key share their runs, as in the cache. Nothing is recorded when a verdict is reused.
 */
export class Outcomes {
  /** By the keys of the pipeline, the one with the oldest verdict first. */
  readonly #checks = new Map<string, Tracked>();
  #failing = 0;

  /** Called when the state of a check has changed. */
  onChange: (change: OutcomeChange) => void = () => {};

  /** How many checks are kept. */
  get size(): number {
    return this.#checks.size;
  }

  /**
   * Remembers who asks for a check.
   *
   * @param key The key of the check.
   * @param request The check.
   */
  track(key: string, request: CheckRequest): void {
    if (isTooLong(request)) return;
    const tracked = this.#checks.get(key);
    if (tracked === undefined) this.#add(key, request);
    else remember(tracked.requests, request);
  }

  /**
   * Records a run of a check.
   *
   * @param key The key of the check.
   * @param request The check.
   * @param verdict The verdict.
   * @param queuedMs How long the check was queued, in milliseconds.
   * @param totalMs How long it took, its time in the queue included, in milliseconds.
   * @param at When it ended, in unix seconds.
   */
  record(
    key: string,
    request: CheckRequest,
    verdict: Verdict,
    queuedMs: number,
    totalMs: number,
    at: number,
  ): void {
    if (isTooLong(request)) return;
    const tracked = this.#checks.get(key) ?? this.#add(key, request);
    // The map is in the order of the last verdicts.
    this.#checks.delete(key);
    this.#checks.set(key, tracked);
    const from = tracked.state;
    const to = isFailure(verdict) ? "down" : "up";
    const run = to === "up" ? tracked.good ??= new Run() : this.#addFailure(tracked);
    run.write(verdict, queuedMs, totalMs, at);
    if (from === to) return;
    tracked.state = to;
    tracked.since = at;
    if (from === null && to === "up") return;
    for (const request of tracked.requests) {
      this.onChange({ request, from, to, result: resultOf(request, run) });
    }
  }

  /**
   * Reports on the checks that balancers have asked for lately.
   *
   * @param service The name of a service; null for all.
   * @param since Since when, in unix seconds.
   */
  *reports(service: string | null, since: number): Generator<CheckReport, undefined> {
    for (const tracked of this.#checks.values()) {
      for (const request of tracked.requests) {
        if (service !== null && request.service !== service) continue;
        if (isAsked(request, since) && tracked.state !== null) yield reportOf(request, tracked);
      }
    }
  }

  /**
   * Returns the failing checks that balancers have asked for lately, the latest change first.
   *
   * @param since Since when, in unix seconds.
   * @param most How many at most.
   * @param isPlanned Whether a check is expected to fail: such checks come last.
   * @returns The checks, and how many there are more.
   */
  failing(
    since: number,
    most: number,
    isPlanned: (check: CheckIdentity) => boolean,
  ): { readonly checks: CheckSummary[]; readonly leftOut: number } {
    const found: [request: CheckRequest, tracked: Tracked, isPlanned: boolean][] = [];
    for (const tracked of this.#checks.values()) {
      if (tracked.state !== "down") continue;
      for (const request of tracked.requests) {
        if (isAsked(request, since)) found.push([request, tracked, isPlanned(request)]);
      }
    }
    found.sort(([a, one, isPlanned], [b, other, isOtherPlanned]) =>
      Number(isPlanned) - Number(isOtherPlanned) || other.since - one.since || byIdentity(a, b)
    );
    const checks = found.slice(0, most).map(([request, tracked]) => summaryOf(request, tracked));
    return { checks, leftOut: found.length - checks.length };
  }

  /** Returns the last runs of these checks, as far as there are any. */
  latest(identities: readonly CheckIdentity[]): CheckSummary[] {
    const services = new Set(identities.map(({ service }) => service));
    const keys = new Set(identities.map(identityKey));
    return [...this.#checks.values()].flatMap((tracked) =>
      tracked.requests.filter((request) =>
        tracked.state !== null && services.has(request.service) && keys.has(identityKey(request))
      ).map((request) => summaryOf(request, tracked))
    );
  }

  /**
   * Returns the states of checks that balancers have asked for lately, those of failing services first.
   *
   * @param since Since when, in unix seconds.
   * @param most Of how many services at most.
   * @returns The states, and of how many services there are none.
   */
  states(
    since: number,
    most: number,
  ): { readonly states: CheckStatus[]; readonly servicesLeftOut: number } {
    const isFailing = new Map<string, boolean>();
    const all: [CheckRequest, Tracked][] = [];
    for (const tracked of this.#checks.values()) {
      for (const request of tracked.requests) {
        if (tracked.state === null || !isAsked(request, since)) continue;
        all.push([request, tracked]);
        const { service } = request;
        isFailing.set(service, (isFailing.get(service) ?? false) || tracked.state === "down");
      }
    }
    const names = [...isFailing].sort(([a, failsA], [b, failsB]) =>
      Number(failsB) - Number(failsA) || compare(a, b)
    );
    const shown = new Set(names.slice(0, most).map(([name]) => name));
    const states = all.filter(([{ service }]) => shown.has(service)).map(([request, tracked]) => {
      const { service, protocol, host, port, path } = request;
      const isUp = tracked.state === "up";
      return { service, protocol, host, port, path, isUp, at: lastOf(tracked)!.at };
    });
    return { states, servicesLeftOut: names.length - shown.size };
  }

  /**
   * Returns the checks of a service that balancers have asked for lately, those without a verdict included.
   *
   * @param service The name of the service.
   * @param since Since when, in unix seconds.
   */
  requests(service: string, since: number): CheckRequest[] {
    return [...this.#checks.values()].flatMap(({ requests }) => requests)
      .filter((request) => request.service === service && isAsked(request, since));
  }

  #add(key: string, request: CheckRequest): Tracked {
    if (this.#checks.size >= MAX_CHECKS) {
      const [oldest, { failures }] = this.#checks.entries().next().value!;
      if (failures.length > 0) this.#failing--;
      this.#checks.delete(oldest);
    }
    const tracked: Tracked = {
      ...{ requests: [request], state: null, since: 0, good: null, failures: NO_FAILURES },
    };
    this.#checks.set(key, tracked);
    return tracked;
  }

  /** Makes room for a failure: the oldest run is overwritten if there are as many as may be kept. */
  #addFailure(tracked: Tracked): Run {
    const { failures } = tracked;
    if (failures.length === 0) this.#failing++;
    const share = Math.floor(MAX_FAILURES / this.#failing);
    const most = Math.max(1, Math.min(MAX_FAILURES_PER_CHECK, share));
    if (failures.length === 1 && most === 1) return failures[0]!;
    const run = failures.length < most ? new Run() : failures[0]!;
    // Copied: an array that grows reserves memory for 16 more.
    tracked.failures = [...failures.slice(Math.max(0, failures.length - most + 1)), run];
    return run;
  }
}

/** The last run; undefined before the first. */
function lastOf({ state, good, failures }: Tracked): Run | undefined {
  return state === null ? undefined : state === "up" ? good! : failures.at(-1);
}

/** Replaces the older request of the same service: a balancer may ask by another path or header now. */
function remember(requests: CheckRequest[], request: CheckRequest): void {
  const known = requests.findIndex(({ service }) => service === request.service);
  if (known >= 0) requests[known] = request;
  else if (requests.push(request) > MAX_SERVICES_PER_CHECK) requests.shift();
}

/** Whether a client sent so much that thousands of such checks would fill the memory. */
function isTooLong({ path, headers }: CheckRequest): boolean {
  let length = path.length;
  for (const [name, value] of headers) length += name.length + value.length;
  return length > MAX_REQUEST_KEPT;
}

function isAsked({ askedAt = Infinity }: CheckRequest, since: number): boolean {
  return askedAt >= since;
}

/** Returns the first line, up to {@linkcode MAX_MESSAGE_KEPT} characters: the known string if it is the same. */
function firstLine(message: string, known: string | undefined): string {
  const end = message.search(/[\r\n]/);
  const length = Math.min(end < 0 ? message.length : end, MAX_MESSAGE_KEPT);
  const line = message.slice(0, length);
  if (line === known) return known;
  // A part of a string keeps the whole string in memory: the copy does not.
  return length === message.length ? message : JSON.parse(JSON.stringify(line));
}

function reportOf(request: CheckRequest, tracked: Tracked): CheckReport {
  const { service, protocol, host, port, path } = request;
  const { state, since, good, failures } = tracked;
  return {
    ...{ service, protocol, host, port, path, state: state!, since },
    last: resultOf(request, lastOf(tracked)!),
    last_good: good === null ? null : resultOf(request, good),
    failures: failures.map((run) => resultOf(request, run)).reverse(),
  };
}

function summaryOf(request: CheckRequest, tracked: Tracked): CheckSummary {
  const { service, protocol, host, port, path } = request;
  const { at, code, reason, message } = lastOf(tracked)!;
  return {
    ...{ service, protocol, host, port, path, state: tracked.state!, since: tracked.since },
    ...{ at, asked: request.askedAt ?? at, code, reason, message },
  };
}

function identityKey({ service, protocol, host, port, path }: CheckIdentity): string {
  return JSON.stringify([service, protocol, host, port, path]);
}

function resultOf({ host, port }: CheckRequest, run: Run): CheckResult {
  const { at, code, reason, message } = run;
  return {
    ...{ at, code, reason, message, address: hostPort(host, port) },
    milliseconds: millisecondsOf(run),
  };
}

function millisecondsOf(run: Run): Milliseconds {
  return {
    queue: rounded(run.queuedMs)!,
    connect: rounded(run.connectMs),
    tls: rounded(run.tlsMs),
    first_byte: rounded(run.firstByteMs),
    rest: rounded(run.restMs),
    total: rounded(run.totalMs)!,
  };
}

/**
 * Reports the phases of a run.
 *
 * @param verdict Its verdict.
 * @param queuedMs How long the check was queued, in milliseconds.
 * @param totalMs How long it took, its time in the queue included, in milliseconds.
 */
export function milliseconds(verdict: Verdict, queuedMs: number, totalMs: number): Milliseconds {
  const run = new Run();
  run.write(verdict, queuedMs, totalMs, NaN);
  return millisecondsOf(run);
}

/** Rounds to microseconds; null for NaN. */
function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Math.round(value * 1000) / 1000;
}

/** Merges the reports of all workers: the newest run of a check decides. */
export function mergeReports(workers: readonly (readonly CheckReport[])[]): CheckReport[] {
  const merged = new Map<string, CheckReport>();
  for (const report of workers.flat()) {
    const identity = identityKey(report);
    const known = merged.get(identity);
    merged.set(identity, known === undefined ? report : both(known, report));
  }
  return [...merged.values()];
}

function both(one: CheckReport, other: CheckReport): CheckReport {
  const [older, newer] = one.last.at <= other.last.at ? [one, other] : [other, one];
  return {
    ...newer,
    since: older.state === newer.state ? Math.min(older.since, newer.since) : newer.since,
    last_good: (older.last_good?.at ?? 0) > (newer.last_good?.at ?? 0)
      ? older.last_good
      : newer.last_good,
    failures: [...older.failures, ...newer.failures].sort((a, b) => b.at - a.at)
      .slice(0, MAX_FAILURES_PER_CHECK),
  };
}

/** Merges the last runs by all workers: the newest run of a check decides. */
export function mergeSummaries(summaries: readonly CheckSummary[]): CheckSummary[] {
  const merged = new Map<string, CheckSummary>();
  for (const summary of summaries) {
    const key = identityKey(summary);
    const known = merged.get(key) ?? summary;
    const [older, newer] = known.at <= summary.at ? [known, summary] : [summary, known];
    merged.set(key, {
      ...newer,
      since: older.state === newer.state ? Math.min(older.since, newer.since) : newer.since,
      asked: Math.max(older.asked, newer.asked),
    });
  }
  return [...merged.values()];
}

/** Sorts reports: failing checks first, then by service, port, protocol and path. */
export function failingChecksFirst(reports: readonly CheckReport[]): CheckReport[] {
  return reports.toSorted((a, b) =>
    Number(a.state === "up") - Number(b.state === "up") || byIdentity(a, b)
  );
}

/** Compares checks by service, port, protocol and path. */
export function byIdentity(a: CheckIdentity, b: CheckIdentity): number {
  return compare(a.service, b.service) || a.port - b.port || compare(a.protocol, b.protocol) ||
    compare(a.path, b.path);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
