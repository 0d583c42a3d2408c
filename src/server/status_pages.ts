import type { PermissionsInForce } from "../metrics/runtime.ts";
import type { WorkerStatus } from "./worker_queries.ts";
import { sumCounters, worstHealth } from "../metrics/aggregate.ts";
import type { Counters } from "../metrics/counters.ts";
import { CONTENT_TYPE, exposition } from "../metrics/exposition.ts";
import { platform } from "../metrics/runtime.ts";
import type { LastResponse, RecentService } from "../metrics/stats.ts";
import { isLoopback } from "../net/addresses.ts";
import type { SpoolIndex } from "../spool/index.ts";
import { VERSION } from "../runtime/version.ts";
import type { PageCache } from "./page_cache.ts";
import { json, notAllowed, SizedResponse, text } from "./responses.ts";
import {
  checksReport,
  SERVICE_PAGES,
  type ServiceSources,
  type StatusRequest,
} from "./service_pages.ts";

/** What the status pages work with. */
export interface StatusSources extends ServiceSources {
  /** The spool folder. */
  readonly spoolRoot: string;
  /** The records and weights. */
  readonly index: Pick<SpoolIndex, "activeEntries" | "find" | "version">;
  /** When the daemon started, by `performance.now()`. */
  readonly startedAt: number;
  /** The same in unix seconds. */
  readonly started: number;
  /** The daemon's permissions. */
  readonly permissions: PermissionsInForce;
  /** Keeps large pages. */
  readonly cache: PageCache;
  /** Whether there is a page for browsers. */
  readonly hasPage: boolean;
  /** Responds to requests for the page for browsers, its files, and the stream of changes. */
  readonly browserPage: (request: Request, path: string) => Promise<Response>;
}

/** The default of `/recent?threshold`, in seconds. */
const DEFAULT_THRESHOLD = 600;

/** The page for browsers and its files. With a query string they do not exist: it may contain a check. */
const BROWSER_PATHS = new Set(["/", "/events", "/page.css", "/page.js", "/page.svg"]);

/** The stream of changes. It is for programs, so it does not depend on the page. */
export const CHANGES_PATH = "/events?only=changes";

const NO_CHECK = "Not found: expected /<protocol>/<service>/<port>/<query>, " +
  "or for the page an Accept header that names text/html or application/json";

/**
 * Responds to a request for a status page.
 *
 * @param request The request.
 * @param path Its path and query string.
 * @param client The client's address.
 * @param sources What the pages work with.
 * @returns The response; undefined if there is no page at this path.
 */
export function statusPage(
  request: Request,
  path: string,
  client: string,
  sources: StatusSources,
): Response | Promise<Response | undefined> | undefined {
  const end = path.indexOf("?");
  const name = end < 0 ? path : path.slice(0, end);
  const page = PAGES.get(name) ?? SERVICE_PAGES.find(([prefix]) => name.startsWith(prefix))?.[1];
  const isBrowserPath = path === CHANGES_PATH || (sources.hasPage && BROWSER_PATHS.has(path));
  if (page === undefined && !isBrowserPath) return undefined;
  const { method, headers } = request;
  if (method !== "GET" && method !== "HEAD") return notAllowed("GET, HEAD");
  if (path === "/" && !namesPage(headers.get("accept"))) return text(404, NO_CHECK);
  if (page === undefined) return sources.browserPage(request, path);
  const query = new URLSearchParams(path.slice(name.length));
  return page(sources, { path, query, headers, client });
}

/**
 * Whether an `Accept` header names a type of the page. `*\/*` is not enough: HAProxy requests `/` if its
 * configuration forgot the path of a check, and 200 would be up.
 */
function namesPage(accept: string | null): boolean {
  return (accept ?? "").split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return (type === "text/html" || type === "application/json") &&
      !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
  });
}

