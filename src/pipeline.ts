/**
 * One check from question to verdict: the spool, the cache, the service.
 *
 * @module
 */

import { STATUS_TEXT } from "@std/http/status";
import { type CacheCounters, type CacheFailures, Recipients, ResultCache } from "./cache.ts";
import type { CheckRequest, Protocol, Verdict } from "./check.ts";
import { Deadlines } from "./deadlines.ts";
import type { FaultCounts } from "./faults.ts";
import { Limiter, QueueFullError } from "./limiter.ts";
import type { Log } from "./log.ts";
import type { Durations } from "./metrics/durations.ts";
import type { SpoolIndex } from "./spool/index.ts";

/** How many checks may wait for a place; one more is answered 503 at once. */
export const MAX_QUEUED = 10_000;

/** How long a checker may take to heed its deadline, in milliseconds. */
const GRACE_MS = 1000;

/** What a {@linkcode Pipeline} works with. */
export interface PipelineOptions {
  /** What is marked down. */
  readonly spool: Pick<SpoolIndex, "find">;
  /** Whether every check asks for that, and not only those of the spool itself; they do, if not given. */
  readonly spoolInChecks?: boolean;
  /** How services are checked, by the protocol's name. */
  readonly protocols: ReadonlyMap<string, Protocol>;
  /** For how many seconds a result may be reused. */
  readonly cacheTime: number;
  /** How often a client is given a cached failure; once, if not given. */
  readonly cacheFailures?: CacheFailures;
  /** How many seconds one check may take, its wait for a place included. */
  readonly timeout: number;
  /** How many checks may be under way at once. */
  readonly maxClients: number;
  /** Where a checker's own faults are told. */
  readonly log: Log;
  /** Where they are counted. */
  readonly faults: FaultCounts;
  /** Where it is counted how long services were asked. */
  readonly durations: Durations;
  /** Where the cache counts. */
  readonly cacheCounters: CacheCounters;
}

const UP: Verdict = { code: 200, message: "" };

/** The protocol that asks the spool and nothing else. */
export const SPOOL_PROTOCOL = "spool";

/** A check of a service that is in flight, with the clients that will be given its verdict. */
interface Run {
  readonly verdict: Promise<Verdict>;
  readonly recipients: Recipients;
}

