import { LARGE_BYTES, type SizedResponse, text } from "./responses.ts";

/** How long a large page is reused, in milliseconds. */
export const PAGE_TTL_MS = 1000;

/** The most large pages that are rendered within that time. */
export const MAX_CACHED_PAGES = 16;

/** A page rests, and is reused, this many times as long as its rendering took. */
const REST_FACTOR = 20;

interface CachedPage {
  readonly version: number;
  readonly response: Promise<SizedResponse>;
  /** Until when no other version is rendered. */
  restsUntil: number;
  /** Until when the page is reused. */
  expiresAt: number;
}

/**
 * Reuses large pages for a short time (rate limit): rendering one blocks the worker for milliseconds, for half a
 * second with 100,000 records. Small pages are cheap, and never reused.
 */
export class PageCache {
  readonly #now: () => number;
  readonly #pages = new Map<string, CachedPage>();

  /** @param now Returns the time in milliseconds, by a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Returns a page. It is rendered anew unless it is large and was rendered within {@linkcode PAGE_TTL_MS}.
   * Requests at the same time share a rendering.
   *
   * @param name The page's name.
   * @param render Renders the page.
   * @param version The version of its content. A page of another version is not reused.
   * @returns The page; 503 above {@linkcode MAX_CACHED_PAGES}, or soon after a slow rendering of another version.
   */
  async get(
    name: string,
    render: () => SizedResponse | Promise<SizedResponse>,
    version: number = 0,
  ): Promise<Response> {
    const start = this.#now();
    for (const [other, { expiresAt }] of this.#pages) {
      if (start >= expiresAt) this.#pages.delete(other);
    }
    const known = this.#pages.get(name);
    if (known?.version === version) return (await known.response).clone();
    if (known === undefined ? this.#pages.size >= MAX_CACHED_PAGES : start < known.restsUntil) {
      return text(503, "Too many large pages were requested: try again in a second");
    }
    const response = (async () => await render())();
    const rest = REST_FACTOR * (this.#now() - start);
    const page = { version, response, restsUntil: 0, expiresAt: Infinity };
    this.#pages.set(name, page);
    let isLarge = false;
    try {
      const rendered = await response;
      isLarge = rendered.content!.length > LARGE_BYTES;
      return rendered;
    } finally {
      const now = this.#now();
      page.restsUntil = now + rest;
      page.expiresAt = isLarge ? now + Math.max(PAGE_TTL_MS, rest) : now;
    }
  }
}
