/**
 * Tells whether a browser made a request, and for whom.
 *
 * A browser says of every POST where it comes from, by `Origin` or `Sec-Fetch-Site`, which no script of a page
 * can change. What is no browser says neither.
 *
 * @param request The request.
 * @returns `"same"` if it is made by what this daemon has answered itself, `"other"` if by another site's
 * page; undefined if by no browser. A name that was made to lead here is the same to a browser as one that
 * does by right.
 *
 * @example
 * ```ts
 * import { browserOrigin } from "./csrf.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const asked = (headers: HeadersInit) => new Request("http://10.0.0.1:3333/spool/web/0", { headers });
 * assertEquals(browserOrigin(asked({ origin: "http://10.0.0.1:3333" })), "same");
 * assertEquals(browserOrigin(asked({ origin: "http://example.org" })), "other");
 * assertEquals(browserOrigin(asked({})), undefined);
 * ```
 */
export function browserOrigin({ headers, url }: Request): "same" | "other" | undefined {
  const origin = headers.get("origin");
  const site = headers.get("sec-fetch-site");
  if (origin === null && site === null) return undefined;
  const isSame = (site === null || site === "same-origin") &&
    (origin === null || origin === URL.parse(url)?.origin);
  return isSame ? "same" : "other";
}
