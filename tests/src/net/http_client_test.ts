import {
  get,
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

/** Asks a server that behaves so when it is spoken to. */
async function answerOf(behaviour: Behaviour, maxBodyBytes?: number): Promise<HttpResponse> {
  await using server = await FaultyServer.start(afterRequest(behaviour));
  return await get("127.0.0.1", server.port, "/", [], AbortSignal.timeout(60_000), maxBodyBytes);
}

/** The two ways in which an answer comes: at once, and a byte at a time. */
const ways: readonly [name: string, (answer: string, then: Behaviour) => Behaviour][] = [
  ["", sending],
  [" a byte at a time", (answer, then) => dripping(answer, 0, then)],
];

/** What is a whole answer; a server that is silent after it has not closed the connection. */
const answers: readonly {
  name: string;
  answer: string;
  then: Behaviour;
  status?: number;
  body: string;
}[] = [
  {
    name: "a body of a given length",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    then: silent,
    body: "hello",
  },
  {
    name: "a body of a given length, and more that is not part of it",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 500 No\r\n\r\n",
    then: silent,
    body: "hello",
  },
  {
    name: "an empty body",
    answer: "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
    then: silent,
    body: "",
  },
  {
    name: "the same length twice",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCONTENT-LENGTH:2  \r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    then: silent,
    body: "hello",
  },
  {
    name: "chunks with odd sizes and extensions",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      '000A;a="b;c"\r\n0123456789\r\n1 \r\nx\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0;last\r\n\r\n',
    then: silent,
    body: "0123456789x\r\n\r\n\r\n\r\n\r\n",
  },
  {
    name: "chunks and a trailer",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
      "2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "no chunk but the last",
    answer: "HTTP/1.1 503 Down\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    then: silent,
    status: 503,
    body: "",
  },
  {
    name: "a body of a given length, and no coding by name",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "no coding by name, and a body that ends with the connection",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\n\r\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "chunks and no coding, in two headers",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" +
      "Content-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a length whose name has a space behind it",
    answer: "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks whose header has a tab behind its name",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a length that a folded line only seems to give",
    answer: "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "205 without a length",
    answer: "HTTP/1.1 205 Reset Content\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "205 with a length",
    answer: "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "205 in chunks",
    answer: "HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    then: silent,
    status: 205,
    body: "",
  },
  {
    name: "chunks after another coding",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "chunks and a length, which does not count then",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "2\r\nhi\r\n0\r\n\r\n",
    then: silent,
    body: "hi",
  },
  {
    name: "a body that ends with the connection",
    answer: "HTTP/1.1 200 OK\r\nServer: old\r\n\r\nhel\r\n\r\nlo",
    then: closing,
    body: "hel\r\n\r\nlo",
  },
  {
    name: "a coding that ends with the connection",
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhello",
    then: closing,
    body: "hello",
  },
  {
    name: "HTTP/1.0",
    answer: "HTTP/1.0 200 OK\r\n\r\nhello",
    then: closing,
    body: "hello",
  },
  {
    name: "HTTP/1.0 with a length",
    answer: "HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    then: silent,
    status: 404,
    body: "no",
  },
  {
    name: "interim answers before the final one",
    answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Length: 7\r\n\r\n" +
      "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" +
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "204, whatever length it gives",
    answer: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    then: silent,
    status: 204,
    body: "",
  },
  {
    name: "304, whatever length it gives",
    answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    then: silent,
    status: 304,
    body: "",
  },
  {
    name: "lines that end without a carriage return",
    answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n",
    then: silent,
    body: "hi",
  },
  {
    name: "no headers, and lines that end without a carriage return",
    answer: "HTTP/1.1 200 OK\n\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "no reason",
    answer: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
    then: silent,
    body: "hi",
  },
  {
    name: "a reason and headers in whatever coding",
    answer: "HTTP/1.1 200 D'accord, \xe9t\xe9\r\nX: \xff\r\nno header\r\n: none\r\n\r\nhi",
    then: closing,
    body: "hi",
  },
  {
    name: "a body in UTF-8",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\xc3\xa9t\xc3\xa9!",
    then: silent,
    body: "été!",
  },
  {
    name: "a body that is not UTF-8",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xe9t\xe9!",
    then: silent,
    body: "\ufffdt\ufffd!",
  },
];

for (const [way, sent] of ways) {
  for (const { name, answer, then, status = 200, body } of answers) {
    Deno.test(`get() reads ${name}${way}`, async () => {
      assertEquals(await answerOf(sent(answer, then)), { status, body });
    });
  }
}

for (const status of [200, 201, 299, 300, 399, 400, 499, 500, 599, 600, 999]) {
  Deno.test(`get() reads status ${status}`, async () => {
    const answer = `HTTP/1.1 ${status} So\r\nContent-Length: 2\r\n\r\nhi`;
    assertEquals(await answerOf(sending(answer)), { status, body: "hi" });
  });
}

const NOT_HTTP = "the answer is not HTTP/1";
const NO_NUMBER = "the answer's Content-Length is not one number";
const NO_CHUNKS = "the answer's chunks are malformed";
const CUT_IN_HEAD = "the connection was closed within the answer's headers";
const CUT_IN_BODY = "the connection was closed within the answer's body";

/** Compresses text, to a byte a character. */
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
  Deno.test(`get() unpacks a body with Content-Encoding: ${coding} in the format ${format}`, async () => {
    const text = "Grüße! ".repeat(500);
    const body = await compressed(text, format);
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\n`;
    assertEquals(
      await answerOf(sending(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)),
      { status: 200, body: text },
    );
    const chunks = [...body.match(/.{1,100}/gs)!, ""].map((chunk) =>
      `${chunk.length.toString(16)}\r\n${chunk}\r\n`
    );
    assertEquals(
      await answerOf(sending(`${head}Transfer-Encoding: chunked\r\n\r\n${chunks.join("")}`)),
      { status: 200, body: text },
    );
    // Cut off: what came before that is there.
    const half = body.slice(0, body.length - 8);
    assert(text.startsWith((await answerOf(sending(`${head}\r\n${half}`, closing))).body));
  });
}

Deno.test("get() unpacks no more of a body than is wanted", async () => {
  // 100 MB of zeros.
  const zeros = await compressed("\0".repeat(100_000_000), "gzip");
  for (const body of [zeros.slice(0, MAX_BODY_BYTES), zeros]) {
    const answer = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n${body}`;
    assertEquals((await answerOf(sending(answer, closing))).body, "\0".repeat(MAX_BODY_BYTES));
  }
});

