import { LARGE_BYTES, SizedResponse } from "./sized_response.ts";

/** How long a large page is used again, in milliseconds. */
export const RENDERING_TTL_MS = 1000;

/** How many large pages may be rendered within that time. */
export const MAX_RENDERINGS = 16;

interface Rendering {
  readonly at: number;
  readonly response: SizedResponse;
}

/**
 * Keeps large pages that were rendered just now: to render one takes milliseconds, in which no check is
 * answered. Other pages cost little to render, and are never stale.
 */
export class Renderings {
  readonly #now: () => number;
  readonly #kept = new Map<string, Rendering>();
  readonly #pending = new Map<string, Promise<Response>>();

  /** @param now Tells the time in milliseconds, by a clock that nobody sets. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Renders a page, unless it was large and rendered just now.
   *
   * @param name Its name.
   * @param render Renders it.
   * @returns The page; a refusal where too many large pages were rendered just now.
   */
  of(name: string, render: () => Response | Promise<Response>): Response | Promise<Response> {
    const now = this.#now();
    // The oldest come first.
    for (const [other, { at }] of this.#kept) {
      if (now - at < RENDERING_TTL_MS) break;
      this.#kept.delete(other);
    }
    const kept = this.#kept.get(name);
    if (kept !== undefined) return again(kept.response);
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending.then(again);
    if (this.#kept.size + this.#pending.size >= MAX_RENDERINGS) {
      return new Response("Too many large pages were asked for: ask again in a second", {
        status: 503,
      });
    }
    const rendered = render();
    if (!(rendered instanceof Promise)) return this.#keep(name, rendered);
    const keeping = rendered.then((response) => this.#keep(name, response));
    this.#pending.set(name, keeping);
    const settle = () => this.#pending.delete(name);
    keeping.then(settle, settle);
    return keeping.then(again);
  }

  #keep(name: string, response: Response): Response {
    if (response instanceof SizedResponse && response.content!.length > LARGE_BYTES) {
      this.#kept.set(name, { at: this.#now(), response });
      return again(response);
    }
    return response;
  }
}

/** A response can be sent once; the bytes of a large one are shared. */
function again(response: Response): Response {
  if (!(response instanceof SizedResponse)) return response.clone();
  const { content, status, headers } = response;
  return new SizedResponse(content!, { status, headers });
}
