/**
 * One check from question to verdict: the spool, the cache, the service.
 *
 * @module
 */

import type { Counters } from "../metrics/counters.ts";
import { STATUS_TEXT } from "../std/http_status.ts";
import { type CacheFailures, Recipients, ResultCache } from "./cache.ts";
import type { CheckRequest, Protocol, Verdict } from "./check.ts";
import { Deadlines } from "./deadlines.ts";
import { Limiter, type Place, QueueFullError } from "./limiter.ts";
import type { Log } from "../log.ts";
import type { Durations } from "../metrics/durations.ts";
import type { SpoolIndex } from "../spool/index.ts";

/** How many checks may be queued, those of one client at most half of them; one more is answered 503 at once. */
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
  /** How many checks may be in flight at once; of one service, and for one client, at most half of them. */
  readonly maxClients: number;
  /** Where a checker's own faults are told. */
  readonly log: Log;
  /** Where it is counted how long services were asked. */
  readonly durations: Durations;
  /** Counts lookups in the cache, and internal errors of checkers. */
  readonly counters: Pick<Counters, "cache" | "errors">;
}

const UP: Verdict = { code: 200, message: "" };

/** The protocol that asks the spool and nothing else. */
export const SPOOL_PROTOCOL = "spool";

/** What a client asks a service. */
interface Question {
  /** What tells it from others, but for the client. */
  readonly key: string;
  readonly protocol: Protocol;
  readonly request: CheckRequest;
  /** Whether the service is asked anew, whatever is known or in flight. */
  readonly fresh: boolean;
  readonly client: string;
}

/** The one asking of a service that a question leads to. */
interface Attempt {
  readonly question: Question;
  readonly place: Place;
  readonly deadline: Deadline;
  /** The clients that will be given the verdict. */
  readonly recipients: Recipients;
  /** For how many milliseconds it was queued. */
  readonly waited: number;
}

/** A check of a service that is in flight, shared by all who ask the same meanwhile. */
interface Run {
  readonly verdict: Promise<Verdict>;
  /** The clients that will be given the verdict. */
  readonly recipients: Recipients;
  /** For how many milliseconds it was queued. So much less time is left to the service. */
  readonly waited: number;
  /** When its time is over, by `performance.now()`. */
  readonly due: number;
}

/** The time that one check has, its wait in the queue included. To be disposed of when the check is over. */
class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #pending: Disposable;
  #grace: Disposable | undefined;
  /** Is called for a checker that does not settle soon after its deadline. */
  giveUp: ((why: Error) => void) | undefined;

  constructor(deadlines: Deadlines, graces: Deadlines) {
    this.#pending = deadlines.begin(() => {
      this.#controller.abort(new DOMException("the check took too long", "TimeoutError"));
      // Such a checker must not keep its place for ever, nor let those wait that it was to answer.
      this.#grace = graces.begin(() => this.giveUp?.(new Error("it did not heed its deadline")));
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  [Symbol.dispose](): void {
    this.#pending[Symbol.dispose]();
    this.#grace?.[Symbol.dispose]();
  }
}

