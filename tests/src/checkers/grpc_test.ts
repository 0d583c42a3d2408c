import { grpcChecker } from "../../../src/checkers/grpc.ts";
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
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const checkGrpc = grpcChecker();

const WHY = /^gRPC check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: (.+)$/;
const TIMED_OUT = /^gRPC check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/;

const LONG = "a.".repeat(5000) + "Long";

serverTest(
  "grpcChecker() returns the state of a gRPC server, or of one of its services",
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
      // The longest name whose length is one byte, and one byte more.
      ["x".repeat(127)]: "SERVING",
      ["x".repeat(128)]: "SERVING",
      [LONG]: "SERVING",
    });
    const up = { code: 200, message: "SERVING" };
    const reason = "unhealthy";
    const down = { code: 503, message: "NOT_SERVING", reason } as const;
    const unknown = { code: 404, message: "SERVICE_UNKNOWN", reason } as const;
    for (
      const [path, verdict] of [
        ["/", up],
        ["/?deep=1", up],
        ["/shop.v1.Cart", up],
        ["/shop.v1.Cart?deep=1", up],
        ["/shop%2Ev1%2ECart", up],
        ["/shop.v1.Stock", down],
        ["/shop.v1.New", { code: 503, message: "UNKNOWN", reason }],
        ["/shop.v1.None", unknown],
        ["/shop.v1.cart", unknown],
        ["/shop/v1", up],
        ["/shop%2Fv1", up],
        ["//shop/v1", unknown],
        ["/caf%C3%A9%20100%25", up],
        // An invalid escape is taken as it is.
        ["/100%", up],
        [`/${"x".repeat(127)}`, up],
        [`/${"x".repeat(128)}`, up],
        [`/${LONG}`, up],
      ] as const
    ) {
      assertVerdict(
        await checkGrpc(requestTo(server.port, { path }), longDeadline()),
        verdict,
        path,
      );
    }
    server.setStatus("", "NOT_SERVING");
    assertVerdict(await checkGrpc(requestTo(server.port), longDeadline()), down);
    server.setStatus("", "SERVING");
    assertVerdict(await checkGrpc(requestTo(server.port), longDeadline()), up);
    await until("no connection is open", async () => await connectionsTo(server.port) === 0);
  },
);

serverTest(
  "grpcChecker() returns 503 for a server without the health service",
  GRPC_PROGRAMS,
  async () => {
    await using server = await Grpc.start(null);
    for (const path of ["/", "/shop.v1.Cart"]) {
      const { code, message } = await checkGrpc(requestTo(server.port, { path }), longDeadline());
      assertEquals(code, 503);
      assertMatch(
        message,
        /^gRPC check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: gRPC status 12 .+$/,
      );
    }
  },
);

serverTest("grpcChecker() closes all connections to a gRPC server", GRPC_PROGRAMS, async () => {
  await using server = await Grpc.start({ "": "SERVING" });
  for (let done = 0; done < 200; done += 20) {
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, () => checkGrpc(requestTo(server.port), longDeadline())),
    );
    for (const { code, message } of verdicts) assertEquals(code, 200, message);
  }
  await until("no connection is open", async () => await connectionsTo(server.port) === 0);
});

serverTest("grpcChecker() returns 503 for a web server", NGINX_PROGRAMS, async () => {
  for (
    const [http2, expected] of [
      ["", /^expected HTTP\/2, found another protocol, such as HTTP\/1 or TLS$/],
      ["http2", /^HTTP status 404$/],
    ] as const
  ) {
    await using nginx = await Nginx.start((address) =>
      `server { listen ${address} ${http2}; return 404; }`
    );
    const { code, message } = await checkGrpc(requestTo(nginx.port), longDeadline());
    assertEquals(code, 503);
    assertMatch(WHY.exec(message)?.[1] ?? "", expected);
    await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
  }
});

serverTest(
  "grpcChecker() works through a proxy",
  [...GRPC_PROGRAMS, ...NGINX_PROGRAMS],
  async () => {
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
      assertVerdict(await checkGrpc(requestTo(nginx.port, { path }), longDeadline()), {
        ...{ code, message },
        ...code === 200 ? {} : { reason: "unhealthy" },
      });
    }
    await server.stop();
    const { code, message } = await checkGrpc(requestTo(nginx.port), longDeadline());
    assertEquals(code, 503);
    assertMatch(message, /: HTTP status 502$/);
  },
);

/** Encodes a frame of HTTP/2, one character for each byte. */
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

