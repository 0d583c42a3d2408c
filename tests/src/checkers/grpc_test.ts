import { checkGrpc } from "../../../src/checkers/grpc.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { randomBytes } from "../../support/random_bytes.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { Grpc, GRPC_PROGRAMS } from "../../servers/grpc.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../../servers/nginx.ts";
import { ampleTime, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

const WHY = /^gRPC check failed after \d+\.\d\ds: (.+)$/;
const TIMED_OUT = /^gRPC check failed after \d+\.\d\ds: timed out$/;

const LONG = "a.".repeat(5000) + "Long";

serverTest(
  "checkGrpc() asks a gRPC server how it is, or how one of its services is",
  GRPC_PROGRAMS,
  async () => {
    await using server = await Grpc.start({
      "": "SERVING",
      "shop.v1.Cart": "SERVING",
      "shop.v1.Stock": "NOT_SERVING",
      "shop.v1.New": "UNKNOWN",
      "shop/v1": "SERVING",
      "caf\xe9 100%": "SERVING",
      "100%": "SERVING",
      // One byte more than what has a length of one byte, and one that has no more than that.
      ["x".repeat(127)]: "SERVING",
      ["x".repeat(128)]: "SERVING",
      [LONG]: "SERVING",
    });
    const up = { code: 200, message: "SERVING" };
    const down = { code: 503, message: "NOT_SERVING" };
    const unknown = { code: 404, message: "SERVICE_UNKNOWN" };
    for (
      const [path, verdict] of [
        ["/", up],
        ["/?deep=1", up],
        ["/shop.v1.Cart", up],
        ["/shop.v1.Cart?deep=1", up],
        ["/shop%2Ev1%2ECart", up],
        ["/shop.v1.Stock", down],
        ["/shop.v1.New", { code: 503, message: "UNKNOWN" }],
        ["/shop.v1.None", unknown],
        ["/shop.v1.cart", unknown],
        ["/shop/v1", up],
        ["/shop%2Fv1", up],
        ["//shop/v1", unknown],
        ["/caf%C3%A9%20100%25", up],
        // No escape at all: it is taken as it is.
        ["/100%", up],
        [`/${"x".repeat(127)}`, up],
        [`/${"x".repeat(128)}`, up],
        [`/${LONG}`, up],
      ] as const
    ) {
      assertEquals(await checkGrpc(requestTo(server.port, { path }), ampleTime()), verdict, path);
    }
    server.setStatus("", "NOT_SERVING");
    assertEquals(await checkGrpc(requestTo(server.port), ampleTime()), down);
    server.setStatus("", "SERVING");
    assertEquals(await checkGrpc(requestTo(server.port), ampleTime()), up);
    await until("no connection is open", async () => await connectionsTo(server.port) === 0);
  },
);

serverTest(
  "checkGrpc() does not take a server without the health service for one that is well",
  GRPC_PROGRAMS,
  async () => {
    await using server = await Grpc.start(null);
    for (const path of ["/", "/shop.v1.Cart"]) {
      const { code, message } = await checkGrpc(requestTo(server.port, { path }), ampleTime());
      assertEquals(code, 503);
      assertMatch(message, /^gRPC check failed after \d+\.\d\ds: gRPC status 12 .+$/);
    }
  },
);

serverTest("checkGrpc() leaves nothing open at a gRPC server", GRPC_PROGRAMS, async () => {
  await using server = await Grpc.start({ "": "SERVING" });
  for (let done = 0; done < 200; done += 20) {
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, () => checkGrpc(requestTo(server.port), ampleTime())),
    );
    for (const { code, message } of verdicts) assertEquals(code, 200, message);
  }
  await until("no connection is open", async () => await connectionsTo(server.port) === 0);
});

serverTest("checkGrpc() says that a web server is no gRPC server", NGINX_PROGRAMS, async () => {
  for (
    const [http2, expected] of [
      ["", /./],
      ["http2", /^HTTP status 404$/],
    ] as const
  ) {
    await using nginx = await Nginx.start((address) =>
      `server { listen ${address} ${http2}; return 404; }`
    );
    const { code, message } = await checkGrpc(requestTo(nginx.port), ampleTime());
    assertEquals(code, 503);
    assertMatch(WHY.exec(message)?.[1] ?? "", expected);
    await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
  }
});

