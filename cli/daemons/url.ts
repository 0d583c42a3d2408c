import { canonicalAddress } from "../../src/net/addresses.ts";
import { UsageError } from "../../src/flags.ts";

/** The default port of a daemon. */
export const DEFAULT_PORT = 3333;

/** The URL of a daemon, parsed. */
export interface DaemonUrl {
  /** The URL as hactl prints it: as it was given, without a final slash. */
  readonly shown: string;
  /** Whether it is https. */
  readonly tls: boolean;
  /** A host's name or a canonical IP address. */
  readonly hostname: string;
  readonly port: number;
}

const URL = /^(https?):\/\/(?:\[([^\]]+)\]|([\w.-]+))(?::(\d{1,5}))?\/?$/i;

/**
 * Parses the URL of a daemon.
 *
 * @param flag The flag that has it, for the message.
 * @param text `http://HOST[:PORT]` or `https://HOST[:PORT]`, with an IPv6 address in brackets.
 * @param received What the message reports as received; the text, if not given.
 * @throws {UsageError} If the text is something else.
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
