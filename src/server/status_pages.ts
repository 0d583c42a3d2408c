import type { Verdict } from "../checks/check.ts";
import { CONTENT_TYPE, exposition } from "../metrics/exposition.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import {
  mapAwaitable,
  type QueryWorkers,
  type WorkerQueries,
  type WorkerResults,
} from "./worker_queries.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import { platform } from "../metrics/runtime.ts";
import type { SpoolIndex } from "../spool/index.ts";
import type { Subject } from "../spool/names.ts";
import type { LastResponse, RecentService } from "../metrics/stats.ts";
import { sumCounters, worstHealth } from "../metrics/aggregate.ts";
import { VERSION } from "../version.ts";
import { parseCheckPath } from "./path.ts";
import { json, notAllowed, text } from "./responses.ts";
import type { Renderings } from "./renderings.ts";
import { sized } from "./sized_response.ts";
import {
  CHECKS_PAGE,
  checksPage,
  ENTRY_PAGE,
  entryPage,
  type ServiceSources,
} from "./service_pages.ts";
import { targetOf } from "./target.ts";

/** What the status pages tell of. */
export interface StatusSources extends ServiceSources {
  /** Asks all event loops. */
  readonly queryWorkers: QueryWorkers;
  /** For `/status/spool`: which addresses are this machine's. */
  readonly own: LocalAddresses;
  /** For `/debug/runtime`: the spool. */
  readonly spoolRoot: string;
  /** The records and weights. */
  readonly index: Pick<SpoolIndex, "activeEntries" | "version">;
  /** When the daemon was started, by `performance.now()`. */
  readonly startedAt: number;
  /** What the daemon may do. */
  readonly permissions: PermissionsInForce;
  /** Keeps large pages that were rendered just now. */
  readonly renderings: Renderings;
  /** WorkerResults who asks for the page to look at, or for what belongs to it. */
  readonly look: (request: Request, path: string) => Promise<Response>;
}

type Page = (
  sources: StatusSources,
  path: string,
  headers: Headers,
  client: string,
) => Response | Promise<Response | undefined> | undefined;

/** How far back `/recent` looks unless told otherwise, in seconds. */
const DEFAULT_THRESHOLD = 600;

const SPOOL_PAGE = "/status/spool/";

const WEIGHT_PAGE = "/status/weight/";

/** The page to look at, and what belongs to it. With a query string they are nobody's: one may hide a check. */
const LOOKED_AT = new Set(["/", "/events", "/page.css", "/page.js", "/page.svg"]);

/**
 * WorkerResults what is asked of the daemon itself.
 *
 * @param request The request.
 * @param path Its path and query string.
 * @param client The address of who asks.
 * @param sources What to tell of.
 * @returns The page, or undefined where there is none of this name.
 */
export function statusPage(
  request: Request,
  path: string,
  client: string,
  sources: StatusSources,
): Response | Promise<Response | undefined> | undefined {
  const query = path.indexOf("?");
  const name = query < 0 ? path : path.slice(0, query);
  const page = name.startsWith(SPOOL_PAGE)
    ? spoolPage
    : name.startsWith(WEIGHT_PAGE)
    ? weightPage
    : name.startsWith(ENTRY_PAGE)
    ? entryPage
    : name.startsWith(CHECKS_PAGE)
    ? checksPage
    : PAGES.get(name);
  if (page === undefined && !LOOKED_AT.has(path)) return undefined;
  if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("GET, HEAD");
  if (path === "/" && !namesPage(request.headers.get("accept"))) return text(404, NO_CHECK);
  if (page === undefined) return sources.look(request, path);
  return page(sources, path, request.headers, client);
}

const NO_CHECK = "Not found: expected /<protocol>/<service>/<port>/<query>, " +
  "or for the page an Accept header that names text/html or application/json";

/**
 * Whether an `Accept` header names a type of the page. `*\/*` is not enough: HAProxy asks for `/` where its
 * configuration forgot the path of a check, and 200 would mark the server up.
 */
