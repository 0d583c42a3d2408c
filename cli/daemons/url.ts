import { canonicalAddress } from "../../src/net/addresses.ts";
import { UsageError } from "../../src/flags.ts";

/** The port of a daemon of which none is given. */
export const DEFAULT_PORT = 3333;

/** Where a daemon is. */
export interface DaemonUrl {
  /** How it is spelled in what hactl prints: as it was given, but for a slash at its end. */
  readonly shown: string;
  /** Whether it speaks TLS. */
  readonly tls: boolean;
  /** Its name or IP address. */
  readonly hostname: string;
  /** Its port. */
  readonly port: number;
}

const URL = /^(https?):\/\/(?:\[([^\]]+)\]|([\w.-]+))(?::(\d{1,5}))?\/?$/i;

/**
 * Reads where a daemon is.
 *
 * @param flag What gives it, for the message.
 * @param text `http://HOST[:PORT]` or `https://HOST[:PORT]`, with an IPv6 address in brackets.
 * @param received What a message says was received; the text, if not given.
 * @throws {UsageError} If it is something else.
 *
 * @example
 * ```ts
 * import { parseDaemonUrl } from "./url.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseDaemonUrl("--daemon", "https://[2001:db8::1]/"), {
 *   shown: "https://[2001:db8::1]",
 *   tls: true,
 *   hostname: "2001:db8::1",
 *   port: 3333,
 * });
 * ```
 */
export function parseDaemonUrl(
  flag: string,
  text: string,
  received: string = JSON.stringify(text),
): DaemonUrl {
  const [, scheme, ipv6, name, digits] = URL.exec(text) ?? [];
  const hostname = ipv6 === undefined ? name : canonicalAddress(ipv6);
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (scheme === undefined || hostname === undefined || port < 1 || port > 65535) {
    throw new UsageError(
      `Bad ${flag}: expected http://HOST[:PORT] or https://HOST[:PORT]: received ${received}`,
    );
  }
  const shown = text.endsWith("/") ? text.slice(0, -1) : text;
  return { shown, tls: scheme.toLowerCase() === "https", hostname, port };
}
