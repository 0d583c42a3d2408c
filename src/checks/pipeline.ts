/**
 * The way of one check: the spool, the cache, the service.
 *
 * @module
 */

import { type Clock, systemClock } from "../runtime/clock.ts";
import { type Counters, countersOf, countFailure, observeDuration } from "../metrics/counters.ts";
import { hostPort } from "../net/addresses.ts";
import { STATUS_TEXT } from "../std/http_status.ts";
import { type CacheFailures, Recipients, VerdictCache } from "./cache.ts";
import { type CheckRequest, isFailure, type Protocol, type Verdict } from "./check.ts";
import { Deadlines } from "./deadlines.ts";
import { Limiter, QueueFullError, type Slot } from "./limiter.ts";
import { Outcomes } from "./outcomes.ts";
import type { Log } from "../log/log.ts";
import type { SpoolIndex } from "../spool/index.ts";
import type { CheckSpan, CheckTracer } from "./traces.ts";

/** How many checks may be queued, those of one client at most half of them. The next one fails at once. */
export const MAX_QUEUED = 10_000;

/** How long after its deadline a checker may settle, in milliseconds. */
const GRACE_MS = 1000;

/** What a {@linkcode Pipeline} works with. */
export interface PipelineOptions {
  /** The downtimes. */
  readonly spool: Pick<SpoolIndex, "find">;
  /** Whether a downtime fails every check, and not only those of the spool itself (default: true). */
  readonly spoolInChecks?: boolean;
  /** The protocols that ask a service, by their names. */
  readonly protocols: ReadonlyMap<string, Protocol>;
  /** For how many seconds a verdict may be reused. */
  readonly cacheTime: number;
  /** How often a client is given a cached failure (default: once). */
  readonly cacheFailures?: CacheFailures;
  /** The timeout of one check in seconds, its time in the queue included. */
  readonly timeout: number;
  /** How many checks may be in flight at once; of one service, and for one client, at most half of them. */
  readonly maxClients: number;
  /** Logs internal errors of checkers. */
  readonly log: Log;
  /** Counts lookups in the cache, internal errors of checkers and durations of checks. */
  readonly counters: Pick<Counters, "cache" | "errors" | "protocols">;
  /** Keeps the last results of checks; a new one by default. */
  readonly outcomes?: Outcomes;
  /** Makes spans of checks; undefined if traces are off. */
  readonly tracer?: CheckTracer | undefined;
  /** The clock. */
  readonly clock?: Clock;
}

const UP: Verdict = { code: 200, message: "" };

/** The protocol that checks the spool alone. */
export const SPOOL_PROTOCOL = "spool";

/** A check that one client asks of a service. */
interface Check {
  /** Checks with the same key may share a verdict. */
  readonly key: string;
  readonly protocol: Protocol;
  readonly request: CheckRequest;
  /** Whether the service is asked again, whatever is cached or in flight. */
  readonly bypass: boolean;
  readonly client: string;
}

/** One call of a checker. */
interface Attempt {
  readonly check: Check;
  readonly slot: Slot;
  readonly deadline: Deadline;
  /** The clients that will be given the verdict. */
  readonly recipients: Recipients;
  /** For how many milliseconds the check was queued. */
  readonly queuedMs: number;
}

/** A check in flight that others may share. */
interface Run {
  readonly verdict: Promise<Verdict>;
  /** The clients that will be given the verdict. */
  readonly recipients: Recipients;
  /** For how many milliseconds the check was queued. The service has so much less time. */
  readonly queuedMs: number;
  /** Its deadline, by the clock. */
  readonly due: number;
}

/** A cached verdict. */
export interface CachedReport {
  /** When the check began, in unix seconds. */
  readonly at: number;
  /** The status code. */
  readonly code: number;
  /** For how many seconds it may still be reused. */
  readonly for_seconds: number;
}

/** The deadline of one check, its time in the queue included. To be disposed of when the check ends. */
class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #pending: Disposable;
  #grace: Disposable | undefined;
  /** Is called if the checker does not settle soon after the deadline. */
  giveUp: ((error: Error) => void) | undefined;

  constructor(deadlines: Deadlines, graces: Deadlines) {
    this.#pending = deadlines.begin(() => {
      this.#controller.abort(new DOMException("the check took too long", "TimeoutError"));
      // Such a checker must not keep its slot for ever, nor its clients waiting.
      this.#grace = graces.begin(() => {
        this.giveUp?.(
          new Error(`the checker did not settle within ${GRACE_MS} ms of its deadline`),
        );
      });
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasPassed(): boolean {
    return this.#controller.signal.aborted;
  }

  [Symbol.dispose](): void {
    this.#pending[Symbol.dispose]();
    this.#grace?.[Symbol.dispose]();
  }
}

