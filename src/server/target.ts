import { canonicalAddress, LOCAL_ADDRESS } from "../net/addresses.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import type { HeaderSource } from "./request_headers.ts";

/** Where a check goes. */
export interface Target {
  /** The canonical IP address; 127.0.0.1 for all that are this machine's. */
  readonly host: string;
  /** The port, from 1 to 65535, or 0 for none. */
  readonly port: number;
}

/** A target whose address is none: a name, another spelling, or more than an address. */
export interface UnknownAddress {
  /** There is none. */
  readonly host: null;
  /** As for a {@linkcode Target}. */
  readonly port: number;
  /** What stands in its place, in quotation marks and cut short. */
  readonly shown: string;
  /** What is wrong with it, and in which header. */
  readonly fault: string;
}

const STATE_HEADER = "x-haproxy-server-state";
const NERVE_HEADER = "x-nerve-check-ip";

/** What HAProxy says, beside an empty `port=`, of a server that it reaches by a Unix socket of this machine. */
const UNIX_SOCKET = "unix";

/** A target, or what is wrong with the port that the client gives. */
export type TargetResult = Target | UnknownAddress | string;

/**
 * Finds out where a check goes: what HAProxy's header says wins over Nerve's and over the URL.
 *
 * @param headers The headers of the request.
 * @param urlPort The port that the URL gives.
 * @param own Which addresses are this machine's.
 * @returns The target, or what is wrong with the port that the client gives.
 */
export function targetOf(
  headers: HeaderSource,
  urlPort: number,
  own: Pick<LocalAddresses, "has">,
): TargetResult | Promise<TargetResult> {
  const state = headers.get(STATE_HEADER);
  const statedPort = state === null ? undefined : field(state, PORT);
  const statedAddress = state === null ? undefined : field(state, ADDRESS);

  let port = urlPort;
  if (statedPort !== undefined) {
    port = numberOf(statedPort);
    if (port < 0 || port > 65535) {
      return `Bad port= in X-Haproxy-Server-State: expected a number from 0 to 65535: received ${
        quoted(statedPort)
      }`;
    }
  } else if (port > 65535) {
    return `Bad port in the path: expected a number from 0 to 65535: received ${port}`;
  }

  const text = statedAddress ?? headers.get(NERVE_HEADER) ?? "";
  if (text === "" || text === LOCAL_ADDRESS || statedAddress === UNIX_SOCKET) {
    return { host: LOCAL_ADDRESS, port };
  }
  const address = canonicalAddress(text);
  if (address === undefined) {
    const where = statedAddress === undefined
      ? "X-Nerve-Check-IP"
      : "address= in X-Haproxy-Server-State";
    const shown = quoted(text);
    const fault = `Bad ${where}: expected an IPv4 or IPv6 address: received ${shown}`;
    return { host: null, port, shown, fault };
  }
  const isOwn = own.has(address);
  const target = (isOwn: boolean) => ({ host: isOwn ? LOCAL_ADDRESS : address, port });
  return typeof isOwn === "boolean" ? target(isOwn) : isOwn.then(target);
}

const PORT = "port=";
const ADDRESS = "address=";

/**
 * The last field of a name in HAProxy's header; undefined where it is missing or empty. It is searched for by
 * hand: a regular expression takes three times as long, and every check of every balancer has two.
 */
function field(state: string, name: string): string | undefined {
  for (
    let at = state.lastIndexOf(name);
    at >= 0;
    at = at === 0 ? -1 : state.lastIndexOf(name, at - 1)
  ) {
    let before = at - 1;
    while (isBlank(state.charCodeAt(before))) before--;
    if (before >= 0 && state[before] !== ";") continue;
    const start = at + name.length;
    const end = state.indexOf(";", start);
    return state.slice(start, end < 0 ? state.length : end).trim() || undefined;
  }
  return undefined;
}

function isBlank(character: number): boolean {
  return character === 32 || character === 9;
}

/** A number of at most five digits, or -1. `Number` would take a tenth of all that is done here. */
function numberOf(text: string): number {
  if (text.length > 5) return -1;
  let number = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    number = 10 * number + digit;
  }
  return number;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