serverTest("checkGrpc() asks through a proxy", [...GRPC_PROGRAMS, ...NGINX_PROGRAMS], async () => {
  await using server = await Grpc.start({ "": "SERVING", "shop.v1.Stock": "NOT_SERVING" });
  await using nginx = await Nginx.start((address) =>
    `server {
  listen ${address} http2;
  location / { grpc_pass grpc://127.0.0.1:${server.port}; }
}`
  );
  for (
    const [path, code, message] of [
      ["/", 200, "SERVING"],
      ["/shop.v1.Stock", 503, "NOT_SERVING"],
      ["/none", 404, "SERVICE_UNKNOWN"],
    ] as const
  ) {
    assertEquals(await checkGrpc(requestTo(nginx.port, { path }), ampleTime()), { code, message });
  }
  await server.stop();
  const { code, message } = await checkGrpc(requestTo(nginx.port), ampleTime());
  assertEquals(code, 503);
  assertMatch(message, /: HTTP status 502$/);
});

/** A frame of HTTP/2, a character a byte. */
function frame(type: number, flags: number, stream: number, content: string): string {
  const { length } = content;
  return String.fromCharCode(
    length >> 16,
    length >> 8 & 255,
    length & 255,
    type,
    flags,
    0,
    0,
    0,
    stream,
  ) +
    content;
}

const SETTINGS = frame(4, 0, 0, "");
const END_HEADERS = 4;
const END_STREAM = 1;
/** `:status: 200` and `:status: 404` in the static table of HPACK. */
const [OK, NOT_FOUND] = ["\x88", "\x8d"];