/** Answers checks. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #spoolInChecks: boolean;
  readonly #limiter: Limiter;
  readonly #deadlines: Deadlines;
  readonly #graces = new Deadlines(GRACE_MS);
  readonly #running = new Map<string, Run>();
  /**
   * What tells each question from others. Balancers repeat themselves, and the router hands the same object
   * in: to find its key takes 0.05 µs, to put it together and hash it 0.4 µs.
   */
  readonly #keys = new WeakMap<CheckRequest, string>();

  /** The results that may be reused. */
  readonly cache: ResultCache;

  /** @param options What to work with. */
  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#spoolInChecks = options.spoolInChecks ?? true;
    this.#limiter = new Limiter(options.maxClients, MAX_QUEUED);
    this.#deadlines = new Deadlines(options.timeout * 1000);
    this.cache = new ResultCache(
      options.cacheTime * 1000,
      options.cacheCounters,
      options.cacheFailures,
    );
  }

  /** How many checks of services are under way. */
  get underWay(): number {
    return this.#limiter.taken;
  }

  /** How many checks wait for a place. */
  get queued(): number {
    return this.#limiter.waiting;
  }

  /**
   * Tells whether a protocol can be checked.
   *
   * @param protocol The name a URL begins with.
   */
  knows(protocol: string): boolean {
    return protocol === SPOOL_PROTOCOL || this.#options.protocols.has(protocol);
  }

  /**
   * Answers one check. What is known already is answered at once, without a promise.
   *
   * @param request What is asked, by a protocol that {@linkcode knows} tells of.
   * @param fresh Ask the service anew, whatever is in the cache or under way.
   * @param client The address of the client that asks. It is given a cached failure once.
   * @returns The verdict. Its code is one that an HTTP response can carry.
   */
  check(request: CheckRequest, fresh: boolean, client: string): Verdict | Promise<Verdict> {
    const down = this.#down(request);
    if (down !== undefined) return down;
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol === undefined) return UP;
    if (request.port === 0) return NO_PORT;

    let key = this.#keys.get(request);
    if (key === undefined) this.#keys.set(request, key = keyOf(request, protocol));
    if (!fresh) {
      const known = this.cache.get(key, client, performance.now());
      if (known !== undefined) return known;
    }
    const run = fresh ? undefined : this.#shared(key, client);
    return this.#checked(request, run ?? this.#start(key, protocol, request, fresh, client));
  }

  /**
   * Asks a service, whatever the spool and the cache say. A run that is under way is shared.
   *
   * @param request The check, of a protocol that asks a service.
   * @param client The address of the client that asks.
   */
  async probe(request: CheckRequest, client: string): Promise<Verdict> {
    const protocol = this.#options.protocols.get(request.protocol);
    if (protocol === undefined) return UP;
    if (request.port === 0) return NO_PORT;
    const key = keyOf(request, protocol);
    return await (this.#shared(key, client) ?? this.#start(key, protocol, request, false, client));
  }

  /** Whoever was marked down while the service was asked is down, whatever the service said. */
  async #checked(request: CheckRequest, run: Promise<Verdict>): Promise<Verdict> {
    const verdict = await run;
    return this.#down(request) ?? verdict;
  }

  /** What the spool says, where that is asked for. */
  #down({ protocol, service, port, host }: CheckRequest): Verdict | undefined {
    if (!this.#spoolInChecks && protocol !== SPOOL_PROTOCOL) return undefined;
    return this.#options.spool.find(service, port, host)?.verdict;
  }

  /** The verdict of the same check that is in flight, if there is one. */
  #shared(key: string, client: string): Promise<Verdict> | undefined {
    const run = this.#running.get(key);
    run?.recipients.add(client);
    return run?.verdict;
  }

  /** Asks the service; one that is not fresh is shared with all who ask the same meanwhile. */
  #start(
    key: string,
    protocol: Protocol,
    request: CheckRequest,
    fresh: boolean,
    client: string,
  ): Promise<Verdict> {
    const recipients = new Recipients();
    recipients.add(client);
    const verdict = this.#run(key, protocol, request, fresh, recipients);
    if (!fresh) this.#running.set(key, { verdict, recipients });
    return verdict;
  }

  async #run(
    key: string,
    protocol: Protocol,
    request: CheckRequest,
    fresh: boolean,
    recipients: Recipients,
  ): Promise<Verdict> {
    const startedAt = performance.now();
    const verdict = await this.#ask(protocol, request);
    // Both at once: a client that asks in between would join this run again, and get its failure twice.
    if (!fresh) this.#running.delete(key);
    this.cache.set(key, verdict, recipients, startedAt, performance.now());
    return verdict;
  }

  /** Never rejects: what goes wrong here is down, not up. */
  async #ask(protocol: Protocol, request: CheckRequest): Promise<Verdict> {
    const { timeout, maxClients, log, faults, durations } = this.#options;
    const deadline = new AbortController();
    let grace: Disposable | undefined;
    let giveUp: ((why: Error) => void) | undefined;
    using _deadline = this.#deadlines.begin(() => {
      deadline.abort(new DOMException("the check took too long", "TimeoutError"));
      // A checker that does not heed its deadline must not keep its place for ever, or all wait for it.
      grace = this.#graces.begin(() => giveUp?.(new Error("it did not heed its deadline")));
    });
    let askedAt: number | undefined;
    try {
      const startedAt = performance.now();
      // Where there is a place, what is between is no wait for one, however busy the event loop is.
      const waits = this.#limiter.isFull;
      using _place = await this.#limiter.enter(deadline.signal);
      askedAt = performance.now();
      const waited = waits ? askedAt - startedAt : 0;
      const verdict = servable(
        await new Promise<Verdict>((resolve, reject) => {
          giveUp = reject;
          protocol.check(request, deadline.signal).then(resolve, reject);
        }),
      );
      // What the service sent in time is passed on as it is, even if the deadline passed meanwhile.
      const isLate = deadline.signal.aborted && verdict.code === LATE;
      return isLate && waited > TOLD_WAIT_MS ? late(verdict, waited) : verdict;
    } catch (error) {
      if (error instanceof QueueFullError) {
        return { code: 503, message: `Not checked: ${error.message}` };
      }
      if (askedAt === undefined && deadline.signal.aborted) {
        const seconds = timeout.toFixed(2);
        return {
          code: 503,
          message: `Not checked: timed out after ${seconds}s behind ${maxClients} other checks`,
        };
      }
      faults.checks++;
      log.error("{protocol} check of {service} failed by itself: {error}", {
        protocol: request.protocol,
        service: request.service,
        error,
      });
      return { code: 503, message: `The ${request.protocol} check failed by itself` };
    } finally {
      grace?.[Symbol.dispose]();
      if (askedAt !== undefined) {
        durations.took(request.protocol, (performance.now() - askedAt) / 1000);
      }
    }
  }
}

const NO_PORT: Verdict = {
  code: 400,
  message:
    "No port to connect to: expected one from 1 to 65535 in the path or in port= of X-Haproxy-Server-State",
};

/** The status of a check that timed out. */
const LATE = 503;

/** From which wait on, in milliseconds, who looks for why a check was late is told of it. */
const TOLD_WAIT_MS = 10;

/** A check that was late for want of a place must not be taken for a slow service. */
function late({ code, message }: Verdict, waited: number): Verdict {
  return { code, message: `${message}, and ${(waited / 1000).toFixed(2)}s waiting for a place` };
}

/** No part can hold a line feed: an HTTP request line and header cannot. */
function keyOf(request: CheckRequest, { shapedBy }: Protocol): string {
  let key = `${request.protocol}\n${request.host}\n${request.port}`;
  for (const part of shapedBy) {
    if (part !== "headers") {
      key += `\n${request[part]}`;
      continue;
    }
    for (const [name, value] of request.headers) key += `\n${name}: ${value}`;
    key += "\n";
  }
  return key;
}

/** A balancer is told the check's own code where it is a registered one that ends an exchange, else 503. */
function servable(verdict: Verdict): Verdict {
  if (typeof verdict.message !== "string") throw new TypeError("it came to no verdict");
  if (verdict.code >= 200 && Object.hasOwn(STATUS_TEXT, verdict.code)) return verdict;
  return { code: 503, message: verdict.message };
}
