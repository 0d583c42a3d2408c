/**
 * The PROXY protocol, by which a proxy reports the addresses of a connection before the first byte of it:
 * https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
 *
 * @module
 */

/** The protocols of checks that can begin with a PROXY header: all that connect by TCP. */
export const PROXY_PROTOCOLS = [
  "grpc",
  "grpcs",
  "h2",
  "h2c",
  "haproxy",
  "http",
  "https",
  "ldap",
  "memcached",
  "mysql",
  "postgres",
  "redis",
  "redis-info",
  "rediss",
  "rediss-info",
  "sentinel",
  "sentinel-info",
  "sentinels",
  "sentinels-info",
  "smtp",
  "smtps",
  "tcp",
] as const;

/** A version of the PROXY protocol. */
export type ProxyVersion = "v1" | "v2";

/** The first bytes of a header of version 2. */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

/** Version 2, and the command LOCAL: the connection is the proxy's own, such as a health check. */
const LOCAL = 0x20;

/**
 * Returns the header of a health check, as HAProxy's `check-send-proxy` sends it: with version 1 the addresses of the
 * connection itself, with version 2 none.
 *
 * @param local The address of the client.
 * @param remote The address of the server.
 */
export function proxyHeader(
  version: ProxyVersion,
  local: Deno.NetAddr,
  remote: Deno.NetAddr,
): Uint8Array {
  // The command is followed by the family, unspecified, and by the length of the addresses.
  if (version === "v2") return new Uint8Array([...SIGNATURE, LOCAL, 0, 0, 0]);
  const family = local.hostname.includes(":") ? "TCP6" : "TCP4";
  const words = ["PROXY", family, local.hostname, remote.hostname, local.port, remote.port];
  return new TextEncoder().encode(`${words.join(" ")}\r\n`);
}
