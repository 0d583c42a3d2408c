import type { CheckRequest, Verdict } from "../checks/check.ts";
import { type Pipeline, SPOOL_PROTOCOL } from "../checks/pipeline.ts";
import {
  type Counters,
  countersOf,
  countResponse,
  type ProtocolCounters,
} from "../metrics/counters.ts";
import type { ServiceRecorder, Stats } from "../metrics/stats.ts";
import type { Header } from "../net/http_client.ts";
import { PageCache } from "./page_cache.ts";
import type { CheckPath } from "./path.ts";
import type { Refusals } from "./refusals.ts";
import { HeaderReader, type HeaderSource } from "./request_headers.ts";
import { createResponder, notAllowed, text } from "./responses.ts";
import { type Route, Routes } from "./routes.ts";
import { changeSpool, type SpoolChanges } from "./spool_changes.ts";
import { statusPage, type StatusSources } from "./status_pages.ts";
import { type Target, targetOf, type TargetResult } from "./target.ts";
import type { TargetPolicy } from "./target_policy.ts";

/** What a router works with. */
export interface RouterOptions extends Omit<StatusSources, "cache"> {
  /** Runs checks. */
  readonly pipeline: Pipeline;
  /** Records which client requested which service. */
  readonly stats: Stats;
  /** Counts requests and responses. */
  readonly counters: Pick<Counters, "protocols">;
  /** Decides which targets may be checked. */
  readonly targets: TargetPolicy;
  /** Counts and logs refusals. */
  readonly refusals: Refusals;
  /** The names of the headers that are forwarded to services. */
  readonly headersToCopy: readonly string[];
  /** Looks up headers; a new one by default. */
  readonly headers?: HeaderReader;
  /** The parsed URLs; new ones by default. */
  readonly routes?: Routes;
  /** How POST changes the spool; null if it may not. */
  readonly spoolChanges: SpoolChanges | null;
}

/** The connection of a request. */
export interface RequestInfo {
  /** The client's address. */
  readonly remoteAddr: { readonly hostname: string };
}

/**
 * Returns the client's address. A dual-stack socket reports IPv4 as `::ffff:10.0.0.1`.
 *
 * @param info The connection.
 */
export function clientAddress({ remoteAddr: { hostname } }: RequestInfo): string {
  return hostname.startsWith("::ffff:") ? hostname.slice("::ffff:".length) : hostname;
}

/** Responds to a request, at once if nothing has to be waited for. */
export type Router = (request: Request, info: RequestInfo) => Response | Promise<Response>;

const CHECK_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

const BAD_HOST = "Bad Host: expected a name or an address, with or without a port";

const NOT_FOUND =
  "Not found: expected /<protocol>/<service>/<port>/<query>, /status, /status/count, /recent or /metrics";

/**
 * Creates the function that responds to every request.
 *
 * @param options What to work with.
 * @returns A handler for `Deno.serve`. Tests call it without a port.
 */
export function createRouter(options: RouterOptions): Router {
  const { pipeline, stats, own, targets, refusals, headersToCopy, spoolChanges } = options;
  const { routes = new Routes(), headers: reader = new HeaderReader() } = options;
  const responseTo = createResponder();
  const sources: StatusSources = { ...options, cache: new PageCache() };
  let lastCopied: readonly Header[] = [];

  function check(headers: HeaderSource, route: Route, path: CheckPath, client: string) {
    const target = targetOf(headers, path.port, own);
    return target instanceof Promise
      ? target.then((target) => checkTarget(target, headers, route, path, client))
      : checkTarget(target, headers, route, path, client);
  }

  function checkTarget(
    target: TargetResult,
    headers: HeaderSource,
    route: Route,
    path: CheckPath,
    client: string,
  ) {
    const counters = countersOf(options.counters, path.protocol);
    if (typeof target === "string") return reject(counters, 400, target);
    const isOfService = path.protocol !== SPOOL_PROTOCOL;
    if (isOfService) {
      const refusal = targets.refusal(target);
      if (refusal !== undefined) {
        refusals.report("targets", client, refusal);
        return reject(counters, 403, refusal);
      }
    }
    // A check of the spool connects to nothing, but an invalid address has no records.
    if (target.host === null) return reject(counters, 400, target.problem);
    counters.requests++;
    const now = Date.now() / 1000;
    const recorder = stats.countRequest(path.service, client, now);
    const names = isOfService ? headersToCopy : [];
    const request = route.request(
      (request) =>
        request.port === target.port && request.host === target.host &&
        isCopy(request.headers, headers, names),
      () => pipeline.track(newRequest(path, target, headers, names, now)),
      now,
    );
    const verdict = pipeline.check(request, isOfService && bypassesCache(headers), client);
    if (!(verdict instanceof Promise)) return respond(counters, recorder, client, verdict, now);
    const start = performance.now();
    return verdict.then((verdict) => {
      const now = Date.now() / 1000;
      recorder.recordCheckTime(verdict.code, now, performance.now() - start);
      return respond(counters, recorder, client, verdict, now);
    });
  }

  function newRequest(
    { protocol, service, path }: CheckPath,
    { host, port }: Target,
    headers: HeaderSource,
    names: readonly string[],
    now: number,
  ): CheckRequest {
    // The headers of most checks are the same: thousands of copies would take megabytes.
    if (!isCopy(lastCopied, headers, names)) lastCopied = copyHeaders(headers, names);
    return { protocol, service, host, port, path, headers: lastCopied, askedAt: now };
  }

  function respond(
    counters: ProtocolCounters,
    recorder: ServiceRecorder,
    client: string,
    verdict: Verdict,
    now: number,
  ): Response {
    countResponse(counters, verdict.code);
    recorder.recordResponse(verdict.code, client, now);
    return responseTo(verdict);
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

/** Rejects a check. */
function reject(counters: ProtocolCounters, code: number, why: string): Response {
  countResponse(counters, code);
  return text(code, why);
}

function copyHeaders(headers: HeaderSource, names: readonly string[]): Header[] {
  return names.flatMap((name): Header[] => {
    const value = headers.get(name);
    return value ? [[name, value]] : [];
  });
}

/** Whether `copyHeaders` would return the same again. */
function isCopy(
  copied: readonly Header[],
  headers: HeaderSource,
  names: readonly string[],
): boolean {
  let i = 0;
  for (const name of names) {
    const value = headers.get(name);
    if (!value) continue;
    const header = copied[i++];
    if (header === undefined || header[0] !== name || header[1] !== value) return false;
  }
  return i === copied.length;
}

/** Deno joins `Host` and path to the URL, so a path in `Host` would hide the path of the request. */
function isForged(host: string | null): boolean {
  return host !== null && (host.includes("/") || host.includes("?"));
}

function bypassesCache(headers: HeaderSource): boolean {
  return isNoCache(headers.get("pragma")) || isNoCache(headers.get("cache-control"));
}

function isNoCache(value: string | null): boolean {
  return value !== null && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(value);
}
