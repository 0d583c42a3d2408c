/**
 * Finds out whether a browser sent a POST, and from which site (CSRF). Browsers send `Origin` or `Sec-Fetch-Site`,
 * which no script can change; other clients send neither.
 *
 * @param request The request.
 * @returns `"same"` for a page of this daemon, or of a name that was made to lead here (DNS rebinding); `"other"` for
 * another site's page; undefined for other clients than browsers.
 *
 * @example
 * ```ts
 * import { browserOrigin } from "./csrf.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const post = (headers: HeadersInit) => new Request("http://10.0.0.1:3333/spool/web/0", { headers });
 * assertEquals(browserOrigin(post({ origin: "http://10.0.0.1:3333" })), "same");
 * assertEquals(browserOrigin(post({ origin: "http://example.org" })), "other");
 * assertEquals(browserOrigin(post({})), undefined);
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
