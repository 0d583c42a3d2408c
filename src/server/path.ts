import { isServiceName } from "../spool/names.ts";

/** The path of a check. */
export interface CheckPath {
  readonly protocol: string;
  readonly service: string;
  /** From 0 on. It may be above 65535. */
  readonly port: number;
  /**
   * The path and query string to request from the service: what follows the slash after the port. A missing `/` at
   * its start is added, so `/http/web/80/status` and `/http/web/80//status` both request `/status`.
   */
  readonly path: string;
}

const CHECK = /^\/([a-z][a-z0-9-]*)\/([^/?]+)\/(\d+)([/?].*)?$/s;

/**
 * Cuts the path and query string out of a request's URL. A client's `Host` header may make it an invalid URL, and
 * services get the path unchanged, so it is not parsed.
 *
 * @param url The URL as `Deno.serve` gives it.
 * @returns The path with its query string; empty if there is none.
 */
export function pathOf(url: string): string {
  const host = url.indexOf("//") + 2;
  const start = url.indexOf("/", host);
  const query = url.indexOf("?", host);
  return start < 0 || (query >= 0 && query < start) ? "" : url.slice(start);
}

/**
 * Parses the path of a check.
 *
 * @param path The path with its query string.
 * @returns Its parts; undefined if it is not the path of a check.
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