function namesPage(accept: string | null): boolean {
  return (accept ?? "").split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return (type === "text/html" || type === "application/json") &&
      !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
  });
}

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>([
  [
    "/status",
    ({ queryWorkers, own, permissions, startedAt }) =>
      mapAwaitable(queryWorkers("status", null), (workers) => {
        const { cache, refused, errors, listeners } = sumCounters(
          workers.map(({ counters }) => counters),
        );
        return json({
          cache,
          uptime: (performance.now() - startedAt) / 1000,
          outbound_request_queue_size: workers.reduce((sum, { queued }) => sum + queued, 0),
          spool: worstHealth(workers.map(({ spool }) => spool)),
          refused,
          faults: errors,
          permissions,
          own_addresses: own.report,
          listeners,
          version: VERSION,
        });
      }),
  ],
  [
    "/status/count",
    ({ queryWorkers, renderings }) =>
      renderings.of("/status/count", () =>
        mapAwaitable(
          queryWorkers("counts", null),
          (loops) => json({ service_access_counts: mergedCounts(loops) }),
        )),
  ],
  ["/recent", ({ queryWorkers, renderings }, path) => {
    const query = path.indexOf("?");
    const given = query < 0 ? null : new URLSearchParams(path.slice(query)).get("threshold");
    const threshold = given === null ? DEFAULT_THRESHOLD : Number(given);
    if (given !== null && !/^\d{1,15}$/.test(given)) {
      const received = JSON.stringify(given.slice(0, 100));
      return text(400, `Bad threshold: expected a whole number of seconds: received ${received}`);
    }
    return renderings.of(`/recent?threshold=${threshold}`, () =>
      mapAwaitable(
        queryWorkers("recent", threshold),
        (loops) => json({ seen_services: mergedRecent(loops), threshold_seconds: threshold }),
      ));
  }],
  // Each worker knows all entries.
  [
    "/status/downtimes",
    ({ index, renderings }) =>
      renderings.of("/status/downtimes", () => json(index.activeEntries), index.version),
  ],
  ["/metrics", async ({ queryWorkers }) => metricsPage(await queryWorkers("metrics", null))],
  ["/debug/runtime", ({ queryWorkers, spoolRoot }, _path, _headers, client) => {
    if (client !== "::1" && !client.startsWith("127.")) {
      return text(403, "Only for clients on this host");
    }
    return mapAwaitable(
      queryWorkers("runtime", null),
      (loops) => json({ ...platform(spoolRoot), event_loops: loops }),
    );
  }],
]);

function metricsPage(loops: readonly WorkerResults["metrics"][]): Response {
  return sized(exposition(loops), { headers: { "content-type": CONTENT_TYPE } });
}

/**
 * `/status/spool/<service>/<port>`: what `/spool/<service>/<port>` answers, without being counted as a
 * check, and by every event loop. hactl asks it until the daemon says what the operator has just said.
 */
const spoolPage = pageOf("spool", (verdict) => verdict);

/**
 * `/status/weight/<service>/<port>`: the weight that agent checks are told, in per cent; `unknown` where the
 * spool does not tell it. hactl asks this page as it asks that of the spool.
 */
const weightPage = pageOf("weight", (weight) => ({
  code: 200,
  message: String(weight ?? "unknown"),
}));

/** A page that says of a service what all event loops say, once they say the same. */
function pageOf<Kind extends "spool" | "weight">(
  kind: Kind,
  verdictOf: (answer: WorkerResults[Kind]) => Verdict,
): (sources: StatusSources, path: string, headers: Headers) => ReturnType<Page> {
  return ({ queryWorkers, own }, path, headers) => {
    const asked = parseCheckPath(path.slice("/status".length));
    if (asked === undefined) return undefined;
    return mapAwaitable(targetOf(headers, asked.port, own), (target) => {
      if (typeof target === "string") return text(400, target);
      if (target.host === null) return text(400, target.fault);
      const subject: Subject = { service: asked.service, ...target };
      return mapAwaitable(queryWorkers(kind, subject as WorkerQueries[Kind]), (answers) => {
        const [first, ...others] = answers.map(verdictOf);
        const { code, message } = first!;
        const agree = others.every((other) => other.code === code && other.message === message);
        return agree ? text(code, message) : disagreed();
      });
    });
  };
}

function disagreed(): Response {
  return text(409, "The event loops do not say the same yet");
}

function mergedCounts(loops: readonly WorkerResults["counts"][]): WorkerResults["counts"] {
  const merged: WorkerResults["counts"] = Object.create(null);
  for (const counts of loops) {
    for (const [service, clients] of Object.entries(counts)) {
      const sums = merged[service] ??= Object.create(null) as Record<string, number>;
      for (const [client, count] of Object.entries(clients)) {
        sums[client] = (sums[client] ?? 0) + count;
      }
    }
  }
  return merged;
}

function mergedRecent(loops: readonly RecentService[][]): RecentService[] {
  const merged = new Map<string, LastResponse | null>();
  for (const [service, last] of loops.flat()) {
    const known = merged.get(service) ?? null;
    const isNewer = known === null || (last !== null && last.ts > known.ts);
    merged.set(service, isNewer ? last : known);
  }
  return [...merged].sort(([a], [b]) => a < b ? -1 : 1);
}
