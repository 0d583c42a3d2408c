import { isServiceName } from "../spool/names.ts";

/** What the path of a check says. */
export interface CheckPath {
  /** The first part. */
  readonly protocol: string;
  /** The second. */
  readonly service: string;
  /** The third: a number, from 0 on. It may be beyond 65535. */
  readonly port: number;
  /**
   * What to ask the service for: the rest behind the slash that ends the port, with its query string. It begins
   * with a `/`, which is put before it where it is missing: `/http/web/80/status` and `/http/web/80//status` both
   * ask for `/status`.
   */
  readonly path: string;
}

const CHECK = /^\/([a-z][a-z-]*)\/([^/?]+)\/(\d+)([/?].*)?$/s;

/**
 * Cuts the path and query string out of a request's URL. It is cut, not parsed: what a client
 * puts in its Host header makes no URL of it, and what it asks for is passed on to services untouched.
 *
 * @param url The URL as `Deno.serve` gives it.
 * @returns The path with its query string; empty where there is none.
 */
export function pathOf(url: string): string {
  const host = url.indexOf("//") + 2;
  const start = url.indexOf("/", host);
  const query = url.indexOf("?", host);
  return start < 0 || (query >= 0 && query < start) ? "" : url.slice(start);
}

/**
 * Reads the path of a check.
 *
 * @param path The path with its query string.
 * @returns What it says, or undefined if it is no check's.
 *
 * @example
 * ```ts
 * import { parseCheckPath } from "./path.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseCheckPath("/http/web/8080/status?deep=1"), {
 *   protocol: "http",
 *   service: "web",
 *   port: 8080,
 *   path: "/status?deep=1",
 * });
 * ```
 */
export function parseCheckPath(path: string): CheckPath | undefined {
  const [, protocol, service, port, rest = "/"] = CHECK.exec(path) ?? [];
  if (protocol === undefined || service === undefined || !isServiceName(service)) return undefined;
  const query = rest.startsWith("/") ? rest.slice(1) : rest;
  return {
    protocol,
    service,
    port: Number(port),
    path: query.startsWith("/") ? query : `/${query}`,
  };
}
