import { LARGE_BYTES, SizedResponse } from "./sized_response.ts";

/** How long a large page is reused, in milliseconds. */
export const RENDERING_TTL_MS = 1000;

/** The most large pages that are rendered within that time. */
export const MAX_RENDERINGS = 16;

/** How many times as long as its rendering took, a large page is reused. */
const REST_FACTOR = 20;

interface Rendering {
  readonly at: number;
  /** How long it may be reused, in milliseconds. */
  readonly ttl: number;
  /** How long another version has to wait, in milliseconds. */
  readonly rest: number;
  readonly version: number;
  readonly response: SizedResponse;
}

/**
 * Reuses large pages for a short time (rate limit): rendering one blocks the event loop for milliseconds (for half a
 * second with 100,000 records). Rendering one page takes at most a twentieth of the time. Other pages are cheap and
 * never stale.
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
   * @param version The version of its content. A page of another version is not reused.
   * @returns The page; 503 above {@linkcode MAX_RENDERINGS}, or soon after a slow rendering of another version.
   */
  of(
    name: string,
    render: () => Response | Promise<Response>,
    version: number = 0,
  ): Response | Promise<Response> {
    const now = this.#now();
    for (const [other, { at, ttl }] of this.#kept) {
      if (now - at >= ttl) this.#kept.delete(other);
    }
    const kept = this.#kept.get(name);
    if (kept?.version === version) return copyOf(kept.response);
    if (kept !== undefined && now - kept.at < kept.rest) return busy();
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending.then(copyOf);
    if (this.#kept.size + this.#pending.size >= MAX_RENDERINGS) {
      return busy();
    }
    const rendered = render();
    if (!(rendered instanceof Promise)) {
      return this.#keep(name, rendered, REST_FACTOR * (this.#now() - now), version);
    }
    const keeping = rendered.then((response) => this.#keep(name, response, 0, version));
    this.#pending.set(name, keeping);
    const settle = () => this.#pending.delete(name);
    keeping.then(settle, settle);
    return keeping.then(copyOf);
  }

  #keep(name: string, response: Response, rest: number, version: number): Response {
    if (response instanceof SizedResponse && response.content!.length > LARGE_BYTES) {
      const ttl = Math.max(RENDERING_TTL_MS, rest);
      this.#kept.set(name, { at: this.#now(), ttl, rest, version, response });
      return copyOf(response);
    }
    return response;
  }
}

function busy(): Response {
  return new Response("Too many large pages were requested: try again in a second", {
    status: 503,
  });
}

/** A response can be sent once, so it is copied; the bytes of a large one are shared. */
function copyOf(response: Response): Response {
  if (!(response instanceof SizedResponse)) return response.clone();
  const { content, status, headers } = response;
  return new SizedResponse(content!, { status, headers });
}
