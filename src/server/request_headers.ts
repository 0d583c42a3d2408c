import type { HeaderAccessReport } from "../metrics/runtime.ts";

/** Where headers are looked up. */
export type HeaderSource = Pick<Headers, "get">;

/** The Deno release whose private field was tested. */
export const TESTED_RELEASE = "2.9.6";

/** How many requests of each run are compared with `request.headers`. */
export const COMPARED_REQUESTS = 100;

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
    if (release !== TESTED_RELEASE) {
      this.#reason = `Deno ${release} is not the tested release ${TESTED_RELEASE}`;
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
    this.#symbol ??= symbolOf(request);
    const inner = (request as unknown as Record<symbol, InnerRequest | undefined>)[this.#symbol];
    if (inner?.header === undefined) return request.headers;
    if (this.#compared < COMPARED_REQUESTS && !this.#agree(inner, request.headers)) {
      return request.headers;
    }
    return new InnerHeaders(inner);
  }

  #agree(inner: InnerRequest, headers: Headers): boolean {
    this.#compared++;
    try {
      for (const name of [...headers.keys(), ABSENT]) {
        if (inner.header(name) === headers.get(name)) continue;
        this.#reason = `the header ${name} differs from request.headers`;
        return false;
      }
      return true;
    } catch (error) {
      this.#reason = `the lookup failed: ${error}`;
      return false;
    }
  }
}

/** A header that no client sends. */
const ABSENT = "x-hacheck-absent";

class InnerHeaders implements HeaderSource {
  readonly #inner: InnerRequest;

  constructor(inner: InnerRequest) {
    this.#inner = inner;
  }

  get(name: string): string | null {
    return this.#inner.header(name);
  }
}

/** Returns the symbol of the private field, or one that no request has. */
function symbolOf(request: Request): symbol {
  const symbols = Object.getOwnPropertySymbols(request);
  return symbols.find(({ description }) => description === "request") ?? Symbol("none");
}
