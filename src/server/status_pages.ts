import type { OwnAddresses } from "../own_addresses.ts";
import type { Pipeline } from "../pipeline.ts";
import type { SpoolView } from "../spool/view.ts";
import type { Stats } from "../stats.ts";
import { VERSION } from "../version.ts";
import { parseCheckPath } from "./path.ts";
import { json, notAllowed, text } from "./responses.ts";
import { targetOf } from "./target.ts";

/** What the status pages tell of. */
export interface StatusSources {
  /** For `/status`: cache and queue. */
  readonly pipeline: Pipeline;
  /** For `/status/count` and `/recent`. */
  readonly stats: Stats;
  /** For `/status` and `/status/spool`. */
  readonly spool: SpoolView;
  /** For `/status/spool`. */
  readonly own: OwnAddresses;
  /** When the daemon was started, in unix seconds. */
  readonly startedAt: number;
}

/** How far back `/recent` looks unless told otherwise, in seconds. */
const DEFAULT_THRESHOLD = 600;

const SPOOL_PAGE = "/status/spool";

/**
 * Answers what is asked of the daemon itself.
 *
 * @param request The request.
 * @param path Its path and query string.
 * @param sources What to tell of.
 * @returns The page, or undefined where there is none of this name.
 */
export function statusPage(
  request: Request,
  path: string,
  sources: StatusSources,
): Response | undefined {
  const query = path.indexOf("?");
  const name = query < 0 ? path : path.slice(0, query);
  const page = name.startsWith(`${SPOOL_PAGE}/`) ? spoolPage : PAGES.get(name);
  if (page === undefined) return undefined;
  if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("GET, HEAD");
  return page(sources, path, request.headers);
}

type Page = (sources: StatusSources, path: string, headers: Headers) => Response | undefined;

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>([
  ["/status", ({ pipeline, spool, startedAt }) => {
    const { expirations, sets, gets, hits, misses } = pipeline.cache.counters;
    return json({
      cache: { expirations, sets, gets, hits, misses },
      uptime: Date.now() / 1000 - startedAt,
      outbound_request_queue_size: pipeline.queued,
      spool: spool.health,
      version: VERSION,
    });
  }],
  ["/status/count", ({ stats }) => json({ service_access_counts: stats.counts() })],
  ["/recent", ({ stats }, path) => {
    const given = new URLSearchParams(path.slice(path.indexOf("?") + 1)).get("threshold");
    const threshold = given === null ? DEFAULT_THRESHOLD : Number(given);
    if (given !== null && !/^\d{1,15}$/.test(given)) {
      return text(
        400,
        `Bad threshold: expected a whole number of seconds: received ${
          JSON.stringify(given.slice(0, 100))
        }`,
      );
    }
    return json({
      seen_services: stats.recent(threshold, Date.now() / 1000),
      threshold_seconds: threshold,
    });
  }],
]);

/**
 * `/status/spool/<service>/<port>`: what `/spool/<service>/<port>` answers, without counting as a check.
 * hactl asks it until the daemon says what the operator has just said.
 */
function spoolPage(
  { spool, own }: StatusSources,
  path: string,
  headers: Headers,
): Response | undefined {
  const asked = parseCheckPath(path.slice("/status".length));
  if (asked === undefined) return undefined;
  const target = targetOf(headers, asked.port, own);
  if (typeof target === "string") return text(400, target);
  const down = spool.find(asked.service, target.port, target.host);
  return down === undefined ? text(200, "") : text(down.verdict.code, down.verdict.message);
}
