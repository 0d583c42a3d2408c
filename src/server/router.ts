/**
 * Requests in, responses out.
 *
 * @module
 */

import type { CheckRequest, Verdict } from "../checks/check.ts";
import type { Header } from "../net/http_client.ts";
import {
  type Counters,
  countersOf,
  countResponse,
  type ProtocolCounters,
} from "../metrics/counters.ts";
import { type Pipeline, SPOOL_PROTOCOL } from "../checks/pipeline.ts";
import type { Refusals } from "./refusals.ts";
import type { ServiceRecorder, Stats } from "../metrics/stats.ts";
import type { CheckPath } from "./path.ts";
import { HeaderReader, type HeaderSource } from "./request_headers.ts";
import { PageCache } from "./page_cache.ts";
import { createResponder, notAllowed, text } from "./responses.ts";
import { anotherQuestion, type Route, Routes } from "./routes.ts";
import { changeSpool, type SpoolChanges } from "./spool_changes.ts";
import { statusPage, type StatusSources } from "./status_pages.ts";
import { type Target, targetOf, type TargetResult } from "./target.ts";
import type { TargetPolicy } from "./target_policy.ts";

/** What a router works with. */
export interface RouterOptions extends Omit<StatusSources, "cache"> {
  /** What answers checks. */
  readonly pipeline: Pipeline;
  /** Who asked for what. */
  readonly stats: Stats;
  /** Counts requests and responses. */
  readonly counters: Pick<Counters, "protocols">;
  /** What checks may connect to. */
  readonly targets: TargetPolicy;
  /** Where it is told who was refused. */
  readonly refusals: Refusals;
  /** The names of the headers that are passed on to services. */
  readonly headersToCopy: readonly string[];
  /** Looks up headers; a new one, if not given. */
  readonly headers?: HeaderReader;
  /** The URLs that were asked for; new ones, if not given. */
  readonly routes?: Routes;
  /** How POST changes the spool; null where it may not. */
  readonly spoolChanges: SpoolChanges | null;
}

/** What a router must know of the connection that a request came on. */
export interface RequestInfo {
  /** Who asks. */
  readonly remoteAddr: { readonly hostname: string };
}

/**
 * The address of who asks, as everybody writes it: on a socket for both, IPv4 comes as `::ffff:10.0.0.1`.
 *
 * @param info What is known of the connection.
 */
export function clientAddress({ remoteAddr: { hostname } }: RequestInfo): string {
  return hostname.startsWith("::ffff:") ? hostname.slice("::ffff:".length) : hostname;
}

/** Answers a request, at once where nothing is waited for. */
export type Router = (request: Request, info: RequestInfo) => Response | Promise<Response>;

const CHECK_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Makes the function that answers every request.
 *
 * @param options What to work with.
 * @returns A function that `Deno.serve` takes as handler, and that a test calls without a port.
 */
