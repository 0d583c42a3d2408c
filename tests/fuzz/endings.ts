/**
 * Invalid bytes at the end of a connection.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { withClosedWindow } from "../load/hoarding.ts";
import { ANY_RESPONSE, type ExpectedResponse } from "./model.ts";
import type { RequestGenerator } from "./requests.ts";
import { ALWAYS_DOWN } from "./world.ts";

/** The last bytes on a connection. */
export interface Ending {
  /** The kind, for the report. */
  readonly kind: string;
  /** The bytes, one character for each. */
  readonly bytes: string;
  /** The expected responses; no response is correct, too. */
  readonly expected: readonly ExpectedResponse[];
  /**
   * The client's next step: wait until the daemon closes, half-close and wait, or close at once.
   */
  readonly then: "wait" | "end" | "close";
}

/** The responses to a request that the daemon cannot parse. */
const REJECTED: readonly ExpectedResponse[] = [[400, ""], [431, ""]];

/** The responses to an incomplete form, or to one with invalid chunks. */
const BROKEN_FORM: readonly ExpectedResponse[] = [
  ...REJECTED,
  [400, "The form was not sent to its end"],
  // A busy machine may delay the end of the form.
  [408, /^The form was not sent within /],
];

/** The name of a mistake, and the function that makes it in a request. */
type Mistake = readonly [kind: string, make: (dice: Dice, request: string) => string];

const WRONG_VERSIONS: readonly string[] = [
  ..."HTTP/1.2 HTTP/2.0 HTTP/0.9 HTTP/11 http/1.1 HTTP/ ICY HTTP/1.1\0".split(" "),
  "HTTP/1.1 ",
];

const WRONG_LENGTHS: readonly string[] = [
  ..."-1 +9 0x9 nine 9.0 99999999999999999999999 1e1 \xb2".split(" "),
  "9 9",
  "9, 8",
  "",
];

/** Mistakes in the request line or in the headers of a valid request. */
const MISTAKES: readonly Mistake[] = [
  ["no version", (_, request) => request.replace(" HTTP/1.1", "")],
  [
    "wrong version",
    (dice, request) => request.replace("HTTP/1.1", dice.pick(WRONG_VERSIONS)),
  ],
  [
    "wrong spaces",
    (dice, request) => request.replace(" ", dice.pick(["  ", "\t", "", "\v", "\xa0"])),
  ],
  ["no target", (_, request) => request.replace(/ \S+/, "")],
  [
    "wrong target",
    (dice, request) =>
      request.replace(
        / \S+/,
        ` ${dice.pick(["spool/condemned/0", "example.org:80", "?", "http://", "://x/"])}`,
      ),
  ],
  [
    "byte in target",
    (dice, request) =>
      request.replace(
        "/0",
        `/0/${dice.pick(["\0", "\x01", "\x7f", "\x1b", "\r", "\xe9", "\xff\xfe", "\xc3("])}`,
      ),
  ],
  [
    "wrong method",
    (dice, request) =>
      request.replace(/^\w+/, dice.pick(["G@T", "(GET)", "G:T", "\xc9", "\0", "{}"])),
  ],
  ["CONNECT", (_, request) => request.replace(/^\w+/, "CONNECT")],
  ["bare CR", (_, request) => request.replaceAll("\r\n", "\r") + "\r\n\r\n"],
  [
    "byte in header",
    (dice, request) =>
      request.replace("Host: x", `Host: x${dice.pick(["\0", "\x01", "\x7f", "\ry"])}`),
  ],
  ["no colon", (_, request) => request.replace("Host: x", "Host x")],
  [
    "wrong header name",
    (dice, request) =>
      request.replace(
        "Host",
        dice.pick(["Host ", " Host", "", "Ho st", "H\xf6st", "Host\0", "Ho(st)", "\tHost"]),
      ),
  ],
  [
    "folded header",
    (dice, request) => request.replace("Host: x", `Host: x\r\n${dice.pick([" ", "\t"])}y`),
  ],
  [
    "overlong target",
    (dice, request) => request.replace("/0", `/0/${"l".repeat(dice.between(66_000, 90_000))}`),
  ],
  [
    "overlong header",
    (dice, request) =>
      request.replace("Host: x", `X: ${"l".repeat(dice.between(420_000, 500_000))}`),
  ],
  [
    "overlong header name",
    (dice, request) => request.replace("Host", "l".repeat(dice.between(66_000, 90_000))),
  ],
  [
    "too many headers",
    (dice, request) =>
      request.replace("Host: x", "X: y\r\n".repeat(dice.between(200, 2000)) + "Y: z"),
  ],
];

/** Contradictory framings, which replace the Content-Length of a request. */
const FRAMINGS: readonly Mistake[] = [
  ["lengths that differ", () => "Content-Length: 9\r\nContent-Length: 3"],
  ["length and chunks", () => "Content-Length: 3\r\nTransfer-Encoding: chunked"],
  ["chunks and length", () => "Transfer-Encoding: chunked\r\nContent-Length: 9"],
  ["invalid length", (dice) => `Content-Length: ${dice.pick(WRONG_LENGTHS)}`],
  [
    "unknown coding",
    (dice) =>
      `Transfer-Encoding: ${
        dice.pick(["gzip", "xchunked", "chunked, gzip", "identity", "", '"chunked"', "chunked;"])
      }`,
  ],
];

