import { LARGE_BYTES, SizedResponse } from "./sized_response.ts";

/** How long a large page is reused, in milliseconds. */
export const RENDERING_TTL_MS = 1000;

/** The most large pages that are rendered within that time. */
export const MAX_RENDERINGS = 16;

interface Rendering {
  readonly at: number;
  readonly response: SizedResponse;
}

/**
 * Reuses large pages for a short time (rate limit): rendering one blocks the event loop for milliseconds. Other
 * pages are cheap and never stale.
 */
export class Renderings {
  readonly #now: () => number;
  readonly #kept = new Map<string, Rendering>();
  readonly #pending = new Map<string, Promise<Response>>();

  /** @param now Returns the time in milliseconds, by a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Returns a page, rendered anew unless it is large and was rendered within {@linkcode RENDERING_TTL_MS}.
   *
   * @param name The page's name.
   * @param render Renders the page.
   * @returns The page; 503 above {@linkcode MAX_RENDERINGS}.
   */
  of(name: string, render: () => Response | Promise<Response>): Response | Promise<Response> {
    const now = this.#now();
    // Oldest first.
    for (const [other, { at }] of this.#kept) {
      if (now - at < RENDERING_TTL_MS) break;
      this.#kept.delete(other);
    }
    const kept = this.#kept.get(name);
    if (kept !== undefined) return copyOf(kept.response);
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending.then(copyOf);
    if (this.#kept.size + this.#pending.size >= MAX_RENDERINGS) {
      return new Response("Too many large pages were requested: try again in a second", {
        status: 503,
      });
    }
    const rendered = render();
    if (!(rendered instanceof Promise)) return this.#keep(name, rendered);
    const keeping = rendered.then((response) => this.#keep(name, response));
    this.#pending.set(name, keeping);
    const settle = () => this.#pending.delete(name);
    keeping.then(settle, settle);
    return keeping.then(copyOf);
  }

  #keep(name: string, response: Response): Response {
    if (response instanceof SizedResponse && response.content!.length > LARGE_BYTES) {
      this.#kept.set(name, { at: this.#now(), response });
      return copyOf(response);
    }
    return response;
  }
}

/** A response can be sent once, so it is copied; the bytes of a large one are shared. */
function copyOf(response: Response): Response {
  if (!(response instanceof SizedResponse)) return response.clone();
  const { content, status, headers } = response;
  return new SizedResponse(content!, { status, headers });
}