/** Runs checks, at most a limited number at once. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #clock: Clock;
  readonly #outcomes: Outcomes;
  readonly #spoolInChecks: boolean;
  readonly #timeoutMs: number;
  readonly #limiter: Limiter;
  readonly #deadlines: Deadlines;
  readonly #graces: Deadlines;
  /** The checks in flight that others may share, by their keys. */
  readonly #running = new Map<string, Run>();
  /** The queued checks, by their clients and keys. */
  readonly #queued = new Map<string, Promise<Verdict>>();
  /** The keys of requests. Balancers repeat themselves, and the router passes the same object again. */
  readonly #keys = new WeakMap<CheckRequest, string>();

  /** The verdicts that may be reused. */
  readonly cache: VerdictCache;

  /** @param options What to work with. */
  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#outcomes = options.outcomes ?? new Outcomes();
    this.#spoolInChecks = options.spoolInChecks ?? true;
    this.#limiter = new Limiter(options.maxClients, MAX_QUEUED);
    this.#timeoutMs = options.timeout * 1000;
    this.#deadlines = new Deadlines(this.#timeoutMs, this.#clock);
    this.#graces = new Deadlines(GRACE_MS, this.#clock);
    this.cache = new VerdictCache(
      options.cacheTime * 1000,
      options.counters.cache,
      options.cacheFailures,
    );
  }

  /** How many checks of services are in flight. */
  get inFlight(): number {
    return this.#limiter.inFlight;
  }

  /** How many checks of services are queued. */
  get queued(): number {
    return this.#limiter.queued;
  }

  /**
   * Reports whether a protocol can be checked.
   *
   * @param protocol The name that a URL begins with.
   * @returns Whether there is such a protocol.
   */
  supports(protocol: string): boolean {
    return protocol === SPOOL_PROTOCOL || this.#options.protocols.has(protocol);
  }

  /**
   * Prepares for a check that a balancer asks for: its result will be kept, even if another service shares it.
   *
   * @param request The check.
   * @returns The same object, to be passed to {@linkcode check} each time.
   */
  track(request: CheckRequest): CheckRequest {
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol !== undefined && request.port !== 0) {
      const key = keyOf(request, protocol);
      this.#keys.set(request, key);
      this.#outcomes.track(key, request);
    }
    return request;
  }

  /**
   * Runs one check. A verdict that is known already is returned without a promise.
   *
   * @param request The check, by a protocol that {@linkcode supports} accepts.
   * @param bypass Whether to ask the service again, whatever is cached or in flight.
   * @param client The address of the client that asks. It is given a cached failure once.
   * @returns The verdict. Its code is one that an HTTP response can carry.
   */
  check(request: CheckRequest, bypass: boolean, client: string): Verdict | Promise<Verdict> {
    const down = this.#down(request);
    if (down !== undefined) return down;
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol === undefined) return UP;
    if (request.port === 0) return NO_PORT;

    let key = this.#keys.get(request);
    if (key === undefined) this.#keys.set(request, key = keyOf(request, protocol));
    if (!bypass) {
      const cached = this.cache.get(key, client, this.#clock.now());
      if (cached !== undefined) return cached;
    }
    return this.#unlessDown(request, this.#ask({ key, protocol, request, bypass, client }));
  }

  /**
   * Checks a service, whatever the spool and the cache say. A check in flight is shared.
   *
   * @param request The check, by a protocol that {@linkcode supports} accepts.
   * @param client The address of the client that asks.
   * @returns The verdict.
   */
  async probe(request: CheckRequest, client: string): Promise<Verdict> {
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol === undefined) return UP;
    if (request.port === 0) return NO_PORT;
    return await this.#ask({
      key: keyOf(request, protocol),
      protocol,
      request,
      bypass: false,
      client,
    });
  }

  /**
   * Reports the cached verdict of a check.
   *
   * @param request The check.
   * @returns When the check began, in unix seconds, its status code, and for how many seconds it may still be reused;
   * null if there is none.
   */
  cached(request: CheckRequest): CachedReport | null {
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol === undefined) return null;
    const now = this.#clock.now();
    const found = this.cache.peek(keyOf(request, protocol), now);
    if (found === undefined) return null;
    return {
      at: Date.now() / 1000 - (now - found.startedAt) / 1000,
      code: found.verdict.code,
      for_seconds: (found.expiresAt - now) / 1000,
    };
  }

  /** A downtime that began during the check wins over the service's verdict. */
  async #unlessDown(request: CheckRequest, run: Promise<Verdict>): Promise<Verdict> {
    const verdict = await run;
    return this.#down(request) ?? verdict;
  }

  /** The verdict of the downtime that holds for a check, if there is one. */
  #down({ protocol, service, port, host }: CheckRequest): Verdict | undefined {
    if (!this.#spoolInChecks && protocol !== SPOOL_PROTOCOL) return undefined;
    return this.#options.spool.find(service, port, host)?.verdict;
  }

  #deadline(): Deadline {
    return new Deadline(this.#deadlines, this.#graces);
  }

  /** Shares a check in flight, starts the check, or queues it. */
  #ask(check: Check): Promise<Verdict> {
    const { key, request, bypass, client } = check;
    const shared = bypass ? undefined : this.#shared(key, client, this.#timeoutMs);
    if (shared !== undefined) return shared;
    const slot = this.#limiter.tryAcquire(serviceOf(request), client);
    if (slot !== undefined) {
      return this.#start(check, slot, this.#deadline(), this.#clock.now(), 0);
    }
    if (bypass) return this.#queue(check);
    // A client queues once for the same check. It shares that with no other client, which may get a slot
    // sooner and has more time left.
    const name = `${client}\n${key}`;
    let queued = this.#queued.get(name);
    if (queued === undefined) {
      queued = this.#queue(check).finally(() => this.#queued.delete(name));
      this.#queued.set(name, queued);
    }
    return queued;
  }

  /**
   * Shares a check in flight. One that was queued has less time for a slow service: it is shared only if it has
   * at least half of `leftMs`, the time that the client's own check would have.
   */
  #shared(key: string, client: string, leftMs: number): Promise<Verdict> | undefined {
    const run = this.#running.get(key);
    if (run === undefined) return undefined;
    if (run.queuedMs > 0 && 2 * (run.due - this.#clock.now()) < leftMs) return undefined;
    run.recipients.add(client);
    return run.verdict;
  }

  /** Waits for a slot, and then starts the check, unless another client's check has its verdict by then. */
  async #queue(check: Check): Promise<Verdict> {
    const { key, request, bypass, client } = check;
    const service = serviceOf(request);
    const queuedAt = this.#clock.now();
    const deadline = this.#deadline();
    const fail = (why: string) => this.#notChecked(key, request, this.#clock.now() - queuedAt, why);
    let slot;
    try {
      slot = await this.#limiter.acquire(service, client, deadline.signal);
    } catch (error) {
      deadline[Symbol.dispose]();
      if (error instanceof QueueFullError) return fail(error.message);
      const reason = this.#limiter.reason(service, client);
      return fail(`timed out after ${seconds(this.#timeoutMs)} in the queue: ${reason}`);
    }
    const now = this.#clock.now();
    const queuedMs = now - queuedAt;
    const known = bypass ? undefined : this.cache.getSince(key, client, queuedAt, now) ??
      this.#shared(key, client, this.#timeoutMs - queuedMs);
    if (known === undefined) return this.#start(check, slot, deadline, queuedAt, queuedMs);
    slot[Symbol.dispose]();
    return await this.#inTime(known, deadline, queuedMs, fail);
  }

  /** Waits for another client's check, but not beyond a deadline. */
  async #inTime(
    known: Verdict | Promise<Verdict>,
    deadline: Deadline,
    queuedMs: number,
    fail: (why: string) => Verdict,
  ): Promise<Verdict> {
    using _ = deadline;
    const { promise: timedOut, resolve } = Promise.withResolvers<undefined>();
    deadline.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    const verdict = await Promise.race([known, timedOut]);
    if (verdict !== undefined) return verdict;
    // Not in the listener, where the asynchronous context of the request is not active.
    const [total, queued] = [this.#timeoutMs, queuedMs].map(seconds);
    return fail(`timed out after ${total}, ${queued} of it in the queue`);
  }

  /** Starts a check, and lets others share it, unless it bypasses the cache. */
  #start(
    check: Check,
    slot: Slot,
    deadline: Deadline,
    startedAt: number,
    queuedMs: number,
  ): Promise<Verdict> {
    const recipients = new Recipients(check.client);
    const verdict = this.#finish({ check, slot, deadline, recipients, queuedMs });
    if (!check.bypass) {
      const due = startedAt + this.#timeoutMs;
      this.#running.set(check.key, { verdict, recipients, queuedMs, due });
    }
    return verdict;
  }

  /** Calls the checker. Never rejects: an internal error is down, not up. */
  async #finish(attempt: Attempt): Promise<Verdict> {
    const { check: { key, protocol, request }, slot, deadline, recipients, queuedMs } = attempt;
    const askedAt = this.#clock.now();
    let span: CheckSpan | undefined;
    let verdict: Verdict;
    try {
      span = this.#options.tracer?.begin(request, queuedMs);
      verdict = servable(
        await new Promise<Verdict>((resolve, reject) => {
          deadline.giveUp = reject;
          const traced = span?.request ?? request;
          protocol.check(traced, deadline.signal).then(resolve, reject);
        }),
      );
    } catch (error) {
      verdict = this.#internalError(request, error);
    } finally {
      deadline[Symbol.dispose]();
      slot[Symbol.dispose]();
    }
    const now = this.#clock.now();
    const ranMs = now - askedAt;
    observeDuration(countersOf(this.#options.counters, request.protocol), ranMs / 1000);
    // In the same step as the verdict is cached: a client that asks in between would share this run again, and
    // be given its failure twice.
    if (this.#running.get(key)?.recipients === recipients) this.#running.delete(key);
    // The queue took time from this check, so its timeout is not cached for other clients. A response that
    // the service sent in time is, even if the deadline passed meanwhile.
    const isTimeout = deadline.hasPassed && verdict.code === TIMEOUT_CODE;
    const isShort = isTimeout && queuedMs > REPORTED_QUEUE_MS;
    if (isShort) verdict = afterQueue(verdict, queuedMs);
    else this.cache.set(key, verdict, recipients, askedAt, now);
    this.#record(key, request, verdict, queuedMs, queuedMs + ranMs);
    span?.end(verdict);
    return verdict;
  }

  #record(
    key: string,
    request: CheckRequest,
    verdict: Verdict,
    queuedMs: number,
    totalMs: number,
  ): void {
    this.#outcomes.record(key, request, verdict, queuedMs, totalMs, Date.now() / 1000);
    if (isFailure(verdict)) {
      countFailure(countersOf(this.#options.counters, request.protocol), verdict.reason);
    }
  }

  /** Returns the verdict of a check that did not get a slot in time. */
  #notChecked(key: string, request: CheckRequest, queuedMs: number, why: string): Verdict {
    const address = hostPort(request.host, request.port);
    const message = `Not checked at ${address}: ${why}`;
    const verdict: Verdict = { code: 503, message, reason: "limit" };
    this.#record(key, request, verdict, queuedMs, queuedMs);
    this.#options.tracer?.begin(request, queuedMs).end(verdict);
    return verdict;
  }

  #internalError({ protocol, service, host, port }: CheckRequest, error: unknown): Verdict {
    this.#options.counters.errors.checks++;
    this.#options.log.error("Internal error in the {protocol} check of {service}: {error}", {
      protocol,
      service,
      error,
    });
    const message = `Internal error in the ${protocol} check of ${hostPort(host, port)}`;
    return { code: 503, message, reason: "internal" };
  }
}