export function createRouter(options: RouterOptions): Router {
  const { pipeline, stats, own, targets, refusals, headersToCopy, spoolChanges } = options;
  const { routes = new Routes(), headers: reader = new HeaderReader() } = options;
  const responseOf = createResponder();
  const sources: StatusSources = { ...options, cache: new PageCache() };

  function check(headers: HeaderSource, route: Route, path: CheckPath, client: string) {
    const target = targetOf(headers, path.port, own);
    return target instanceof Promise
      ? target.then((target) => checkAt(target, headers, route, path, client))
      : checkAt(target, headers, route, path, client);
  }

  function checkAt(
    target: TargetResult,
    headers: HeaderSource,
    route: Route,
    path: CheckPath,
    client: string,
  ) {
    const counters = route.counters ??= countersOf(options.counters, path.protocol);
    if (typeof target === "string") return refused(counters, 400, target);
    const asksService = path.protocol !== SPOOL_PROTOCOL;
    if (asksService) {
      const refusal = targets.refusal(target);
      if (refusal !== undefined) {
        refusals.report("targets", client, refusal);
        return refused(counters, 403, refusal);
      }
    }
    // Nothing connects to it, but it has no records either.
    if (target.host === null) return refused(counters, 400, target.fault);
    counters.requests++;
    const now = Date.now() / 1000;
    const recorder = stats.countRequest(path.service, client, now);
    const question = questionOf(
      route,
      path,
      target,
      headers,
      asksService ? headersToCopy : [],
      now,
    );
    const fresh = asksService && wantsFresh(headers);
    const verdict = pipeline.check(question, fresh, client);
    if (!(verdict instanceof Promise)) return answer(counters, recorder, client, verdict, now);
    const began = performance.now();
    return verdict.then((verdict) => {
      const now = Date.now() / 1000;
      recorder.recordCheckTime(verdict.code, now, performance.now() - began);
      return answer(counters, recorder, client, verdict, now);
    });
  }

  /** The same object for the same question: the pipeline knows it again. */
  function questionOf(
    route: Route,
    { protocol, service, path }: CheckPath,
    { host, port }: Target,
    headers: HeaderSource,
    names: readonly string[],
    now: number,
  ): CheckRequest {
    const { question } = route;
    const isSame = (question: CheckRequest) =>
      question.port === port && question.host === host && agree(question.headers, headers, names);
    if (question !== undefined) {
      if (isSame(question)) {
        route.askedAt = now;
        return question;
      }
      const known = anotherQuestion(route, isSame);
      route.askedAt = now;
      if (known !== undefined) return route.question = known;
    }
    route.askedAt = now;
    const copied: Header[] = [];
    for (const name of names) {
      const value = headers.get(name);
      if (value) copied.push([name, value]);
    }
    return route.question = { protocol, service, host, port, path, headers: copied };
  }

  function answer(
    counters: ProtocolCounters,
    recorder: ServiceRecorder,
    client: string,
    verdict: Verdict,
    now: number,
  ): Response {
    countResponse(counters, verdict.code);
    recorder.recordResponse(verdict.code, client, now);
    return responseOf(verdict);
  }

  return (request, info) => {
    const headers = reader.of(request);
    if (isForged(headers.get("host"))) return text(400, BAD_HOST);
    const route = routes.of(request.url);
    const client = clientAddress(info);
    const path = route.check;
    if (path === undefined || !pipeline.supports(path.protocol)) {
      const page = statusPage(request, route.path, client, sources);
      if (!(page instanceof Promise)) return page ?? text(404, NOT_FOUND);
      return page.then((page) => page ?? text(404, NOT_FOUND));
    }
    if (CHECK_METHODS.has(request.method)) return check(headers, route, path, client);
    if (path.protocol !== SPOOL_PROTOCOL) return notAllowed("GET, HEAD, OPTIONS");
    if (request.method !== "POST") return notAllowed("GET, HEAD, OPTIONS, POST");
    if (spoolChanges === null) return text(403, "remote spool changes are not enabled");
    return changeSpool(request, path, client, spoolChanges);
  };
}

/** The answer to a check that is not to be made. */
function refused(counters: ProtocolCounters, code: number, why: string): Response {
  countResponse(counters, code);
  return text(code, why);
}

/** Tells whether the headers to copy are those that were copied before. */
function agree(
  copied: readonly Header[],
  headers: HeaderSource,
  names: readonly string[],
): boolean {
  let i = 0;
  for (const name of names) {
    const value = headers.get(name);
    if (!value) continue;
    const before = copied[i++];
    if (before === undefined || before[0] !== name || before[1] !== value) return false;
  }
  return i === copied.length;
}

/** A URL is a Host header and a target: with a path in the first, it asks for something else than the second. */
function isForged(host: string | null): boolean {
  return host !== null && (host.includes("/") || host.includes("?"));
}

const BAD_HOST = "Bad Host: expected a name or an address, with or without a port";

const NOT_FOUND =
  "Not found: expected /<protocol>/<service>/<port>/<query>, /status, /status/count, /recent or /metrics";

function wantsFresh(headers: HeaderSource): boolean {
  return isNoCache(headers.get("pragma")) || isNoCache(headers.get("cache-control"));
}

function isNoCache(value: string | null): boolean {
  return value !== null && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(value);
}
