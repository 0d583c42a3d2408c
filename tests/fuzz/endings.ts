/**
 * What a connection ends with that no client should send.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { withClosedWindow } from "../load/hoarding.ts";
import { type Answer, ANY_ANSWER } from "./model.ts";
import type { Requests } from "./requests.ts";
import { CONDEMNED } from "./world.ts";

/** The last that is sent on a connection. */
export interface Ending {
  /** Which kind it is. */
  readonly kind: string;
  /** Its bytes, a character each. */
  readonly bytes: string;
  /** The answers that are right; none at all is right, too. */
  readonly answers: readonly Answer[];
  /**
   * What the client does then: waits until the daemon has closed, as it must; says that this was all and
   * waits; closes at once.
   */
  readonly then: "wait" | "end" | "close";
}

/** What the daemon may say to what it cannot understand: never more than that it cannot. */
const REFUSAL: readonly Answer[] = [[400, ""], [431, ""]];

/** What it may say to a form that ended before its time, or whose chunks are none. */
const BROKEN_FORM: readonly Answer[] = [
  ...REFUSAL,
  [400, "The form was not sent to its end"],
  // Where the end came late, on a busy machine.
  [408, /^The form was not sent within /],
];

/** Something with a mistake in it, which a word names. */
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

/** Mistakes in a request line or in headers, made in a request that would be fine without. */
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

/** Ways to frame a body that contradict themselves, instead of its Content-Length. */
const FRAMINGS: readonly Mistake[] = [
  ["lengths that differ", () => "Content-Length: 9\r\nContent-Length: 3"],
  ["length and chunks", () => "Content-Length: 3\r\nTransfer-Encoding: chunked"],
  ["chunks and length", () => "Transfer-Encoding: chunked\r\nContent-Length: 9"],
  ["senseless length", (dice) => `Content-Length: ${dice.pick(WRONG_LENGTHS)}`],
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
    "length that is none",
    (dice) =>
      `${dice.pick(["zz", "-1", "", " ", "0x9", "9g", "\0", ";"])}\r\nstatus=up\r\n0\r\n\r\n`,
  ],
  ["length beyond all", () => "fffffffffffffffffff\r\nstatus=up\r\n0\r\n\r\n"],
  ["chunk that is longer", () => "3\r\nstatus=up\r\n0\r\n\r\n"],
  ["chunk without end", () => "9\r\nstatus=up0\r\n\r\n"],
  ["garbage after it", () => "9\r\nstatus=up\r\nGET /status HTTP/1.1\r\n\r\n"],
];

const STRANGERS: readonly Mistake[] = [
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
 * Makes up an ending.
 *
 * @param dice Chance.
 * @param requests Makes up what it begins with.
 */
export function ending(dice: Dice, requests: Requests): Ending {
  const roll = dice.below(100);
  if (roll < 30) return mistaken(dice, requests);
  if (roll < 42) return misframed(dice, requests);
  if (roll < 54) return badlyChunked(dice, requests);
  if (roll < 62) return stranger(dice, requests);
  if (roll < 80) return half(dice, requests);
  if (roll < 97) return mangled(dice, requests);
  return http2(dice);
}

function mistaken(dice: Dice, requests: Requests): Ending {
  const [kind, make] = dice.pick(MISTAKES);
  const bytes = make(dice, requests.plain(dice.pick(["GET", "HEAD", "OPTIONS"])));
  return { kind, bytes, answers: REFUSAL, then: "wait" };
}

function misframed(dice: Dice, requests: Requests): Ending {
  const [kind, make] = dice.pick(FRAMINGS);
  const bytes = requests.plain("POST").replace(/Content-Length: \d+/, make(dice, ""));
  return { kind, bytes, answers: REFUSAL, then: "wait" };
}

function badlyChunked(dice: Dice, requests: Requests): Ending {
  const [kind, make] = dice.pick(CHUNKS);
  const bytes = requests.plain("POST")
    .replace(/Content-Length: \d+/, "Transfer-Encoding: chunked")
    .replace("status=up", make(dice, ""));
  return { kind: `chunks: ${kind}`, bytes, answers: BROKEN_FORM, then: "wait" };
}

function stranger(dice: Dice, requests: Requests): Ending {
  const [kind, make] = dice.percent(20)
    ? ["garbage", () => `\xff${dice.bytes(dice.between(1, 300))}\r\n\r\n`] as const
    : dice.pick(STRANGERS);
  return { kind, bytes: make(dice, requests.plain()), answers: REFUSAL, then: "wait" };
}

/** The beginning of a request: it may say anything, and has asked for nothing. */
function half(dice: Dice, requests: Requests): Ending {
  const request = requests.plain(dice.pick(["GET", "HEAD", "POST"]));
  const bytes = request.slice(0, dice.between(1, request.length - 1));
  return { kind: "half a request", bytes, answers: BROKEN_FORM, then: dice.pick(["end", "close"]) };
}

/** What names nothing that counts may be mangled in any way. */
function mangled(dice: Dice, requests: Requests): Ending {
  const isForm = dice.percent(40);
  let bytes = isForm
    ? requests.plain("POST", `loose-${dice.below(20)}`)
    : requests.plain("GET", dice.pick(CONDEMNED)[0]);
  for (let times = dice.between(1, 4); times > 0; times--) bytes = mutated(dice, bytes);
  return { kind: "mangled", bytes, answers: ANY_ANSWER, then: "end" };
}

function mutated(dice: Dice, bytes: string): string {
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

/** HTTP/2 of a client that lets nothing be sent, or its preface and nothing of HTTP/2. */
function http2(dice: Dice): Ending {
  if (dice.percent(50)) {
    const bytes = withClosedWindow("/recent", dice.between(1, 100));
    return { kind: "HTTP/2 with closed windows", bytes, answers: [], then: "close" };
  }
  const bytes = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${dice.bytes(dice.between(0, 200))}`;
  return { kind: "HTTP/2", bytes, answers: [], then: "close" };
}
