import { TESTED_DENO } from "../runtime/deno_release.ts";
import type { HeaderAccessReport } from "../metrics/runtime.ts";

/** Where headers are looked up. */
export type HeaderSource = Pick<Headers, "get">;

/** How many requests of each run are compared with `request.headers`. */
export const COMPARED_REQUESTS = 100;

/** A header that no client sends. */
const ABSENT = "x-hacheck-absent";

/** Deno's private part of a request of `Deno.serve`. */
interface InnerRequest {
  header(name: string): string | null;
}

/**
 * Looks up the headers of requests, until their response is sent.
 *
 * After an access to `request.headers`, Deno 2.9 copies all headers when it responds. A private field looks a
 * header up without that copy. It is used with the tested release only, and off for good once a lookup differs.
 */
export class HeaderReader {
  #symbol: symbol | undefined;
  #compared = 0;
  #reason: string | null = null;

  /** @param release The release of Deno. */
  constructor(release: string = Deno.version.deno) {
    if (release !== TESTED_DENO) {
      this.#reason = `Deno ${release} is not the tested release ${TESTED_DENO}`;
    }
  }

  /** How headers are looked up, for `/debug/runtime`. */
  get report(): HeaderAccessReport {
    return {
      source: this.#reason === null ? "private field" : "request.headers",
      compared_requests: this.#compared,
      reason: this.#reason,
    };
  }

  /**
   * Returns the headers of a request.
   *
   * @param request The request.
   * @returns The headers. Names may be in upper or lower case.
   */
  of(request: Request): HeaderSource {
    if (this.#reason !== null) return request.headers;
    const inner = this.#innerOf(request);
    if (inner?.header === undefined) this.#reason = "the private field is missing";
    else if (this.#compared < COMPARED_REQUESTS) this.#compare(inner, request.headers);
    if (this.#reason !== null) return request.headers;
    return new InnerHeaders(inner!);
  }

  #innerOf(request: Request): InnerRequest | undefined {
    this.#symbol ??= Object.getOwnPropertySymbols(request)
      .find(({ description }) => description === "request");
    if (this.#symbol === undefined) return undefined;
    return (request as unknown as Record<symbol, InnerRequest | undefined>)[this.#symbol];
  }

  #compare(inner: InnerRequest, headers: Headers): void {
    this.#compared++;
    try {
      const differing = [...headers.keys(), ABSENT]
        .find((name) => inner.header(name) !== headers.get(name));
      if (differing === undefined) return;
      this.#reason = `the header ${differing} differs from request.headers`;
    } catch (error) {
      this.#reason = `the lookup failed: ${error}`;
    }
  }
}

class InnerHeaders implements HeaderSource {
  readonly #inner: InnerRequest;

  constructor(inner: InnerRequest) {
    this.#inner = inner;
  }

  get(name: string): string | null {
    return this.#inner.header(name);
  }
}