/** Answers checks. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #spoolInChecks: boolean;
  readonly #timeoutMs: number;
  readonly #limiter: Limiter;
  readonly #deadlines: Deadlines;
  readonly #graces = new Deadlines(GRACE_MS);
  /** The checks in flight that others may share, by what tells them from others. */
  readonly #running = new Map<string, Run>();
  /** The queued checks, by their client and what tells them from others. */
  readonly #queued = new Map<string, Promise<Verdict>>();
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
    this.#timeoutMs = options.timeout * 1000;
    this.#deadlines = new Deadlines(this.#timeoutMs);
    this.cache = new ResultCache(
      options.cacheTime * 1000,
      options.counters.cache,
      options.cacheFailures,
    );
  }

  /** How many checks of services are under way. */
  get inFlight(): number {
    return this.#limiter.inFlight;
  }

  /** How many checks wait for a place. */
  get queued(): number {
    return this.#limiter.queued;
  }

  /**
   * Tells whether a protocol can be checked.
   *
   * @param protocol The name a URL begins with.
   */
  supports(protocol: string): boolean {
    return protocol === SPOOL_PROTOCOL || this.#options.protocols.has(protocol);
  }

  /**
   * Answers one check. What is known already is answered at once, without a promise.
   *
   * @param request What is asked, by a protocol that {@linkcode supports} tells of.
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
    return this.#checked(request, this.#ask({ key, protocol, request, fresh, client }));
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
    return await this.#ask({
      key: keyOf(request, protocol),
      protocol,
      request,
      fresh: false,
      client,
    });
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

  #deadline(): Deadline {
    return new Deadline(this.#deadlines, this.#graces);
  }

  /** Shares a check in flight, starts one, or queues. */
  #ask(question: Question): Promise<Verdict> {
    const { key, request, fresh, client } = question;
    const shared = fresh ? undefined : this.#shared(key, client, this.#timeoutMs);
    if (shared !== undefined) return shared;
    const place = this.#limiter.tryAcquire(serviceOf(request), client);
    if (place !== undefined) {
      return this.#start(question, place, this.#deadline(), performance.now(), 0);
    }
    if (fresh) return this.#queue(question);
    // A client queues once for the same check. It shares that with no other client, which may get a place
    // sooner and has more time left.
    const name = `${client}\n${key}`;
    let queued = this.#queued.get(name);
    if (queued === undefined) {
      queued = this.#queue(question).finally(() => this.#queued.delete(name));
      this.#queued.set(name, queued);
    }
    return queued;
  }

  /**
   * Shares a check in flight. One that was queued has less time for a slow service: it is shared only if it has
   * at least half of the time that a check of the client's own would have, which is `left`.
   */
  #shared(key: string, client: string, left: number): Promise<Verdict> | undefined {
    const run = this.#running.get(key);
    if (run === undefined) return undefined;
    if (run.waited > 0 && 2 * (run.due - performance.now()) < left) return undefined;
    run.recipients.add(client);
    return run.verdict;
  }

  /** Waits for a place, and then asks the service, unless another client's check tells meanwhile. */
  async #queue(question: Question): Promise<Verdict> {
    const { key, request, fresh, client } = question;
    const service = serviceOf(request);
    const queuedAt = performance.now();
    const deadline = this.#deadline();
    let place;
    try {
      place = await this.#limiter.acquire(service, client, deadline.signal);
    } catch (error) {
      deadline[Symbol.dispose]();
      if (error instanceof QueueFullError) return notChecked(error.message);
      const seconds = this.#options.timeout.toFixed(2);
      const why = this.#limiter.reason(service, client);
      return notChecked(`timed out after ${seconds}s in the queue: ${why}`);
    }
    const now = performance.now();
    const waited = now - queuedAt;
    const known = fresh ? undefined : this.cache.getSince(key, client, queuedAt, now) ??
      this.#shared(key, client, this.#timeoutMs - waited);
    if (known === undefined) return this.#start(question, place, deadline, queuedAt, waited);
    place[Symbol.dispose]();
    return await this.#inTime(known, deadline, waited);
  }

  /** Waits for another client's check, but not beyond a deadline. */
  async #inTime(
    known: Verdict | Promise<Verdict>,
    deadline: Deadline,
    waited: number,
  ): Promise<Verdict> {
    using _ = deadline;
    const { promise: over, resolve } = Promise.withResolvers<Verdict>();
    deadline.signal.addEventListener("abort", () => {
      const [all, queued] = [this.#options.timeout, waited / 1000].map((time) => time.toFixed(2));
      resolve(notChecked(`timed out after ${all}s, ${queued}s of them in the queue`));
    }, { once: true });
    return await Promise.race([known, over]);
  }

  /** Asks the service. All who ask the same meanwhile share that, unless it is to be asked anew. */
  #start(
    question: Question,
    place: Place,
    deadline: Deadline,
    startedAt: number,
    waited: number,
  ): Promise<Verdict> {
    const recipients = new Recipients(question.client);
    const verdict = this.#finish({ question, place, deadline, recipients, waited });
    if (!question.fresh) {
      const due = startedAt + this.#timeoutMs;
      this.#running.set(question.key, { verdict, recipients, waited, due });
    }
    return verdict;
  }

  /** Never rejects: what goes wrong here is down, not up. */
  async #finish(attempt: Attempt): Promise<Verdict> {
    const { question: { key, protocol, request }, place, deadline, recipients, waited } = attempt;
    const askedAt = performance.now();
    let verdict: Verdict;
    try {
      verdict = servable(
        await new Promise<Verdict>((resolve, reject) => {
          deadline.giveUp = reject;
          protocol.check(request, deadline.signal).then(resolve, reject);
        }),
      );
    } catch (error) {
      verdict = this.#failed(request, error);
    } finally {
      deadline[Symbol.dispose]();
      place[Symbol.dispose]();
    }
    const now = performance.now();
    this.#options.durations.observe(request.protocol, (now - askedAt) / 1000);
    // In the same step as the result is kept: a client that asks in between would share this run again, and
    // be given its failure twice.
    if (this.#running.get(key)?.recipients === recipients) this.#running.delete(key);
    // A check that was cut short because it was queued tells nothing of the service to other clients. What the
    // service sent in time is passed on as it is, even if the deadline passed meanwhile.
    const isLate = deadline.isOver && verdict.code === LATE;
    if (isLate && waited > TOLD_WAIT_MS) return late(verdict, waited);
    this.cache.set(key, verdict, recipients, askedAt, now);
    return verdict;
  }

  #failed({ protocol, service }: CheckRequest, error: unknown): Verdict {
    this.#options.counters.errors.checks++;
    this.#options.log.error("{protocol} check of {service} failed by itself: {error}", {
      protocol,
      service,
      error,
    });
    return { code: 503, message: `The ${protocol} check failed by itself` };
  }
}

/** A service that hangs does so by whatever name, path or protocol it is asked for. */
function serviceOf({ host, port }: CheckRequest): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function notChecked(why: string): Verdict {
  return { code: 503, message: `Not checked: ${why}` };
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

/** A balancer is told the check's own code where it is a registered one that ends an exchange, else 503. */
function servable(verdict: Verdict): Verdict {
  if (typeof verdict.message !== "string") throw new TypeError("it came to no verdict");
  if (verdict.code >= 200 && Object.hasOwn(STATUS_TEXT, verdict.code)) return verdict;
  return { code: 503, message: verdict.message };
}
