/**
 * The responses that the contract allows, derived from the request and the downtimes. The model shares no code
 * with the daemon.
 *
 * @module
 */

import { type Behaviour, CODES, IN_CHUNKS } from "./targets.ts";

/** An expected response: its status, and its body or a pattern for it. */
export type ExpectedResponse = readonly [status: number, body: string | RegExp];

/** A check, as the client requests it. */
export interface Check {
  /** The first segment of the path. */
  readonly protocol: string;
  /** The second segment. */
  readonly service: string;
  /** The third segment. */
  readonly port: string;
  /** The rest of the path. */
  readonly path: string;
  /** The method. */
  readonly method: string;
  /** `port=` of X-Haproxy-Server-State. */
  readonly statedPort?: string;
  /** `address=` of X-Haproxy-Server-State; without it, X-Nerve-Check-IP. */
  readonly address?: string;
}

/** The protocols of checks that connect. */
export const PROTOCOLS: readonly string[] = [
  "grpc",
  "haproxy",
  "http",
  "https",
  "mysql",
  "postgres",
  "redis",
  "redis-info",
  "sentinel",
  "sentinel-info",
  "smtp",
  "tcp",
];

/** Addresses that the daemon is not allowed to check. */
const FOREIGN: readonly string[] = ["192.0.2.9", "169.254.169.254", "2001:db8::1"];

/** Addresses as clients write them, and as records do. */
export const ADDRESSES: ReadonlyMap<string, string> = new Map([
  ["127.0.0.1", "127.0.0.1"],
  ["127.0.0.2", "127.0.0.2"],
  ["::1", "::1"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ...FOREIGN.map((address) => [address, address] as const),
]);

/** The response to an unknown path. */
export const NOT_FOUND: readonly ExpectedResponse[] = [[404, /^Not found: expected /]];

/** The response to a check that times out. */
const TIMED_OUT: ExpectedResponse = [503, /timed out/];

/** The mode of a downtime, and the line that reports it. */
export interface Downtime {
  readonly mode: "down" | "drain";
  readonly line: string | RegExp;
}

/** The downtimes by the name of their record; null where it is unknown whether there is one. */
export type Downtimes = ReadonlyMap<string, Downtime | null>;

/**
 * Returns the responses to a check that the contract allows.
 *
 * @param check The check.
 * @param downtimes The downtimes.
 * @param ports The ports of the services.
 */
export function expectedResponses(
  check: Check,
  downtimes: Downtimes,
  ports: Readonly<Record<Behaviour, number>>,
): readonly ExpectedResponse[] {
  const { protocol, service, method, path } = check;
  const isKnown = protocol === "spool" || PROTOCOLS.includes(protocol);
  const isNamed = /^[.\w-]{1,200}$/.test(service) && service !== "." && service !== "..";
  if (!isKnown || !isNamed || !/^[0-9]+$/.test(check.port)) return NOT_FOUND;
  if (!["GET", "HEAD", "OPTIONS"].includes(method)) return [[405, /^Method not allowed: /]];

  const port = Number(check.statedPort ?? check.port);
  if (!/^\d{1,5}$/.test(check.statedPort ?? "0") || port > 65535) return [[400, /^Bad port/]];
  const address = ADDRESSES.get(check.address ?? "127.0.0.1");
  const isForeign = address === undefined || FOREIGN.includes(address);
  if (protocol !== "spool" && isForeign) return [[403, /^Not allowed to check /]];
  if (address === undefined) return [[400, /^Bad (?:address= in X-Haproxy|X-Nerve-Check-IP)/]];

  const undecided: ExpectedResponse[] = [];
  let drain: ExpectedResponse | undefined;
  for (const name of recordNames(service, port, address)) {
    const downtime = downtimes.get(name);
    if (downtime === undefined) continue;
    if (downtime?.mode === "down") return [...undecided, [503, downtime.line]];
    if (downtime === null) {
      undecided.push([503, /^Service \S+ in down /], [404, /^Service \S+ in drain /]);
    } else drain ??= [404, downtime.line];
  }
  if (drain !== undefined) return [...undecided, drain];
  if (protocol === "spool") return [...undecided, [200, ""]];
  if (port === 0) return [...undecided, [400, /^No port to connect to/]];
  const behaviour = address === "127.0.0.1" ? behaviourOf(port, ports) : "closed";
  return [...undecided, TIMED_OUT, ...verdicts(protocol, behaviour, path)];
}

/** The names of the records that apply to a service, in the order of precedence. */
function recordNames(service: string, port: number, address: string): string[] {
  if (port === 0) return [service];
  const byPort = `${service}:${port}`;
  return address === "127.0.0.1"
    ? [service, byPort]
    : [service, byPort, `${service}:${address}:${port}`];
}

function behaviourOf(port: number, ports: Readonly<Record<Behaviour, number>>): Behaviour {
  const found = Object.entries(ports).find(([, servicePort]) => servicePort === port);
  if (found === undefined) throw new Error(`no service on port ${port}`);
  return found[0] as Behaviour;
}

function verdicts(protocol: string, behaviour: Behaviour, path: string): ExpectedResponse[] {
  const refused: ExpectedResponse = [503, /^Unexpected error .+ after \d+\.\d\ds$/];
  if (protocol === "tcp") {
    const connected: ExpectedResponse = [200, /^Connected in \d+\.\d\ds$/];
    if (behaviour === "closed") return [refused];
    return behaviour === "resetting" ? [connected, refused] : [connected];
  }
  if (protocol === "http" && behaviour === "alive") return [forwarded(path)];
  if (protocol === "http" && behaviour === "tiny chunks") return [[200, IN_CHUNKS]];
  // No service implements another protocol.
  return [[500, /^[^]+$/], [503, /^[^]+$/]];
}

/** The response of the service that is alive, as the daemon forwards it. */
function forwarded(path: string): ExpectedResponse {
  const code = Number(/\/code\/(\d{3})$/.exec(path)?.[1] ?? "200");
  if (code === 599) return [503, /: the service answered 599, .*: code 599$/];
  if (!CODES.includes(code)) throw new Error(`no service responds ${code}`);
  return [code, code === 204 ? "" : `code ${code}`];
}

/** The possible responses to a mangled request that checks no service. */
export const ANY_RESPONSE: readonly ExpectedResponse[] = [
  [200, /^(?:|\{.*\})$/s],
  [400, /^(?:|Bad [^]+|No port to connect to: .+|The form was not sent to its end)$/],
  [403, /^[^]+$/],
  [404, /^Not found: expected /],
  [405, /^Method not allowed: expected /],
  [413, /^The form is longer than \d+ bytes$/],
  [404, /^Service [.\w-]+ in drain state/],
  [503, /^Service [.\w-]+ in down state/],
];

/**
 * Returns whether a response is among the expected ones.
 *
 * @param expected The expected responses.
 * @param method The method of the request: a response to HEAD has no body.
 * @param status The status of the response.
 * @param body The body of the response.
 */
export function matchesAny(
  expected: readonly ExpectedResponse[],
  method: string,
  status: number,
  body: string,
): boolean {
  return expected.some(([code, text]) => {
    if (code !== status) return false;
    if (method === "HEAD") return true;
    return typeof text === "string" ? text === body : text.test(body);
  });
}