/** A header as HPACK writes one that is in no table. */
function field(name: string, value: string): string {
  return `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
}

/** A server that hears a call, and answers with frames. */
function answering(frames: string, then?: Behaviour): Behaviour {
  return afterData(sending(SETTINGS + frames, then));
}

/** A server that answers a call as gRPC does. */
function replying(content: string, ...trailers: readonly string[]): Behaviour {
  return answering(
    frame(1, END_HEADERS, 1, OK + field("content-type", "application/grpc")) +
      frame(0, 0, 1, content) +
      frame(1, END_HEADERS | END_STREAM, 1, trailers.join("")),
  );
}

const WELL = "\0\0\0\0\x02\x08\x01";
const STATUS_OK = field("grpc-status", "0");

/** What a server may say, and what is then said of it. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  why?: RegExp;
}[] = [
  {
    name: "says that it is well",
    behaviour: replying(WELL, STATUS_OK),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "says so in pieces",
    behaviour: answering(
      frame(1, END_HEADERS, 1, OK) +
        [...WELL].map((byte) => frame(0, 0, 1, byte)).join("") +
        frame(1, END_HEADERS | END_STREAM, 1, STATUS_OK),
    ),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "says so and more",
    behaviour: replying("\0\0\0\0\x05\x08\x01\x12\x01x", STATUS_OK),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "does not know how it is",
    behaviour: replying("\0\0\0\0\0", STATUS_OK),
    why: /^UNKNOWN$/,
  },
  {
    name: "does not know the service",
    behaviour: replying("\0\0\0\0\x02\x08\x03", STATUS_OK),
    code: 404,
    why: /^SERVICE_UNKNOWN$/,
  },
  { name: "says what nobody knows", behaviour: replying("\0\0\0\0\x02\x08\x09", STATUS_OK) },
  { name: "says something else", behaviour: replying("\0\0\0\0\x02\x12\x01", STATUS_OK) },
  { name: "says nothing", behaviour: replying("", STATUS_OK) },
  { name: "does not say all", behaviour: replying("\0\0", STATUS_OK) },
  {
    name: "says that it is well and that it is not",
    behaviour: replying(
      WELL,
      field("grpc-status", "14"),
      field("grpc-message", "caf%C3%A9 closed"),
    ),
    why: /^gRPC status 14 caf\xe9 closed$/,
  },
  {
    name: "says that it is well without a status",
    behaviour: replying(WELL, field("x", "y")),
    why: /^gRPC status missing$/,
  },
  {
    name: "has no such service",
    behaviour: answering(
      frame(1, END_HEADERS | END_STREAM, 1, OK + field("grpc-status", "5")),
    ),
    code: 404,
    why: /^SERVICE_UNKNOWN$/,
  },
  {
    name: "says too much",
    behaviour: answering(frame(1, END_HEADERS, 1, OK), flooding(frame(0, 0, 1, "x".repeat(999)))),
    why: /^the response is too long$/,
  },
  {
    name: "has nothing there",
    behaviour: answering(frame(1, END_HEADERS | END_STREAM, 1, NOT_FOUND)),
    why: /^HTTP status 404$/,
  },
  {
    name: "says nothing of its status",
    behaviour: answering(frame(1, END_HEADERS | END_STREAM, 1, OK)),
    why: /^gRPC status missing$/,
  },
  {
    name: "closes within its answer",
    behaviour: answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, WELL), closing),
  },
  {
    name: "resets within its answer",
    behaviour: answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, WELL), resetting),
  },
  {
    name: "closes at once",
    behaviour: closing,
    why: /^the connection was closed without a response$/,
  },
  { name: "resets the connection", behaviour: resetting },
  { name: "greets and closes", behaviour: sending(SETTINGS, closing) },
  { name: "greets and resets", behaviour: sending(SETTINGS, resetting) },
  { name: "refuses the call", behaviour: answering(frame(3, 0, 1, "\0\0\0\x07")) },
  { name: "ends the call without a word", behaviour: answering(frame(3, 0, 1, "\0\0\0\0")) },
  { name: "goes away", behaviour: answering(frame(7, 0, 0, "\0\0\0\0\0\0\0\0")) },
  {
    name: "goes away at once",
    behaviour: sending(SETTINGS + frame(7, 0, 0, "\0\0\0\0\0\0\0\x02")),
  },
  {
    name: "goes away and closes",
    behaviour: answering(frame(7, 0, 0, "\0\0\0\0\0\0\0\0"), closing),
  },
  { name: "has headers that are none", behaviour: answering(frame(1, 5, 1, "\xff")) },
  {
    name: "announces a frame of 16 MiB",
    behaviour: sending(`${SETTINGS}\xff\xff\xff\0\0\0\0\0\x01`),
  },
  {
    name: "pings without an end",
    behaviour: sending(SETTINGS, flooding(frame(6, 0, 0, "abcdefgh"))),
  },
  { name: "greets without an end", behaviour: flooding(SETTINGS) },
  {
    name: "sends headers without an end",
    behaviour: answering(frame(1, 0, 1, OK), flooding(frame(9, 0, 1, field("a", "b")))),
  },
  {
    name: "is an HTTP server",
    behaviour: sending("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
  },
  { name: "is an SSH server", behaviour: sending("SSH-2.0-OpenSSH_9.2\r\n") },
  { name: "wants TLS", behaviour: afterData(sending("\x15\x03\x01\0\x02\x02\x46", closing)) },
  { name: "sends zeros without an end", behaviour: flooding("\0") },
];

for (const { name, behaviour, code = 503, why = /./ } of servers) {
  Deno.test(`checkGrpc() answers ${code} of a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await checkGrpc(requestTo(server.port), ampleTime());
    assertEquals(verdict.code, code, verdict.message);
    const [, words] = WHY.exec(verdict.message) ?? [, verdict.message];
    assertMatch(words!, why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

for (
  const [name, behaviourFor] of [
    ["nonsense", (bytes: string) => sending(bytes, closing)],
    ["nonsense after the greeting", (bytes: string) => answering(bytes, closing)],
    ["headers of nonsense", (bytes: string) => answering(frame(1, 5, 1, bytes), closing)],
    ["an answer of nonsense", (bytes: string) => replying(bytes, STATUS_OK)],
  ] as const
) {
  Deno.test(`checkGrpc() survives ${name}, a hundred times another`, async () => {
    const next = randomBytes(20_150_706);
    let bytes = "";
    await using server = await FaultyServer.start((socket) => behaviourFor(bytes)(socket));
    for (let turn = 0; turn < 100; turn++) {
      bytes = next(1 + next(1).charCodeAt(0) * (turn % 10));
      const { code, message } = await checkGrpc(requestTo(server.port), ampleTime());
      assert(code === 503, `${turn}: ${code} ${message} of ${JSON.stringify(bytes)}`);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

testAbsence(
  "checkGrpc()",
  checkGrpc,
  /^gRPC check failed after \d+\.\d\ds: connect ECONNREFUSED/,
  TIMED_OUT,
  {
    "never speaks": silent,
    "greets and says no more": sending(SETTINGS),
    "stops within its answer": answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, WELL)),
    "sends a byte a second": afterData(dripping(SETTINGS, 1000)),
  },
);

testFaults("checkGrpc()", checkGrpc, () => [503]);