/** The limiter's name for a service: one that hangs does so under each of its names, paths and protocols. */
function serviceOf({ host, port }: CheckRequest): string {
  return hostPort(host, port);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)}s`;
}

const NO_PORT: Verdict = {
  code: 400,
  message:
    "No port to connect to: expected one from 1 to 65535 in the path or in port= of X-Haproxy-Server-State",
};

/** The code of a check that timed out. */
const TIMEOUT_CODE = 503;

/** From which time in the queue on, in milliseconds, the verdict of a timeout mentions it. */
const REPORTED_QUEUE_MS = 10;

/** A check that timed out for want of a slot must not look like a slow service. */
function afterQueue(verdict: Verdict, queuedMs: number): Verdict {
  return { ...verdict, message: `${verdict.message}, after ${seconds(queuedMs)} in the queue` };
}

/** The cache key. No part contains a line feed: an HTTP request line and header cannot. */
function keyOf(request: CheckRequest, { varyOn }: Protocol): string {
  let key = `${request.protocol}\n${request.host}\n${request.port}`;
  for (const part of varyOn) {
    if (part !== "headers") {
      key += `\n${request[part]}`;
      continue;
    }
    for (const [name, value] of request.headers) key += `\n${name}: ${value}`;
    key += "\n";
  }
  return key;
}

/** The verdict with its own code if that is a registered HTTP status that ends an exchange, else 503. */
function servable(verdict: Verdict): Verdict {
  if (typeof verdict.message !== "string") throw new TypeError("the checker returned no verdict");
  if (verdict.code >= 200 && Object.hasOwn(STATUS_TEXT, verdict.code)) return verdict;
  return { ...verdict, code: 503, reason: verdict.reason ?? "status" };
}
