import { TlsError } from "../../../src/net/tls_connection.ts";
import { NoResponseError } from "../../../src/net/buffered_reader.ts";
import { hostPort } from "../../../src/net/addresses.ts";
import { Connection } from "../../../src/net/connection.ts";
import {
  exchange,
  type Header,
  HttpError,
  type HttpResponse,
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
} from "../../../src/net/http_client.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import {
  afterRequest,
  type Behaviour,
  closing,
  dripping,
  FaultyServer,
  flooding,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";

/** Sends a request on a new connection. */
async function get(
  port: number,
  { host = "127.0.0.1", path = "/", headers = [], maxBodyBytes = MAX_BODY_BYTES }: {
    host?: string;
    path?: string;
    headers?: readonly Header[];
    maxBodyBytes?: number | undefined;
  } = {},
): Promise<HttpResponse> {
  using connection = await Connection.open(host, port, AbortSignal.timeout(60_000));
  return await exchange(connection, { host: hostPort(host, port), path, headers, maxBodyBytes });
}

/** Sends a request to a server that behaves like this after it. */
async function responseOf(behaviour: Behaviour, maxBodyBytes?: number): Promise<HttpResponse> {
  await using server = await FaultyServer.start(afterRequest(behaviour));
  return await get(server.port, { maxBodyBytes });
}

/** The ways in which a response is sent. */
const ways: readonly [name: string, (response: string, then: Behaviour) => Behaviour][] = [
  ["", sending],
  [" a byte at a time", (response, then) => dripping(response, 0, then)],
];

/** Complete responses. A server that is silent afterwards keeps the connection open. */
const responses: readonly {
  name: string;
  response: string;
  then: Behaviour;
  status?: number;
  body: string;
}[] = [
  {
    name: "a body with a length",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    then: silent,
    body: "hello",
  },
  {
    name: "a body with a length, and more that is not part of it",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 500 No\r\n\r\n",
    then: silent,
    body: "hello",
  },
  {
    name: "an empty body",
    response: "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
    then: silent,
    body: "",
  },
  {
    name: "the same length twice",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCONTENT-LENGTH:2  \r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks",
    response:
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    then: silent,
    body: "hello",
  },
  {
    name: "chunks with odd sizes and extensions",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      '000A;a="b;c"\r\n0123456789\r\n1 \r\nx\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0;last\r\n\r\n',
    then: silent,
    body: "0123456789x\r\n\r\n\r\n\r\n\r\n",
  },
  {
    name: "chunks and a trailer",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
      "2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "only the last chunk",
    response: "HTTP/1.1 503 Down\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    then: silent,
    status: 503,
    body: "",
  },
  {
    name: "a body with a length, and the coding identity",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "the coding identity, and a body that ends with the connection",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\n\r\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "chunks and the coding identity, in two headers",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" +
      "Content-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a length with a space before the colon",
    response: "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks with a tab before the colon of their header",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a length, and another one in a folded line",
    response: "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "205 without a length",
    response: "HTTP/1.1 205 Reset Content\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "205 with a length",
    response: "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "205 in chunks",
    response: "HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "chunks after another coding",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks and a length, which is ignored",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a body that ends with the connection",
    response: "HTTP/1.1 200 OK\r\nServer: old\r\n\r\nhel\r\n\r\nlo",
    then: closing,
    body: "hel\r\n\r\nlo",
  },
  {
    name: "a coding that ends with the connection",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhello",
    then: closing,
    body: "hello",
  },
  {
    name: "HTTP/1.0",
    response: "HTTP/1.0 200 OK\r\n\r\nhello",
    then: closing,
    body: "hello",
  },
  {
    name: "HTTP/1.0 with a length",
    response: "HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    then: silent,
    status: 404,
    body: "no",
  },
  {
    name: "interim responses before the final one",
    response: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Length: 7\r\n\r\n" +
      "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" +
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "204 with a length",
    response: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    then: silent,
    status: 204,
    body: "",
  },
  {
    name: "304 with a length",
    response:
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    then: silent,
    status: 304,
    body: "",
  },
  {
    name: "lines that end without a carriage return",
    response: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n",
    then: silent,
    body: "hi",
  },
  {
    name: "no headers, and lines that end without a carriage return",
    response: "HTTP/1.1 200 OK\n\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "no reason",
    response: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "a reason and headers that are not ASCII",
    response: "HTTP/1.1 200 D'accord, \xe9t\xe9\r\nX: \xff\r\nno header\r\n: none\r\n\r\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "a body in UTF-8",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\xc3\xa9t\xc3\xa9!",
    then: silent,
    body: "été!",
  },
  {
    name: "a body that is not UTF-8",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xe9t\xe9!",
    then: silent,
    body: "\ufffdt\ufffd!",
  },
];