type Page = (sources: StatusSources, request: StatusRequest) => Response | Promise<Response>;

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>([
  ["/status", async ({ queryWorkers, own, permissions, startedAt }) => {
    const workers = await queryWorkers("status", null);
    const { cache, spool, refused, faults, listeners } = statusOf(workers);
    return json({
      cache,
      uptime: (performance.now() - startedAt) / 1000,
      outbound_request_queue_size: workers.reduce((sum, { queued }) => sum + queued, 0),
      ...{ spool, refused, faults, permissions },
      own_addresses: own.report,
      listeners,
      version: VERSION,
    });
  }],
  ["/status/count", ({ queryWorkers, cache }) =>
    cache.get("/status/count", async () => {
      const counts = sumCounters(await queryWorkers("counts", null));
      return json({ service_access_counts: counts });
    })],
  ["/recent", ({ queryWorkers, cache }, { query }) => {
    const given = query.get("threshold") ?? String(DEFAULT_THRESHOLD);
    if (!/^\d{1,15}$/.test(given)) {
      const received = JSON.stringify(given.slice(0, 100));
      return text(400, `Bad threshold: expected a whole number of seconds: received ${received}`);
    }
    const threshold = Number(given);
    return cache.get(`/recent?threshold=${threshold}`, async () => {
      const recent = mergeRecent(await queryWorkers("recent", threshold));
      return json({ seen_services: recent, threshold_seconds: threshold });
    });
  }],
  // Each worker knows all entries.
  [
    "/status/downtimes",
    ({ index, cache }) =>
      cache.get("/status/downtimes", () => json(index.activeEntries), index.version),
  ],
  [
    "/status/checks",
    ({ queryWorkers, cache }) =>
      cache.get("/status/checks", async () => json(await checksReport({ queryWorkers }, null))),
  ],
  ["/status/history", ({ queryWorkers, started, cache }, { query }) => {
    const given = query.get("after") ?? "0";
    if (!/^\d{1,15}$/.test(given)) {
      const received = JSON.stringify(given.slice(0, 100));
      return text(400, `Bad after: expected the id of a change: received ${received}`);
    }
    const wanted = { after: Number(given), service: query.get("service") };
    return cache.get(`/status/history?${JSON.stringify(wanted)}`, async () => {
      const [changes] = await queryWorkers("history", wanted);
      return json({ started, changes });
    });
  }],
  ["/metrics", async ({ queryWorkers }) => {
    const body = exposition(await queryWorkers("metrics", null));
    return new SizedResponse(body, { headers: { "content-type": CONTENT_TYPE } });
  }],
  ["/debug/runtime", async ({ queryWorkers, spoolRoot }, { client }) => {
    if (!isLoopback(client)) return text(403, "Only for clients on this host");
    const workers = await queryWorkers("runtime", null);
    return json({ ...platform(spoolRoot), event_loops: workers });
  }],
]);

/** The part of the status that `/status` and the page for browsers share. */
export interface SharedStatus {
  readonly cache: Counters["cache"];
  readonly spool: WorkerStatus["spool"];
  readonly refused: Counters["refused"];
  readonly faults: Counters["errors"];
  readonly listeners: Counters["listeners"];
}

/**
 * Combines the status of all workers.
 *
 * @param workers The status of each worker.
 */
export function statusOf(workers: readonly WorkerStatus[]): SharedStatus {
  const { cache, refused, errors, listeners } = sumCounters(
    workers.map(({ counters }) => counters),
  );
  const spool = worstHealth(workers.map(({ spool }) => spool));
  return { cache, spool, refused, faults: errors, listeners };
}

function mergeRecent(workers: readonly RecentService[][]): RecentService[] {
  const merged = new Map<string, LastResponse | null>();
  for (const [service, last] of workers.flat()) {
    const known = merged.get(service) ?? null;
    const isNewer = known === null || (last !== null && last.ts > known.ts);
    merged.set(service, isNewer ? last : known);
  }
  return [...merged].sort(([a], [b]) => a < b ? -1 : 1);
}
