/** Where headers are looked up. */
export type HeaderSource = Pick<Headers, "get">;

/** What a request of `Deno.serve` stands for. */
interface InnerRequest {
  header(name: string): string | null;
}

/**
 * Makes a function that gives access to the headers of requests, for as long as they are not answered.
 *
 * Whoever asks a request of Deno 2.9 for its `headers` may look at them again once it is answered. So Deno then
 * answers by way of a promise and copies all of them first: 2 µs of the 11 that a request takes. hacheck never
 * looks again, but there is no call that says so. What the request stands for is kept under a symbol, and looks
 * up a header by the very call that `headers` does, without any of that. Where a Deno has no such symbol, or
 * keeps something else there, headers are looked up in `headers`.
 *
 * @returns The function. Names may be in upper or lower case.
 */
export function headerSources(): (request: Request) => HeaderSource {
  let symbol: symbol | undefined;
  return (request) => {
    symbol ??= symbolOf(request);
    const inner = (request as unknown as Record<symbol, Partial<InnerRequest> | undefined>)[symbol];
    return inner?.header === undefined ? request.headers : new InnerHeaders(inner as InnerRequest);
  };
}

/** The headers of what a request stands for. */
class InnerHeaders implements HeaderSource {
  readonly #inner: InnerRequest;

  constructor(inner: InnerRequest) {
    this.#inner = inner;
  }

  get(name: string): string | null {
    return this.#inner.header(name);
  }
}

/** The symbol, or one that is no request's. */
function symbolOf(request: Request): symbol {
  const symbols = Object.getOwnPropertySymbols(request);
  return symbols.find(({ description }) => description === "request") ?? Symbol("none");
}