/** Encodes a header for HPACK that is in no table. */
function field(name: string, value: string): string {
  return `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
}

/** A server that responds to a call with frames. */
function answering(frames: string, then?: Behaviour): Behaviour {
  return afterData(sending(SETTINGS + frames, then));
}

/** A server that responds to a call as gRPC. */
function replying(content: string, ...trailers: readonly string[]): Behaviour {
  return answering(
    frame(1, END_HEADERS, 1, OK + field("content-type", "application/grpc")) +
      frame(0, 0, 1, content) +
      frame(1, END_HEADERS | END_STREAM, 1, trailers.join("")),
  );
}

const SERVING = "\0\0\0\0\x02\x08\x01";
const STATUS_OK = field("grpc-status", "0");

/** Servers and the verdicts for them. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  why?: RegExp;
}[] = [
  {
    name: "is serving",
    behaviour: replying(SERVING, STATUS_OK),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "is serving, in pieces",
    behaviour: answering(
      frame(1, END_HEADERS, 1, OK) +
        [...SERVING].map((byte) => frame(0, 0, 1, byte)).join("") +
        frame(1, END_HEADERS | END_STREAM, 1, STATUS_OK),
    ),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "is serving, with another field",
    behaviour: replying("\0\0\0\0\x05\x08\x01\x12\x01x", STATUS_OK),
    code: 200,
    why: /^SERVING$/,
  },
  {
    name: "has an unknown state",
    behaviour: replying("\0\0\0\0\0", STATUS_OK),
    why: /^UNKNOWN$/,
  },
  {
    name: "does not know the service",
    behaviour: replying("\0\0\0\0\x02\x08\x03", STATUS_OK),
    code: 404,
    why: /^SERVICE_UNKNOWN$/,
  },
  {
    name: "sends a state that does not exist",
    behaviour: replying("\0\0\0\0\x02\x08\x09", STATUS_OK),
  },
  { name: "sends another field", behaviour: replying("\0\0\0\0\x02\x12\x01", STATUS_OK) },
  { name: "sends no message", behaviour: replying("", STATUS_OK) },
  { name: "sends an incomplete message", behaviour: replying("\0\0", STATUS_OK) },
  {
    name: "is serving, with an error status",
    behaviour: replying(
      SERVING,
      field("grpc-status", "14"),
      field("grpc-message", "caf%C3%A9 closed"),
    ),
    why: /^gRPC status 14 caf\xe9 closed$/,
  },
  {
    name: "is serving, without a status",
    behaviour: replying(SERVING, field("x", "y")),
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
    name: "sends a message that is too long",
    behaviour: answering(frame(1, END_HEADERS, 1, OK), flooding(frame(0, 0, 1, "x".repeat(999)))),
    why: /^the response is too long$/,
  },
  {
    name: "returns 404",
    behaviour: answering(frame(1, END_HEADERS | END_STREAM, 1, NOT_FOUND)),
    why: /^HTTP status 404$/,
  },
  {
    name: "sends no status",
    behaviour: answering(frame(1, END_HEADERS | END_STREAM, 1, OK)),
    why: /^gRPC status missing$/,
  },
  {
    name: "closes within its response",
    behaviour: answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, SERVING), closing),
  },
  {
    name: "resets within its response",
    behaviour: answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, SERVING), resetting),
  },
  {
    name: "closes at once",
    behaviour: closing,
    why:
      /^the connection was (closed|reset) without a response; a server that expects TLS does that/,
  },
  { name: "resets the connection", behaviour: resetting },
  { name: "closes after its settings", behaviour: sending(SETTINGS, closing) },
  { name: "resets after its settings", behaviour: sending(SETTINGS, resetting) },
  { name: "refuses the call", behaviour: answering(frame(3, 0, 1, "\0\0\0\x07")) },
  { name: "ends the call without an error", behaviour: answering(frame(3, 0, 1, "\0\0\0\0")) },
  { name: "sends GOAWAY", behaviour: answering(frame(7, 0, 0, "\0\0\0\0\0\0\0\0")) },
  {
    name: "sends GOAWAY at once",
    behaviour: sending(SETTINGS + frame(7, 0, 0, "\0\0\0\0\0\0\0\x02")),
  },
  {
    name: "sends GOAWAY and closes",
    behaviour: answering(frame(7, 0, 0, "\0\0\0\0\0\0\0\0"), closing),
  },
  { name: "sends invalid headers", behaviour: answering(frame(1, 5, 1, "\xff")) },
  {
    name: "announces a frame of 16 MiB",
    behaviour: sending(`${SETTINGS}\xff\xff\xff\0\0\0\0\0\x01`),
  },
  {
    name: "sends endless pings",
    behaviour: sending(SETTINGS, flooding(frame(6, 0, 0, "abcdefgh"))),
  },
  { name: "sends endless greetings", behaviour: flooding(SETTINGS) },
  {
    name: "sends endless headers",
    behaviour: answering(frame(1, 0, 1, OK), flooding(frame(9, 0, 1, field("a", "b")))),
  },
  {
    name: "is an HTTP server",
    behaviour: sending("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
  },
  { name: "is an SSH server", behaviour: sending("SSH-2.0-OpenSSH_9.2\r\n") },
  { name: "expects TLS", behaviour: afterData(sending("\x15\x03\x01\0\x02\x02\x46", closing)) },
  { name: "sends endless zeros", behaviour: flooding("\0") },
];

for (const { name, behaviour, code = 503, why = /./ } of servers) {
  Deno.test(`grpcChecker() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await checkGrpc(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    const [, words] = WHY.exec(verdict.message) ?? [, verdict.message];
    assertMatch(words!, why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

for (
  const [name, behaviourFor] of [
    ["random bytes", (bytes: string) => sending(bytes, closing)],
    ["random bytes after the greeting", (bytes: string) => answering(bytes, closing)],
    ["headers of random bytes", (bytes: string) => answering(frame(1, 5, 1, bytes), closing)],
    ["a response of random bytes", (bytes: string) => replying(bytes, STATUS_OK)],
  ] as const
) {
  Deno.test(`grpcChecker() survives ${name}, 100 random ones`, async () => {
    const next = randomBytes(20_150_706);
    let bytes = "";
    await using server = await FaultyServer.start((socket) => behaviourFor(bytes)(socket));
    for (let turn = 0; turn < 100; turn++) {
      bytes = next(1 + next(1).charCodeAt(0) * (turn % 10));
      const { code, message } = await checkGrpc(requestTo(server.port), longDeadline());
      assert(code === 503, `${turn}: ${code} ${message} of ${JSON.stringify(bytes)}`);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

testAbsence(
  "grpcChecker()",
  grpcChecker(),
  /^gRPC check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: Connection refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "sends only its settings": sending(SETTINGS),
    "stops within its response": answering(frame(1, END_HEADERS, 1, OK) + frame(0, 0, 1, SERVING)),
    "sends a byte a second": afterData(dripping(SETTINGS, 1000)),
  },
);

testFaults("grpcChecker()", grpcChecker(), () => [503]);