for (const [way, sent] of ways) {
  for (const { name, response, then, status = 200, body } of responses) {
    Deno.test(`exchange() reads ${name}${way}`, async () => {
      assertEquals(await responseOf(sent(response, then)), { status, body });
    });
  }
}

for (const status of [200, 201, 299, 300, 399, 400, 499, 500, 599, 600, 999]) {
  Deno.test(`exchange() reads status ${status}`, async () => {
    const response = `HTTP/1.1 ${status} So\r\nContent-Length: 2\r\n\r\nhi`;
    assertEquals(await responseOf(sending(response)), { status, body: "hi" });
  });
}

const NOT_HTTP = "expected HTTP/1, found another protocol";
const NO_NUMBER = "the response's Content-Length is not one number";
const NO_CHUNKS = "the response's chunks are malformed";
const CUT_IN_HEAD = "the connection was closed within the response's headers";
const CUT_IN_BODY = "the connection was closed within the response's body";

/** Compresses text. The result has one character for each byte. */
async function compressed(text: string, format: CompressionFormat): Promise<string> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream(format));
  const bytes = await new Response(stream).bytes();
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

for (
  const [coding, format] of [
    ["gzip", "gzip"],
    ["GZIP", "gzip"],
    ["x-gzip", "gzip"],
    ["deflate", "deflate"],
    ["deflate", "deflate-raw"],
  ] as const
) {
  Deno.test(`exchange() decompresses a body with Content-Encoding: ${coding} in the format ${format}`, async () => {
    const text = "Grüße! ".repeat(500);
    const body = await compressed(text, format);
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\n`;
    assertEquals(
      await responseOf(sending(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)),
      { status: 200, body: text },
    );
    const chunks = [...body.match(/.{1,100}/gs)!, ""].map((chunk) =>
      `${chunk.length.toString(16)}\r\n${chunk}\r\n`
    );
    assertEquals(
      await responseOf(sending(`${head}Transfer-Encoding: chunked\r\n\r\n${chunks.join("")}`)),
      { status: 200, body: text },
    );
    // A truncated body: what was received is decompressed.
    const half = body.slice(0, body.length - 8);
    assert(text.startsWith((await responseOf(sending(`${head}\r\n${half}`, closing))).body));
  });
}

Deno.test("exchange() decompresses a body up to the limit", async () => {
  // 100 MB of zeros.
  const zeros = await compressed("\0".repeat(100_000_000), "gzip");
  for (const body of [zeros.slice(0, MAX_BODY_BYTES), zeros]) {
    const response = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n${body}`;
    assertEquals((await responseOf(sending(response, closing))).body, "\0".repeat(MAX_BODY_BYTES));
  }
});

