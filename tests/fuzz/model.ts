/**
 * What the contract lets the daemon answer, told from what was asked and from what was marked. Nothing here
 * is the daemon's own code.
 *
 * @module
 */

import { CODES, IN_CHUNKS, type Manner } from "./targets.ts";

/** An answer that is right: its status, and its body as it goes over the wire or what that looks like. */
export type Answer = readonly [status: number, body: string | RegExp];

/** A check, as the client asks for it. */
export interface Question {
  /** The first part of the path. */
  readonly protocol: string;
  /** The second. */
  readonly service: string;
  /** The third. */
  readonly port: string;
  /** The rest. */
  readonly path: string;
  /** The method. */
  readonly method: string;
  /** `port=` of X-Haproxy-Server-State. */
  readonly statedPort?: string;
  /** `address=` of X-Haproxy-Server-State, or else X-Nerve-Check-IP. */
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

/** Addresses of others, which nobody is allowed to have checked. */
const FOREIGN: readonly string[] = ["192.0.2.9", "169.254.169.254", "2001:db8::1"];

/** Addresses as clients spell them, and as records do. */
export const ADDRESSES: ReadonlyMap<string, string> = new Map([
  ["127.0.0.1", "127.0.0.1"],
  ["127.0.0.2", "127.0.0.2"],
  ["::1", "::1"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ...FOREIGN.map((address) => [address, address] as const),
]);

/** The answer to what is nobody's path. */
export const NOT_FOUND: readonly Answer[] = [[404, /^Not found: expected /]];

/** The answers of all checks that are late. */
const LATE: Answer = [503, /timed out/];

/** How something is marked, and the line that says so. */
export interface Mark {
  readonly mode: "down" | "drain";
  readonly line: string | RegExp;
}

/** What is marked, by the name of its record; null for what may or may not be. */
export type Marks = ReadonlyMap<string, Mark | null>;

/**
 * Tells which answers to a check are right.
 *
 * @param question What is asked.
 * @param marks What is marked down.
 * @param ports Where services are.
 */
export function answersTo(
  question: Question,
  marks: Marks,
  ports: Readonly<Record<Manner, number>>,
): readonly Answer[] {
  const { protocol, service, method, path } = question;
  const known = protocol === "spool" || PROTOCOLS.includes(protocol);
  const named = /^[.\w-]{1,200}$/.test(service) && service !== "." && service !== "..";
  if (!known || !named || !/^[0-9]+$/.test(question.port)) return NOT_FOUND;
  if (!["GET", "HEAD", "OPTIONS"].includes(method)) return [[405, /^Method not allowed: /]];

  const port = Number(question.statedPort ?? question.port);
  if (!/^\d{1,5}$/.test(question.statedPort ?? "0") || port > 65535) return [[400, /^Bad port/]];
  const address = ADDRESSES.get(question.address ?? "127.0.0.1");
  const isForeign = address === undefined || FOREIGN.includes(address);
  if (protocol !== "spool" && isForeign) return [[403, /^Not allowed to check /]];
  if (address === undefined) return [[400, /^Bad (?:address= in X-Haproxy|X-Nerve-Check-IP)/]];

  const undecided: Answer[] = [];
  let drain: Answer | undefined;
  for (const name of recordsOf(service, port, address)) {
    const mark = marks.get(name);
    if (mark === undefined) continue;
    if (mark?.mode === "down") return [...undecided, [503, mark.line]];
    if (mark === null) {
      undecided.push([503, /^Service \S+ in down /], [404, /^Service \S+ in drain /]);
    } else drain ??= [404, mark.line];
  }
  if (drain !== undefined) return [...undecided, drain];
  if (protocol === "spool") return [...undecided, [200, ""]];
  if (port === 0) return [...undecided, [400, /^No port to connect to/]];
  const manner = address === "127.0.0.1" ? mannerOf(port, ports) : "closed";
  return [...undecided, LATE, ...verdicts(protocol, manner, path)];
}

/** The names of the records that keep a service down, in the order in which they are asked for. */
function recordsOf(service: string, port: number, address: string): string[] {
  if (port === 0) return [service];
  const byPort = `${service}:${port}`;
  return address === "127.0.0.1"
    ? [service, byPort]
    : [service, byPort, `${service}:${address}:${port}`];
}

function mannerOf(port: number, ports: Readonly<Record<Manner, number>>): Manner {
  const found = Object.entries(ports).find(([, of]) => of === port);
  if (found === undefined) throw new Error(`nobody knows what is on port ${port}`);
  return found[0] as Manner;
}

function verdicts(protocol: string, manner: Manner, path: string): Answer[] {
  const refused: Answer = [503, /^Unexpected error .+ after \d+\.\d\ds$/];
  if (protocol === "tcp") {
    const connected: Answer = [200, /^Connected in \d+\.\d\ds$/];
    if (manner === "closed") return [refused];
    return manner === "resetting" ? [connected, refused] : [connected];
  }
  if (protocol === "http" && manner === "alive") return [served(path)];
  if (protocol === "http" && manner === "tiny chunks") return [[200, IN_CHUNKS]];
  // Nobody speaks any other protocol.
  return [[500, /^[^]+$/], [503, /^[^]+$/]];
}

/** What the service that is alive answers, as it is passed on. */
function served(path: string): Answer {
  const code = Number(/\/code\/(\d{3})$/.exec(path)?.[1] ?? "200");
  if (code === 599) return [503, /: the service answered 599, .*: code 599$/];
  if (!CODES.includes(code)) throw new Error(`nobody answers ${code}`);
  return [code, code === 204 ? "" : `code ${code}`];
}

/** What the daemon may say to what no model can tell the meaning of, as long as it asks no service. */
export const ANY_ANSWER: readonly Answer[] = [
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
 * Tells whether an answer is among those that are right.
 *
 * @param answers Those.
 * @param method The method it answers: a HEAD is told the status alone.
 * @param status Its status.
 * @param body Its body.
 */
export function isAmong(
  answers: readonly Answer[],
  method: string,
  status: number,
  body: string,
): boolean {
  return answers.some(([right, text]) => {
    if (right !== status) return false;
    if (method === "HEAD") return true;
    return typeof text === "string" ? text === body : text.test(body);
  });
}