Deno.test("get() leaves a body as it is that it cannot unpack", async () => {
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
      await answerOf(sending(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)),
      { status: 200, body },
      coding,
    );
  }
});

Deno.test("get() recognizes a server of TLS", async () => {
  for (const bytes of ["\x15\x03\x01\0\x02\x02\x46", "\x15\x03\x03\0\x02\x02\n", "\x16\x03"]) {
    await assertRejects(
      () => answerOf(sending(bytes)),
      HttpError,
      "expected HTTP, found a TLS server",
    );
  }
});

/** What is no answer. A server that is silent after it keeps the connection: it must be told without. */
const faults: readonly { name: string; answer: string; then: Behaviour; why: string }[] = [
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
  ].map((answer) => ({
    name: `no status line but ${JSON.stringify(answer.split("\r\n")[0])}`,
    answer,
    then: silent,
    why: NOT_HTTP,
  })),
  ...["000", "099"].map((status) => ({
    name: `status ${status}`,
    answer: `HTTP/1.1 ${status} Odd\r\n\r\n`,
    then: silent,
    why: "the answer has no HTTP status",
  })),
  {
    name: "another protocol",
    answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    then: silent,
    why: "the server switched protocols unasked",
  },
  ...["five", "-1", "+1", "1.0", "0x5", "", "1 2", "1,2", "9".repeat(16)].map((length) => ({
    name: `a length of ${JSON.stringify(length)}`,
    answer: `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\nhello`,
    then: silent,
    why: NO_NUMBER,
  })),
  {
    name: "two lengths",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
    then: silent,
    why: NO_NUMBER,
  },
  ...["x\r\n", "-1\r\n", "\r\n", "0x2\r\nhi\r\n", "1000000000000\r\n", "2\r\nhi2\r\n"].map((
    chunks,
  ) => ({
    name: `chunks like ${JSON.stringify(chunks)}`,
    answer: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    then: silent,
    why: NO_CHUNKS,
  })),
  {
    name: "nothing",
    answer: "",
    then: closing,
    why: "the connection was closed without an answer",
  },
  ...["H", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\n\r"].map((
    answer,
  ) => ({
    name: `no more than ${JSON.stringify(answer)}`,
    answer,
    then: closing,
    why: CUT_IN_HEAD,
  })),
  {
    name: "an interim answer only",
    answer: "HTTP/1.1 100 Continue\r\n\r\n",
    then: closing,
    why: "the connection was closed without an answer",
  },
  {
    name: "less than the length it gives",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
    then: closing,
    why: CUT_IN_BODY,
  },
  ...["", "2", "2\r\n", "2\r\nh", "2\r\nhi", "2\r\nhi\r\n", "2\r\nhi\r\n0"].map((chunks) => ({
    name: `no more chunks than ${JSON.stringify(chunks)}`,
    answer: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    then: closing,
    why: CUT_IN_BODY,
  })),
];

for (const [way, sent] of ways) {
  for (const { name, answer, then, why } of faults) {
    Deno.test(`get() refuses ${name}${way}`, async () => {
      await assertRejects(() => answerOf(sent(answer, then)), HttpError, why);
    });
  }
}

/** An answer whose status line and headers, with the empty line after them, are so long. */
function headOf(length: number): string {
  const start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
  const end = "X: \r\n\r\n";
  const filler = "x".repeat(length - start.length - end.length);
  return `${start}${end.replace(" ", ` ${filler}`)}`;
}

Deno.test("get() reads headers of the length that is allowed", async () => {
  const head = headOf(MAX_HEAD_BYTES);
  assertEquals(head.length, MAX_HEAD_BYTES);
  assertEquals(await answerOf(sending(`${head}hi`)), { status: 200, body: "hi" });
});