Deno.test("exchange() returns a body that it cannot decompress as it is", async () => {
  for (
    const [coding, body] of [
      ["gzip", "no gzip at all"],
      ["deflate", "neither of the two"],
      ["br", "another coding"],
      ["gzip, gzip", "two codings"],
      ["identity", "none"],
      ["gzip", ""],
    ] as const
  ) {
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\n`;
    assertEquals(
      await responseOf(sending(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)),
      { status: 200, body },
      coding,
    );
  }
});

Deno.test("exchange() recognizes a TLS server", async () => {
  for (const bytes of ["\x15\x03\x01\0\x02\x02\x46", "\x15\x03\x03\0\x02\x02\n", "\x16\x03"]) {
    await assertRejects(
      () => responseOf(sending(bytes)),
      TlsError,
      "expected HTTP, found a TLS server",
    );
  }
});

/** Invalid responses. A server that is silent afterwards keeps the connection open. */
const invalid: readonly {
  name: string;
  response: string;
  then: Behaviour;
  why: string;
  Thrown?: new () => Error;
}[] = [
  ...[
    "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "HTTP/1.1 -20 OK\r\n\r\n",
    "http/1.1 200 OK\r\n\r\n",
    " HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1\r\n\r\n",
    "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "<html>\n<body>\n\n",
    "\0\x0a\0\x0a\x0a",
  ].map((response) => ({
    name: `the status line ${JSON.stringify(response.split("\r\n")[0])}`,
    response,
    then: silent,
    why: NOT_HTTP,
  })),
  ...["000", "099"].map((status) => ({
    name: `status ${status}`,
    response: `HTTP/1.1 ${status} Odd\r\n\r\n`,
    then: silent,
    why: "expected an HTTP status",
  })),
  {
    name: "another protocol",
    response: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    then: silent,
    why: "the server switched protocols without being asked",
  },
  ...["five", "-1", "+1", "1.0", "0x5", "", "1 2", "1,2", "9".repeat(16)].map((length) => ({
    name: `a length of ${JSON.stringify(length)}`,
    response: `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\nhello`,
    then: silent,
    why: NO_NUMBER,
  })),
  {
    name: "two lengths",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
    then: silent,
    why: NO_NUMBER,
  },
  ...["x\r\n", "-1\r\n", "\r\n", "0x2\r\nhi\r\n", "1000000000000\r\n", "2\r\nhi2\r\n"].map((
    chunks,
  ) => ({
    name: `chunks like ${JSON.stringify(chunks)}`,
    response: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    then: silent,
    why: NO_CHUNKS,
  })),
  {
    name: "nothing",
    response: "",
    then: closing,
    why: "the connection was closed without a response",
    Thrown: NoResponseError,
  },
  ...["H", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\n\r"].map((
    response,
  ) => ({
    name: `nothing after ${JSON.stringify(response)}`,
    response,
    then: closing,
    why: CUT_IN_HEAD,
  })),
  {
    name: "only an interim response",
    response: "HTTP/1.1 100 Continue\r\n\r\n",
    then: closing,
    why: CUT_IN_HEAD,
  },
  {
    name: "a body shorter than its length",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
    then: closing,
    why: CUT_IN_BODY,
  },
  ...["", "2", "2\r\n", "2\r\nh", "2\r\nhi", "2\r\nhi\r\n", "2\r\nhi\r\n0"].map((chunks) => ({
    name: `no chunks after ${JSON.stringify(chunks)}`,
    response: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    then: closing,
    why: CUT_IN_BODY,
  })),
];

for (const [way, sent] of ways) {
  for (const { name, response, then, why, Thrown = HttpError } of invalid) {
    Deno.test(`exchange() rejects ${name}${way}`, async () => {
      await assertRejects(() => responseOf(sent(response, then)), Thrown, why);
    });
  }
}

/** Status line and headers of a length, the empty line after them included. */
function headOf(length: number): string {
  const start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
  const end = "X: \r\n\r\n";
  const filler = "x".repeat(length - start.length - end.length);
  return `${start}${end.replace(" ", ` ${filler}`)}`;
}

Deno.test("exchange() reads headers up to the limit", async () => {
  const head = headOf(MAX_HEAD_BYTES);
  assertEquals(head.length, MAX_HEAD_BYTES);
  assertEquals(await responseOf(sending(`${head}hi`)), { status: 200, body: "hi" });
});

Deno.test("exchange() rejects headers above the limit", async () => {
  for (
    const behaviour of [
      sending(`${headOf(4 * MAX_HEAD_BYTES)}hi`),
      sending("HTTP/1.1 200 OK\r\n", flooding("X: x\r\n")),
      flooding("HTTP/1.1 200 OK"),
      sending("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", flooding("x")),
    ]
  ) {
    await assertRejects(() => responseOf(behaviour), HttpError);
  }
});

/** Endless responses, and the error that ends them. */
const endless: readonly { name: string; behaviour: Behaviour; why: string }[] = [
  {
    name: "interim responses",
    behaviour: flooding("HTTP/1.1 100 Continue\r\n\r\n"),
    why: "the response's headers are longer than 65536 bytes",
  },
  {
    name: "one-byte chunks",
    behaviour: sending(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      flooding("1\r\nx\r\n"),
    ),
    why: "the response has more than 1048576 bytes around its chunks",
  },
  {
    name: "chunks with long extensions",
    behaviour: sending(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      flooding(`1;${"x".repeat(60_000)}\r\nx\r\n`),
    ),
    why: "the response has more than 1048576 bytes around its chunks",
  },
];

for (const { name, behaviour, why } of endless) {
  Deno.test(`exchange() rejects endless ${name}`, async () => {
    await using server = await FaultyServer.start(afterRequest(behaviour));
    await assertRejects(() => get(server.port, { maxBodyBytes: 16_000_000 }), HttpError, why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("exchange() reads a body of one-byte chunks up to the limit", async () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const { body } = await responseOf(sending(chunked, flooding("1\r\nx\r\n")));
  assertEquals(body, "x".repeat(MAX_BODY_BYTES));
});

/** The framings of a body. */
const framings: readonly { name: string; framed: (body: string) => string }[] = [
  {
    name: "a length",
    framed: (body) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  },
  {
    name: "chunks",
    framed: (body) => {
      const chunks = body.match(/.{1,5000}/gs)!.map((chunk) =>
        `${chunk.length.toString(16)}\r\n${chunk}\r\n`
      );
      return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\n\r\n`;
    },
  },
  {
    name: "one chunk",
    framed: (body) =>
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${
        body.length.toString(16)
      }\r\n${body}\r\n0\r\n\r\n`,
  },
  { name: "the end of the connection", framed: (body) => `HTTP/1.1 200 OK\r\n\r\n${body}` },
];

for (const { name, framed } of framings) {
  Deno.test(`exchange() reads a body with ${name} up to the limit, and the connection closes`, async () => {
    const body = "0123456789".repeat(MAX_BODY_BYTES);
    for (const length of [MAX_BODY_BYTES - 1, MAX_BODY_BYTES]) {
      const response = framed(body.slice(0, length));
      assertEquals(await responseOf(sending(response, closing)), {
        status: 200,
        body: body.slice(0, length),
      });
    }
    for (const length of [MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 5 * MAX_BODY_BYTES]) {
      // The server does not close the connection.
      await using server = await FaultyServer.start(
        afterRequest(sending(framed(body.slice(0, length)))),
      );
      const { body: read } = await get(server.port);
      assertEquals(read, body.slice(0, MAX_BODY_BYTES));
      await until("no connection is open", async () => await server.connected() === 0);
    }
    assertEquals((await responseOf(sending(framed("hello")), 3)).body, "hel");
  });
}

Deno.test("exchange() reads an endless body up to the limit", async () => {
  await using server = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 200 OK\r\n\r\n", flooding("x"))),
  );
  const { body } = await get(server.port);
  assertEquals(body, "x".repeat(MAX_BODY_BYTES));
  await until("no connection is open", async () => await server.connected() === 0);
});

Deno.test("exchange() omits a character that the limit cuts", async () => {
  const cut = `HTTP/1.1 200 OK\r\n\r\nx${"\xc3\xa9".repeat(MAX_BODY_BYTES)}`;
  const { body } = await responseOf(sending(cut));
  assertEquals(body, `x${"é".repeat(MAX_BODY_BYTES / 2 - 1)}`);
});

/** Returns what a server receives, with one character for each byte, and PORT for its port. */
async function receivedFor(
  path: string,
  headers: readonly Header[],
  address: { host?: string; port?: number } = {},
): Promise<string[]> {
  await using server = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 204 Fine\r\n\r\n")),
    address,
  );
  const { host = "127.0.0.1" } = address;
  await get(server.port, { host, path, headers });
  return server.received.replaceAll(`:${server.port}`, ":PORT").split("\r\n");
}

Deno.test("exchange() sends Host and Connection: close", async () => {
  assertEquals(await receivedFor("/", []), [
    "GET / HTTP/1.1",
    "Host: 127.0.0.1:PORT",
    "Connection: close",
    "",
    "",
  ]);
});

for (const name of ["Host", "host", "HOST"]) {
  Deno.test(`exchange() sends no Host beside a header named ${name}`, async () => {
    assertEquals(await receivedFor("/", [["X-First", "1"], [name, "web.example"]]), [
      "GET / HTTP/1.1",
      "X-First: 1",
      `${name}: web.example`,
      "Connection: close",
      "",
      "",
    ]);
  });
}

Deno.test("exchange() sends an IPv6 address in brackets", async () => {
  const [, host] = await receivedFor("/", [], { host: "::1" });
  assertEquals(host, "Host: [::1]:PORT");
});

const utf8 = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));

for (
  const path of [
    "/",
    "/status?deep=1&x=%20%2F%zz",
    "/a//b/../c/./d?e?f#g",
    "/{}|\"<>\\^`'[]",
    "/été/日本/😀?ü=ö",
    "//other.example/",
    `/${"x".repeat(20_000)}`,
  ]
) {
  Deno.test(`exchange() sends the path ${path.slice(0, 30)} as it is`, async () => {
    const [line] = await receivedFor(path, []);
    assertEquals(line, `GET ${utf8(path)} HTTP/1.1`);
  });
}

Deno.test("exchange() sends header values as they are", async () => {
  const value = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
    .filter((character) => !"\r\n\0".includes(character)).join("");
  const [, , line] = await receivedFor("/", [["X-All", value]]);
  assertEquals(line, `X-All: ${value}`);
});

Deno.test("exchange() connects to ports that fetch rejects", async () => {
  for (const port of [6666, 6667, 6668, 6669, 6665, 6697, 10080, 6000, 5060, 5061, 4190]) {
    try {
      const [line] = await receivedFor("/", [], { port });
      assertEquals(line, "GET / HTTP/1.1");
      return;
    } catch (error) {
      assert((error as { code?: string }).code === "EADDRINUSE", String(error));
    }
  }
  throw new Error("all of these ports are taken");
});
