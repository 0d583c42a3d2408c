import { escapeControls } from "../control_characters.ts";
import type { QueryWorkers } from "../daemon/worker_queries.ts";
import type { PermissionsInForce } from "../daemon/permissions.ts";
import type { SpoolWatcher } from "../spool/watcher.ts";
import { sized, SizedResponse } from "../server/sized_response.ts";
import { EventStreams } from "./event_streams.ts";
import { accepts } from "../std/http_negotiation.ts";
import html from "./page.html" with { type: "text" };
import script from "./browser.js" with { type: "text" };
import style from "./page.css" with { type: "text" };
import icon from "./page.svg" with { type: "text" };
import {
  type Changing,
  downtimesReport,
  MAX_DOWNTIMES_SHOWN,
  MAX_SERVICES_SHOWN,
  statusReport,
} from "./report.ts";

/** What a {@linkcode Page} works with. */
export interface PageOptions {
  /** Tells what an operator has said. */
  readonly firstActiveEntries: SpoolWatcher["firstActiveEntries"];
  /** Asks all event loops. */
  readonly queryWorkers: QueryWorkers;
  /** When the daemon was started, by `performance.now()`. */
  readonly startedAt: number;
  /** What the daemon may do. */
  readonly permissions: PermissionsInForce;
  /** Tells whether who looks may change the spool. */
  readonly changing: () => Changing;
}

/**
 * What goes with each answer. The page runs its own script and style, speaks to nobody else, is shown within
 * no other page, and makes no markup of text.
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

/** The files, by path. */
const FILES: ReadonlyMap<string, readonly [type: string, content: string]> = new Map([
  ["/page.css", ["text/css", style]],
  ["/page.js", ["text/javascript", script]],
  ["/page.svg", ["image/svg+xml", icon]],
]);

/** What people look at: how the daemon is and what is marked, live. */
export class Page {
  readonly #options: PageOptions;
  readonly #streams: EventStreams;

  /** @param options What to work with. */
  constructor(options: PageOptions) {
    this.#options = options;
    this.#streams = new EventStreams(async () => {
      const { marked, figures } = await this.#report();
      // The page shows what it gets, and shows control characters as what they do.
      const escaped = (_: string, value: unknown) =>
        typeof value === "string" ? escapeControls(value) : value;
      return { marked: JSON.stringify(marked, escaped), figures: JSON.stringify(figures, escaped) };
    });
  }

  /**
   * WorkerResults a request.
   *
   * @param request The request, a GET or HEAD.
   * @param path Its path: `/`, `/events` or that of a file.
   */
  async answer(request: Request, path: string): Promise<Response> {
    const [type, content] = FILES.get(path) ?? [];
    if (type !== undefined) return sized(content!, { headers: headersOf(type) });
    if (path === "/events") return this.#events(request);
    const headers = { vary: "accept" };
    if (accepts(request, "application/json", "text/html") === "text/html") {
      return sized(html, { headers: { ...headersOf("text/html"), ...headers } });
    }
    const { marked, figures } = await this.#report();
    return sized(JSON.stringify({ ...marked, ...figures }), {
      headers: { ...headersOf("application/json"), ...headers },
    });
  }

  /** Tells who looks that the spool has changed. */
  changed(): void {
    this.#streams.wake();
  }

  /** Ends the streams that are open. Who still looks comes back at once. */
  endStreams(): void {
    this.#streams.end();
  }

  /** Ends the streams that are open, and opens none any more. */
  close(): void {
    this.#streams.close();
  }

  #events({ method }: Request): Response {
    const headers = headersOf("text/event-stream");
    if (method === "HEAD") return new Response(null, { headers });
    const stream = this.#streams.open();
    if (stream !== undefined) return new SizedResponse(stream, { headers });
    return new Response("Too many look at the page already", {
      status: 503,
      headers: headersOf("text/plain"),
    });
  }

  async #report() {
    const { firstActiveEntries, queryWorkers, startedAt, permissions, changing } = this.#options;
    const loops = await queryWorkers("page", MAX_SERVICES_SHOWN);
    const now = Date.now() / 1000;
    const uptime = (performance.now() - startedAt) / 1000;
    const rest = { now, uptime, permissions, changing: changing() };
    const { first, counts } = firstActiveEntries(MAX_DOWNTIMES_SHOWN);
    return { marked: downtimesReport(first, counts), figures: statusReport(loops, rest) };
  }
}

function headersOf(type: string): Record<string, string> {
  return { "content-type": `${type}; charset=UTF-8`, ...HEADERS };
}
