import { escapeControls } from "../text/control_characters.ts";
import { type CheckSummary, mergeSummaries } from "../checks/outcomes.ts";
import type { QueryWorkers, WorkerOverview } from "../server/worker_queries.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import type { SpoolIndex } from "../spool/index.ts";
import { SizedResponse } from "../server/responses.ts";
import { CHANGES_PATH } from "../server/status_pages.ts";
import { accepts } from "../std/http_negotiation.ts";
import { ChangeStreams } from "./change_streams.ts";
import { EventStreams, MAX_STREAMS } from "./event_streams.ts";
import html from "./page.html" with { type: "text" };
import script from "./browser.js" with { type: "text" };
import style from "./page.css" with { type: "text" };
import icon from "./page.svg" with { type: "text" };
import {
  type Changing,
  downtimesReport,
  failingReport,
  MAX_DOWNTIMES_SHOWN,
  MAX_FAILING_SHOWN,
  MAX_SERVICES_SHOWN,
  statusReport,
} from "./report.ts";

/** What a {@linkcode Page} works with. */
export interface PageOptions {
  /** Returns the first entries in force. */
  readonly firstActiveEntries: SpoolIndex["firstActiveEntries"];
  /** Finds the record that keeps a check out. */
  readonly find: SpoolIndex["find"];
  /** Asks all workers. */
  readonly queryWorkers: QueryWorkers;
  /** When the daemon was started, by `performance.now()`. */
  readonly startedAt: number;
  /** The same in unix seconds. */
  readonly started: number;
  /** The daemon's permissions. */
  readonly permissions: PermissionsInForce;
  /** Returns whether the page may change the spool. */
  readonly changing: () => Changing;
}

/**
 * The headers of each response. The page runs its own script and style only, connects to no other site, cannot be
 * framed, and never turns text into markup.
 */
const HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A stream of events; undefined if too many are open. */
type Openable = ReadableStream<Uint8Array> | undefined;

/** The page's files, by path. */
const FILES: ReadonlyMap<string, readonly [type: string, content: string]> = new Map([
  ["/page.css", ["text/css", style]],
  ["/page.js", ["text/javascript", script]],
  ["/page.svg", ["image/svg+xml", icon]],
]);

/** The status page: the daemon's state and the downtimes, live. And the stream of changes. */
export class Page {
  readonly #options: PageOptions;
  readonly #streams: EventStreams;
  readonly #changes: ChangeStreams;

  /** @param options What to work with. */
  constructor(options: PageOptions) {
    this.#options = options;
    this.#changes = new ChangeStreams({
      started: options.started,
      changesAfter: async (after) => {
        const [changes = []] = await options.queryWorkers("history", { after, service: null });
        return changes;
      },
    });
    this.#streams = new EventStreams(async () => {
      const { downtimes, status } = await this.#report();
      // A browser would act on control characters, such as those that reverse the direction of text.
      const escaped = (_: string, value: unknown) =>
        typeof value === "string" ? escapeControls(value) : value;
      return {
        downtimes: JSON.stringify(downtimes, escaped),
        status: JSON.stringify(status, escaped),
      };
    });
  }

  /**
   * Responds to a request.
   *
   * @param request A GET or HEAD request.
   * @param path Its path: `/`, `/events`, that of a file or {@linkcode CHANGES_PATH}.
   */
  async respond(request: Request, path: string): Promise<Response> {
    const [type, content] = FILES.get(path) ?? [];
    if (type !== undefined) return new SizedResponse(content!, { headers: headersOf(type) });
    if (path === "/events") return this.#events(request, () => this.#streams.open());
    if (path === CHANGES_PATH) {
      return this.#events(request, () => this.#changes.open(request.headers.get("last-event-id")));
    }
    const headers = { vary: "accept" };
    if (accepts(request, "application/json", "text/html") === "text/html") {
      return new SizedResponse(html, { headers: { ...headersOf("text/html"), ...headers } });
    }
    const { downtimes, status } = await this.#report();
    return new SizedResponse(JSON.stringify({ ...downtimes, ...status }), {
      headers: { ...headersOf("application/json"), ...headers },
    });
  }

  /** Sends an update soon, since the spool has changed. */
  notify(): void {
    this.#streams.notify();
  }

  /** Ends the open streams. Browsers reconnect at once. */
  endStreams(): void {
    this.#streams.end();
    this.#changes.end();
  }

  /** Ends the open streams and opens no more. */
  close(): void {
    this.#streams.close();
    this.#changes.close();
  }

  async #events(
    { method }: Request,
    open: () => Openable | Promise<Openable>,
  ): Promise<Response> {
    const headers = headersOf("text/event-stream");
    if (method === "HEAD") return new Response(null, { headers });
    const stream = await open();
    if (stream !== undefined) return new SizedResponse(stream, { headers });
    return new Response(`Too many open event streams: at most ${MAX_STREAMS}`, {
      status: 503,
      headers: headersOf("text/plain"),
    });
  }

  async #report() {
    const { firstActiveEntries, find, queryWorkers, startedAt, permissions, changing } =
      this.#options;
    const workers = await queryWorkers("page", {
      services: MAX_SERVICES_SHOWN,
      checks: MAX_FAILING_SHOWN,
    });
    const latest = await this.#latest(workers);
    const now = Date.now() / 1000;
    const uptime = (performance.now() - startedAt) / 1000;
    const failing = failingReport(
      latest,
      ({ service, port, host }) => find(service, port, host)?.name ?? null,
      now,
    );
    const rest = { now, uptime, permissions, changing: changing(), failing };
    const { first, counts } = firstActiveEntries(MAX_DOWNTIMES_SHOWN);
    return { downtimes: downtimesReport(first, counts), status: statusReport(workers, rest) };
  }

  /** The last runs of the checks that fail. Another worker may know that one has recovered. */
  async #latest(workers: readonly WorkerOverview[]): Promise<readonly CheckSummary[]> {
    const failing = workers.flatMap((worker) => worker.failing);
    if (workers.length === 1 || failing.length === 0) return failing;
    return mergeSummaries((await this.#options.queryWorkers("latest", failing)).flat());
  }
}

function headersOf(type: string): Record<string, string> {
  return { "content-type": `${type}; charset=UTF-8`, ...HEADERS };
}
