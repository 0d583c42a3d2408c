/**
 * Requests in, responses out.
 *
 * @module
 */

import type { CheckRequest, Header, Verdict } from "../check.ts";
import { type Pipeline, SPOOL_PROTOCOL } from "../pipeline.ts";
import type { Stats } from "../stats.ts";
import { type CheckPath, parseCheckPath, pathOf } from "./path.ts";
import { notAllowed, text } from "./responses.ts";
import { changeSpool, type SpoolChanges } from "./spool_changes.ts";
import { statusPage, type StatusSources } from "./status_pages.ts";
import { targetOf } from "./target.ts";

/** What a router works with. */
export interface RouterOptions extends StatusSources {
  /** What answers checks. */
  readonly pipeline: Pipeline;
  /** Who asked for what. */
  readonly stats: Stats;
  /** The names of the headers that are passed on to services. */
  readonly headersToCopy: readonly string[];
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
export function clientOf({ remoteAddr: { hostname } }: RequestInfo): string {
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
  const { pipeline, stats, own, headersToCopy, spoolChanges } = options;

  function check(request: Request, path: CheckPath, client: string): Response | Promise<Response> {
    const { headers } = request;
    const target = targetOf(headers, path.port, own);
    if (typeof target === "string") return text(400, target);
    const now = Date.now() / 1000;
    stats.asked(path.protocol, path.service, client, now);
    const verdict = pipeline.check(
      checkRequest(path, target.host, target.port, headers),
      wantsFresh(headers),
    );
    return verdict instanceof Promise
      ? verdict.then((verdict) => answer(path.service, client, verdict, Date.now() / 1000))
      : answer(path.service, client, verdict, now);
  }

  function checkRequest(
    path: CheckPath,
    host: string,
    port: number,
    headers: Headers,
  ): CheckRequest {
    const copied: Header[] = [];
    for (const name of headersToCopy) {
      const value = headers.get(name);
      if (value !== null && value !== "") copied.push([name, value]);
    }
    return {
      protocol: path.protocol,
      service: path.service,
      host,
      port,
      path: path.path,
      headers: copied,
    };
  }

  function answer(service: string, client: string, verdict: Verdict, now: number): Response {
    stats.answered(service, { code: verdict.code, remote_ip: client, ts: now });
    return responseOf(verdict);
  }

  return (request, info) => {
    const path = pathOf(request.url);
    const client = clientOf(info);
    const checked = parseCheckPath(path);
    if (checked === undefined || !pipeline.knows(checked.protocol)) {
      return statusPage(request, path, client, options) ?? text(404, NOT_FOUND);
    }
    if (CHECK_METHODS.has(request.method)) return check(request, checked, client);
    if (checked.protocol !== SPOOL_PROTOCOL) return notAllowed("GET, HEAD, OPTIONS");
    if (request.method !== "POST") return notAllowed("GET, HEAD, OPTIONS, POST");
    if (spoolChanges === null) return text(403, "remote spool changes are not enabled");
    return changeSpool(request, checked, spoolChanges);
  };
}

const NOT_FOUND =
  "Not found: expected /<protocol>/<service>/<port>/<query>, /status, /status/count or /recent";

function wantsFresh(headers: Headers): boolean {
  return isNoCache(headers.get("pragma")) || isNoCache(headers.get("cache-control"));
}

function isNoCache(value: string | null): boolean {
  return value !== null && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(value);
}

/** The statuses whose responses have no body. */
const BODILESS = new Set([204, 205, 304]);

function responseOf({ code, message }: Verdict): Response {
  return new Response(BODILESS.has(code) ? null : message, { status: code });
}
