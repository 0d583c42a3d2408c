import { canonicalAddress, LOCAL_ADDRESS } from "../net/addresses.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import type { HeaderSource } from "./request_headers.ts";

/** The target of a check. */
export interface Target {
  /** The canonical IP address; 127.0.0.1 for each address of this host. */
  readonly host: string;
  /** The port, from 1 to 65535, or 0 for none. */
  readonly port: number;
}

/** A target without a valid address: a name, another spelling, or more than an address. */
export interface InvalidTarget {
  readonly host: null;
  readonly port: number;
  /** The invalid text, in quotation marks and cut off. */
  readonly shown: string;
  /** What is wrong with it, and in which header. */
  readonly problem: string;
}

/** A target, or what is wrong with the client's port. */
export type TargetResult = Target | InvalidTarget | string;

const STATE_HEADER = "x-haproxy-server-state";
const NERVE_HEADER = "x-nerve-check-ip";
const PORT = "port=";
const ADDRESS = "address=";

/** HAProxy's address of a server that it reaches by a Unix socket of this host. */
const UNIX_SOCKET = "unix";

/**
 * Finds the target of a check. HAProxy's header has precedence over Nerve's and over the URL.
 *
 * @param headers The headers of the request.
 * @param urlPort The port in the URL.
 * @param own Finds out which addresses are local.
 * @returns The target, or what is wrong with the client's port.
 */
export function targetOf(
  headers: HeaderSource,
  urlPort: number,
  own: Pick<LocalAddresses, "has">,
): TargetResult | Promise<TargetResult> {
  const state = headers.get(STATE_HEADER);
  const statePort = state === null ? undefined : field(state, PORT);
  const stateAddress = state === null ? undefined : field(state, ADDRESS);

  let port = urlPort;
  if (statePort !== undefined) port = parsePort(statePort);
  if (port > 65535) {
    const [where, received] = statePort === undefined
      ? ["port in the path", port]
      : ["port= in X-Haproxy-Server-State", quoted(statePort)];
    return `Bad ${where}: expected a number from 0 to 65535: received ${received}`;
  }

  const text = stateAddress ?? headers.get(NERVE_HEADER) ?? "";
  if (text === "" || text === LOCAL_ADDRESS || stateAddress === UNIX_SOCKET) {
    return { host: LOCAL_ADDRESS, port };
  }
  const address = canonicalAddress(text);
  if (address === undefined) {
    const where = stateAddress === undefined
      ? "X-Nerve-Check-IP"
      : "address= in X-Haproxy-Server-State";
    const shown = quoted(text);
    const problem = `Bad ${where}: expected an IPv4 or IPv6 address: received ${shown}`;
    return { host: null, port, shown, problem };
  }
  const isOwn = own.has(address);
  const target = (isOwn: boolean) => ({ host: isOwn ? LOCAL_ADDRESS : address, port });
  return typeof isOwn === "boolean" ? target(isOwn) : isOwn.then(target);
}

/**
 * Returns the last field of a name in HAProxy's header; undefined if it is missing or empty. A regular expression would
 * take three times as long, twice in every check.
 */
function field(state: string, name: string): string | undefined {
  for (let at = state.lastIndexOf(name); at >= 0; at = state.lastIndexOf(name, at - 1)) {
    let before = at - 1;
    while (state[before] === " " || state[before] === "\t") before--;
    if (before >= 0 && state[before] !== ";") continue;
    const end = state.indexOf(";", at);
    return state.slice(at + name.length, end < 0 ? state.length : end).trim() || undefined;
  }
  return undefined;
}

/** Parses up to five digits; Infinity for anything else. A regular expression would cost 0.05 us a request. */
function parsePort(text: string): number {
  if (text.length > 5) return Infinity;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return Infinity;
    port = 10 * port + digit;
  }
  return port;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
