import type { CheckRequest, Verdict } from "../checks/check.ts";
import { BufferedReader } from "../net/buffered_reader.ts";
import { isLoopback, LOCAL_ADDRESS } from "../net/addresses.ts";
import { type Attempt, attempt } from "./_attempt.ts";
import { QueryError, withQuery } from "./_match.ts";

/** The types of records that can be asked for, by their numbers (RFC 1035 and others). */
const TYPES: ReadonlyMap<string, number> = new Map([
  ["A", 1],
  ["NS", 2],
  ["CNAME", 5],
  ["SOA", 6],
  ["PTR", 12],
  ["MX", 15],
  ["TXT", 16],
  ["AAAA", 28],
  ["SRV", 33],
  ["CAA", 257],
]);

/** The response codes by their numbers. */
const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"] as const;

/** How long a response is awaited before the question is sent again, in milliseconds: datagrams can get lost. */
const RESEND_MS = 1000;

/** How many datagrams are read, invalid ones included. */
const MAX_DATAGRAMS = 1000;

const HEADER_BYTES = 12;

/** The longest name, in characters and in bytes of a message. */
const MAX_NAME_LENGTH = 253;

/** A question. */
interface Question {
  readonly name: string;
  readonly type: string;
}

/** What a response contains. */
interface Response {
  readonly code: string;
  readonly isTruncated: boolean;
  /** The number of records of the type. */
  readonly records: number;
}

/**
 * Asks a DNS server for a name, by UDP, and by TCP if the response is truncated. The path is the name, and the type is
 * in its query: `/web.example?type=AAAA`; `A` by default.
 *
 * @returns 200 `NOERROR: 2 A records of web.example`, 500 and the server's response code if there is none, 400 for an
 * invalid name or type, or 503 and why there is no response.
 */
export function checkDns(request: CheckRequest, signal: AbortSignal): Promise<Verdict> {
  return withQuery(
    () => questionOf(request),
    (question) =>
      attempt("DNS", request, signal, async (attempt) => {
        signal.throwIfAborted();
        const byUdp = await askByUdp(request, question, attempt, signal);
        if (!byUdp.isTruncated) return judge(byUdp, question);
        return judge(await askByTcp(question, attempt), question);
      }),
  );
}

function questionOf({ path }: CheckRequest): Question {
  const [text = "", query = ""] = path.slice(1).split("?", 2);
  const name = text.replace(/\.$/, "");
  const isName = name.length <= MAX_NAME_LENGTH &&
    name.split(".").every((label) => /^[\w-]{1,63}$/.test(label));
  if (!isName) {
    const found = JSON.stringify(text.slice(0, 300));
    throw new QueryError(
      `Bad name: expected the name of a host such as web.example: found ${found}`,
    );
  }
  const type = new URLSearchParams(query).get("type")?.toUpperCase() ?? "A";
  if (!TYPES.has(type)) {
    const found = JSON.stringify(type.slice(0, 100));
    throw new QueryError(
      `Bad type: expected one of ${[...TYPES.keys()].join(", ")}: found ${found}`,
    );
  }
  return { name, type };
}

async function askByUdp(
  { host, port }: CheckRequest,
  question: Question,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Response> {
  const { createSocket } = (await import("node:dgram")).default;
  signal.throwIfAborted();
  const query = encode(question);
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const send = () => socket.send(query, port, host);
  let timer: ReturnType<typeof setInterval> | undefined;
  let abort = () => {};
  try {
    return await new Promise<Response>((resolve, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      let datagrams = 0;
      socket.on("message", (message: Uint8Array, { address, port: from }) => {
        const response = address === host && from === port ? parse(message, query) : undefined;
        if (++datagrams > MAX_DATAGRAMS) reject(new Error("the server sent no valid response"));
        if (response === undefined) return;
        attempt.received();
        resolve(response);
      });
      // Not `once`: a second error without a listener would end the program.
      socket.on("error", reject);
      const start = () => {
        attempt.connected();
        send();
        timer = setInterval(send, RESEND_MS);
      };
      // The permissions of a daemon for local targets only do not cover every address of this host.
      if (isLoopback(host)) socket.bind(0, host.includes(":") ? "::1" : LOCAL_ADDRESS, start);
      else start();
    });
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", abort);
    socket.close();
  }
}

async function askByTcp(question: Question, attempt: Attempt): Promise<Response> {
  using connection = await attempt.connect();
  const query = encode(question);
  // The length precedes each message.
  await connection.write(new Uint8Array([query.length >> 8, query.length & 0xff, ...query]));
  const reader = new BufferedReader(connection);
  const [high = 0, low = 0] = await reader.exactly(2);
  const response = parse(await reader.exactly(high << 8 | low), query);
  if (response === undefined) throw new Error("expected a DNS response, found another protocol");
  return response;
}

/** Encodes a question, with a random number, and with the wish for recursion. */
function encode({ name, type }: Question): Uint8Array {
  const id = crypto.getRandomValues(new Uint8Array(2));
  const encoder = new TextEncoder();
  const labels = name.split(".").flatMap((label) => [label.length, ...encoder.encode(label)]);
  const number = TYPES.get(type)!;
  const counts = [0, 1, 0, 0, 0, 0, 0, 0];
  return new Uint8Array([...id, 1, 0, ...counts, ...labels, 0, number >> 8, number & 0xff, 0, 1]);
}

/** Parses a message; returns undefined if it does not respond to the query. */
function parse(message: Uint8Array, query: Uint8Array): Response | undefined {
  if (message.length < HEADER_BYTES || (message[2]! & 0x80) === 0) return undefined;
  const isSame = (at: number) => message[at] === query[at];
  if (!isSame(0) || !isSame(1)) return undefined;
  const code = message[3]! & 0x0f;
  // An error may come without the question, as from unbound if it refuses.
  const isBareError = code !== 0 && message.length === HEADER_BYTES;
  const end = isBareError ? HEADER_BYTES : query.length;
  for (let at = HEADER_BYTES; at < end; at++) if (!isSame(at)) return undefined;
  const answers = message[6]! << 8 | message[7]!;
  return {
    code: RCODES[code] ?? `RCODE ${code}`,
    isTruncated: (message[2]! & 0x02) !== 0,
    records: countRecords(message, query, answers),
  };
}

/** Counts the records of the question's type. A message that is cut off has those before its end. */
function countRecords(message: Uint8Array, query: Uint8Array, answers: number): number {
  const [high, low] = query.subarray(-4, -2);
  let records = 0;
  for (let at = query.length, i = 0; i < answers; i++) {
    at = endOfName(message, at);
    // Type, class, time to live and length.
    if (at + 10 > message.length) break;
    if (message[at] === high && message[at + 1] === low) records++;
    at += 10 + (message[at + 8]! << 8 | message[at + 9]!);
  }
  return records;
}

/** Returns where a name ends: with an empty label, or with a pointer to another place. */
function endOfName(message: Uint8Array, start: number): number {
  for (let at = start; at < message.length;) {
    const length = message[at]!;
    if (length >= 0xc0) return at + 2;
    if (length === 0) return at + 1;
    at += length + 1;
  }
  return message.length;
}

function judge({ code, records }: Response, { name, type }: Question): Verdict {
  const message = `${code}: ${records} ${type} record${records === 1 ? "" : "s"} of ${name}`;
  return code === "NOERROR" && records > 0
    ? { code: 200, message }
    : { code: 500, message, reason: "unhealthy" };
}