const CHUNKS: readonly Mistake[] = [
  [
    "invalid length",
    (dice) =>
      `${dice.pick(["zz", "-1", "", " ", "0x9", "9g", "\0", ";"])}\r\nstatus=up\r\n0\r\n\r\n`,
  ],
  ["length out of range", () => "fffffffffffffffffff\r\nstatus=up\r\n0\r\n\r\n"],
  ["chunk longer than its length", () => "3\r\nstatus=up\r\n0\r\n\r\n"],
  ["chunk without its end", () => "9\r\nstatus=up0\r\n\r\n"],
  ["garbage after the chunk", () => "9\r\nstatus=up\r\nGET /status HTTP/1.1\r\n\r\n"],
];

/** The first bytes of other protocols. */
const OTHER_PROTOCOLS: readonly Mistake[] = [
  ["TLS", () => "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + "r".repeat(40) + "\r\n\r\n"],
  ["SSH", () => "SSH-2.0-OpenSSH_9.2p1\r\n\r\n"],
  ["PROXY", (_, request) => `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${request}`],
  [
    "binary PROXY",
    (_, request) => `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${"\0".repeat(12)}${request}`,
  ],
  ["SMTP", () => "EHLO example.org\r\n\r\n"],
  ["Redis", () => "*1\r\n$4\r\nPING\r\n\r\n"],
  ["SOCKS", () => "\x05\x01\0\r\n\r\n"],
  ["zeros", () => `${"\0".repeat(500)}\r\n\r\n`],
];

/**
 * Generates an ending.
 *
 * @param dice The source of randomness.
 * @param requests Generates the valid request that the ending begins as.
 */
export function ending(dice: Dice, requests: RequestGenerator): Ending {
  const roll = dice.below(100);
  if (roll < 30) return mistaken(dice, requests);
  if (roll < 42) return misframed(dice, requests);
  if (roll < 54) return badlyChunked(dice, requests);
  if (roll < 62) return otherProtocol(dice, requests);
  if (roll < 80) return incomplete(dice, requests);
  if (roll < 97) return mangled(dice, requests);
  return http2(dice);
}

function mistaken(dice: Dice, requests: RequestGenerator): Ending {
  const [kind, make] = dice.pick(MISTAKES);
  const bytes = make(dice, requests.plain(dice.pick(["GET", "HEAD", "OPTIONS"])));
  return { kind, bytes, expected: REJECTED, then: "wait" };
}

function misframed(dice: Dice, requests: RequestGenerator): Ending {
  const [kind, make] = dice.pick(FRAMINGS);
  const bytes = requests.plain("POST").replace(/Content-Length: \d+/, make(dice, ""));
  return { kind, bytes, expected: REJECTED, then: "wait" };
}

function badlyChunked(dice: Dice, requests: RequestGenerator): Ending {
  const [kind, make] = dice.pick(CHUNKS);
  const bytes = requests.plain("POST")
    .replace(/Content-Length: \d+/, "Transfer-Encoding: chunked")
    .replace("status=up", make(dice, ""));
  return { kind: `chunks: ${kind}`, bytes, expected: BROKEN_FORM, then: "wait" };
}

function otherProtocol(dice: Dice, requests: RequestGenerator): Ending {
  const [kind, make] = dice.percent(20)
    ? ["garbage", () => `\xff${dice.bytes(dice.between(1, 300))}\r\n\r\n`] as const
    : dice.pick(OTHER_PROTOCOLS);
  return { kind, bytes: make(dice, requests.plain()), expected: REJECTED, then: "wait" };
}

/** The beginning of a request. */
function incomplete(dice: Dice, requests: RequestGenerator): Ending {
  const request = requests.plain(dice.pick(["GET", "HEAD", "POST"]));
  const bytes = request.slice(0, dice.between(1, request.length - 1));
  return {
    kind: "incomplete request",
    bytes,
    expected: BROKEN_FORM,
    then: dice.pick(["end", "close"]),
  };
}

/** A request with random changes. It names only services whose state no other request depends on. */
function mangled(dice: Dice, requests: RequestGenerator): Ending {
  const isForm = dice.percent(40);
  let bytes = isForm
    ? requests.plain("POST", `loose-${dice.below(20)}`)
    : requests.plain("GET", dice.pick(ALWAYS_DOWN)[0]);
  for (let times = dice.between(1, 4); times > 0; times--) bytes = mutate(dice, bytes);
  return { kind: "mangled", bytes, expected: ANY_RESPONSE, then: "end" };
}

function mutate(dice: Dice, bytes: string): string {
  const at = dice.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + dice.between(1, 10));
  return bytes.slice(0, at) + dice.pick([
    () => String.fromCharCode(dice.below(256)) + bytes.slice(at + 1),
    () => dice.bytes(dice.between(1, 10)) + bytes.slice(at),
    () => dice.pick(["\r\n", "\n", "\r", "\0", " ", ":", "%", "/", "\xff"]) + bytes.slice(at),
    () => bytes.slice(to),
    () => bytes.slice(at, to).repeat(dice.between(2, 50)) + bytes.slice(to),
    () => bytes.slice(at, to) + bytes.slice(dice.below(bytes.length)),
  ])();
}

/** HTTP/2 with a closed window, or the preface of HTTP/2 with garbage behind. */
function http2(dice: Dice): Ending {
  if (dice.percent(50)) {
    const bytes = withClosedWindow("/recent", dice.between(1, 100));
    return { kind: "HTTP/2 with closed windows", bytes, expected: [], then: "close" };
  }
  const bytes = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${dice.bytes(dice.between(0, 200))}`;
  return { kind: "HTTP/2", bytes, expected: [], then: "close" };
}