Deno.test("get() refuses headers that are longer", async () => {
  for (
    const behaviour of [
      sending(`${headOf(4 * MAX_HEAD_BYTES)}hi`),
      sending("HTTP/1.1 200 OK\r\n", flooding("X: x\r\n")),
      flooding("HTTP/1.1 200 OK"),
      sending("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", flooding("x")),
    ]
  ) {
    await assertRejects(() => answerOf(behaviour), HttpError);
  }
});

/** What a server sends without an end, and what bounds it. */
const endless: readonly { name: string; behaviour: Behaviour; why: string }[] = [
  {
    name: "interim responses",
    behaviour: flooding("HTTP/1.1 100 Continue\r\n\r\n"),
    why: "the answer's headers are longer than 65536 bytes",
  },
  {
    name: "one-byte chunks",
    behaviour: sending(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      flooding("1\r\nx\r\n"),
    ),
    why: "the answer has more than 1048576 bytes around its chunks",
  },
  {
    name: "chunks with long extensions",
    behaviour: sending(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      flooding(`1;${"x".repeat(60_000)}\r\nx\r\n`),
    ),
    why: "the answer has more than 1048576 bytes around its chunks",
  },
];

for (const { name, behaviour, why } of endless) {
  Deno.test(`get() refuses ${name} without an end`, async () => {
    await using server = await FaultyServer.start(afterRequest(behaviour));
    const asking = get("127.0.0.1", server.port, "/", [], AbortSignal.timeout(60_000), 16_000_000);
    await assertRejects(() => asking, HttpError, why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("get() reads a body of one-byte chunks up to what is wanted", async () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const { body } = await answerOf(sending(chunked, flooding("1\r\nx\r\n")));
  assertEquals(body, "x".repeat(MAX_BODY_BYTES));
});

/** The ways in which an answer tells how long its body is. */
const framings: readonly { name: string; framed: (body: string) => string }[] = [
  {
    name: "a given length",
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
  Deno.test(`get() reads a body by ${name} up to what is wanted, and closes then`, async () => {
    const body = "0123456789".repeat(MAX_BODY_BYTES);
    for (const length of [MAX_BODY_BYTES - 1, MAX_BODY_BYTES]) {
      const answer = framed(body.slice(0, length));
      assertEquals(await answerOf(sending(answer, closing)), {
        status: 200,
        body: body.slice(0, length),
      });
    }
    for (const length of [MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 5 * MAX_BODY_BYTES]) {
      // The server does not close: whoever has what it wanted does.
      await using server = await FaultyServer.start(
        afterRequest(sending(framed(body.slice(0, length)))),
      );
      const { body: read } = await get(
        "127.0.0.1",
        server.port,
        "/",
        [],
        AbortSignal.timeout(60_000),
      );
      assertEquals(read, body.slice(0, MAX_BODY_BYTES));
      await until("no connection is open", async () => await server.connected() === 0);
    }
    assertEquals((await answerOf(sending(framed("hello")), 3)).body, "hel");
  });
}

Deno.test("get() takes no more of a body without an end than is wanted", async () => {
  await using server = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 200 OK\r\n\r\n", flooding("x"))),
  );
  const { body } = await get("127.0.0.1", server.port, "/", [], AbortSignal.timeout(60_000));
  assertEquals(body, "x".repeat(MAX_BODY_BYTES));
  await until("no connection is open", async () => await server.connected() === 0);
});

Deno.test("get() leaves a character out that is cut in its middle", async () => {
  const cut = `HTTP/1.1 200 OK\r\n\r\nx${"\xc3\xa9".repeat(MAX_BODY_BYTES)}`;
  const { body } = await answerOf(sending(cut));
  assertEquals(body, `x${"é".repeat(MAX_BODY_BYTES / 2 - 1)}`);
});

/** What a server receives, a character a byte, with its own port left out. */
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
  await get(host, server.port, path, headers, AbortSignal.timeout(60_000));
  return server.received.replaceAll(`:${server.port}`, ":PORT").split("\r\n");
}

Deno.test("get() says which host it wants, and that it wants no more", async () => {
  assertEquals(await receivedFor("/", []), [
    "GET / HTTP/1.1",
    "Host: 127.0.0.1:PORT",
    "Connection: close",
    "",
    "",
  ]);
});

for (const name of ["Host", "host", "HOST"]) {
  Deno.test(`get() leaves the host to a header named ${name}`, async () => {
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

Deno.test("get() puts an IPv6 address in brackets", async () => {
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
  Deno.test(`get() passes the path ${path.slice(0, 30)} on untouched`, async () => {
    const [line] = await receivedFor(path, []);
    assertEquals(line, `GET ${utf8(path)} HTTP/1.1`);
  });
}

Deno.test("get() passes header values on byte for byte", async () => {
  const value = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
    .filter((character) => !"\r\n\0".includes(character)).join("");
  const [, , line] = await receivedFor("/", [["X-All", value]]);
  assertEquals(line, `X-All: ${value}`);
});

Deno.test("get() reaches ports that browsers must not", async () => {
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
