import { createServer, type ServerHttp2Stream } from "node:http2";
import { MAX_CHARACTERS, MAX_ENTRIES } from "../../src/checks/cache.ts";
import type { Checker } from "../../src/checks/check.ts";
import { MAX_REPLY_BYTES } from "../../src/checkers/_redis.ts";
import { grpcChecker, MAX_HEADERS_LENGTH, MAX_RESPONSE_BYTES } from "../../src/checkers/grpc.ts";
import { checkHaproxy, MAX_STATISTICS_BYTES } from "../../src/checkers/haproxy.ts";
import { httpChecker } from "../../src/checkers/http.ts";
import { MAX_PACKET_BYTES } from "../../src/checkers/_mysql_connection.ts";
import { MAX_PACKETS, mysqlChecker } from "../../src/checkers/mysql.ts";
import { MAX_MESSAGE_BYTES, MAX_MESSAGES, postgresChecker } from "../../src/checkers/postgres.ts";
import { redisInfoChecker } from "../../src/checkers/redis_info.ts";
import { MAX_LINE_BYTES, MAX_LINES, smtpChecker } from "../../src/checkers/smtp.ts";
import { newCounters } from "../../src/metrics/counters.ts";
import { MAX_BODY_BYTES, MAX_HEAD_BYTES } from "../../src/net/http_client.ts";
import { MAX_QUEUED_LOG_BYTES } from "../../src/log/sink.ts";
import { MAX_CACHED_MATCHES } from "../../src/net/networks.ts";
import { LocalAddresses, MAX_CACHED_ADDRESSES } from "../../src/net/local_addresses.ts";
import { MAX_CHANGES, MAX_LINES_PER_SECOND } from "../../src/checks/history.ts";
import {
  MAX_CHECKS,
  MAX_FAILURES,
  MAX_FAILURES_PER_CHECK,
  MAX_REQUEST_KEPT,
} from "../../src/checks/outcomes.ts";
import { MAX_QUEUED } from "../../src/checks/pipeline.ts";
import { EVENT_READER_TIMEOUT_MS } from "../../src/page/event_streams.ts";
import { Refusals } from "../../src/server/refusals.ts";
import {
  MAX_LARGE_BYTES,
  MAX_LARGE_BYTES_PER_CLIENT,
  MAX_SMALL_BYTES,
  READER_TIMEOUT_MS,
} from "../../src/server/outflow.ts";
import { LARGE_BYTES } from "../../src/server/responses.ts";
import { MAX_ROUTE_LENGTH, MAX_ROUTES } from "../../src/server/routes.ts";
import {
  AGENT_LINE_TIMEOUT_MS,
  MAX_AGENT_CONNECTIONS,
  MAX_AGENT_LINE_BYTES,
} from "../../src/server/agent_listener.ts";
import { changeSpool, MAX_FORM_BYTES, MAX_RECORDS } from "../../src/server/spool_changes.ts";
import { MAX_SERVICE_LENGTH } from "../../src/spool/names.ts";
import { MAX_RECORD_BYTES, SpoolStore } from "../../src/spool/store.ts";
import { MAX_PAIRS, MAX_SERVICES } from "../../src/metrics/stats.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { page } from "../support/docs.ts";
import { RecordedLog } from "../support/log.ts";
import { TempFolder } from "../support/programs.ts";
import {
  afterData,
  afterRequest,
  type Behaviour,
  FaultyServer,
  sending,
} from "../servers/faulty.ts";
import { until } from "../servers/mod.ts";
import { longDeadline, requestTo } from "./checkers/checker_contract.ts";

const checkGrpc = grpcChecker();

/** A number as four bytes. */
function int32(value: number): string {
  return String.fromCharCode(value >>> 24, value >> 16 & 255, value >> 8 & 255, value & 255);
}

/** A message of PostgreSQL. */
function message(type: string, content: string): string {
  return type + int32(content.length + 4) + content;
}

/** A packet of MySQL. */
function packet(sequence: number, payload: string): string {
  const { length } = payload;
  return String.fromCharCode(length & 255, length >> 8 & 255, length >> 16, sequence) + payload;
}

const GREETING = packet(
  0,
  "\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xf7\x21\x02\0\xff\x81\x15" + "\0".repeat(10) +
    "ijklmnopqrst\0mysql_native_password\0",
);

/** An error packet of so many bytes. */
function refusal(length: number): string {
  const start = "\xff\x15\x04#28000";
  return packet(2, start + "x".repeat(length - start.length));
}

/** A notice of PostgreSQL of so many bytes. */
function notice(length: number): string {
  return message("N", `M${"x".repeat(length - 3)}\0\0`);
}

const LET_IN = message("R", int32(0)) + message("Z", "I");

/** A limit of what a service sends, and a server that sends as much. */
interface Limit {
  readonly what: string;
  readonly limit: number;
  readonly check: Checker;
  /** A server whose response has this size, or this many parts. */
  readonly server: (size: number) => Behaviour;
  /** The status code at the limit. */
  readonly code: number;
}

const USER = { username: "checker", password: "secret" };

const LIMITS: readonly Limit[] = [
  {
    what: "the status line and headers of a web service",
    limit: MAX_HEAD_BYTES,
    check: httpChecker({ serviceNameHeader: null }),
    server: (size) => {
      const head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n";
      return afterRequest(sending(head.replace("X: ", `X: ${"x".repeat(size - head.length)}`)));
    },
    code: 200,
  },
  {
    what: "a line of SMTP",
    limit: MAX_LINE_BYTES,
    check: smtpChecker(),
    server: (size) => sending(`220 ${"x".repeat(size - 6)}\r\n`, afterData(sending("221\r\n"))),
    code: 200,
  },
  {
    what: "the lines of a reply of SMTP",
    limit: MAX_LINES,
    check: smtpChecker(),
    server: (size) =>
      sending(`${"220-\r\n".repeat(size - 1)}220\r\n`, afterData(sending("221\r\n"))),
    code: 200,
  },
  {
    what: "a reply of Redis",
    limit: MAX_REPLY_BYTES,
    check: redisInfoChecker({ username: null, password: null }),
    server: (size) => afterData(sending(`$${size}\r\n${"x".repeat(size)}\r\n`)),
    code: 200,
  },
  {
    what: "a packet of MySQL",
    limit: MAX_PACKET_BYTES,
    check: mysqlChecker(USER),
    server: (size) => sending(GREETING, afterData(sending(refusal(size)))),
    code: 500,
  },
  {
    what: "the packets of MySQL before a login",
    limit: MAX_PACKETS,
    check: mysqlChecker(USER),
    // A greeting, requests for more data, and a refusal.
    server: (size) =>
      sending(
        GREETING,
        afterData((socket) => {
          let sequence = 2;
          for (let more = size - 2; more > 0; more--, sequence += 2) {
            socket.write(
              packet(sequence, "\xfemysql_native_password\0abcdefghijklmnopqrst\0"),
              "latin1",
            );
          }
          socket.write(packet(sequence, "\xff\x15\x04#28000no"), "latin1");
        }),
      ),
    code: 500,
  },
  {
    what: "a message of PostgreSQL",
    limit: MAX_MESSAGE_BYTES,
    check: postgresChecker({ ...USER, database: null, mode: "off" }),
    server: (size) => afterData(sending(notice(size) + LET_IN)),
    code: 200,
  },
  {
    what: "the messages of PostgreSQL until a login is over",
    limit: MAX_MESSAGES,
    check: postgresChecker({ ...USER, database: null, mode: "off" }),
    server: (size) => afterData(sending(notice(10).repeat(size - 2) + LET_IN)),
    code: 200,
  },
  {
    what: "HAProxy's statistics",
    limit: MAX_STATISTICS_BYTES,
    check: checkHaproxy,
    server: (size) => {
      const end = "web,BACKEND,UP,\n";
      const filler = "x,y,z,\n";
      let page = "# pxname,svname,status,\n";
      page += filler.repeat((size - page.length - end.length) / filler.length - 1);
      page += `x,${"y".repeat(size - page.length - end.length - "x,,z,\n".length)},z,\n${end}`;
      return afterRequest(
        sending(`HTTP/1.1 200 OK\r\nContent-Length: ${page.length}\r\n\r\n${page}`),
      );
    },
    code: 200,
  },
];

for (const { what, limit, check, server, code } of LIMITS) {
  Deno.test(`${what} is accepted up to ${limit}, and rejected above`, async () => {
    for (const [size, expected] of [[limit, code], [limit + 1, 503]] as const) {
      await using service = await FaultyServer.start(server(size));
      const verdict = await check(requestTo(service.port), longDeadline());
      assertEquals([size, verdict.code], [size, expected], verdict.message.slice(0, 1000));
      await until("no connection is open", async () => await service.connected() === 0);
    }
  });
}

/** Checks a gRPC server that sends headers and a response of these lengths. */
async function askGrpc(headers: Record<string, string>, length: number): Promise<string> {
  const server = createServer({ maxSendHeaderBlockLength: 1024 * 1024 });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "grpc-status": "0", ...headers });
    stream.end(new Uint8Array(length).fill(1, 6, 7).fill(8, 5, 6));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const { code, message } = await checkGrpc(requestTo(port), longDeadline());
    return `${code} ${message.replace(/\d\.\d\ds/, "…").replace(`:${port} `, ":PORT ")}`;
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

Deno.test("grpcChecker() accepts a response up to its limits, and rejects a longer one", async () => {
  const failed = "503 gRPC check of 127.0.0.1:PORT failed after …:";
  assertEquals(await askGrpc({}, MAX_RESPONSE_BYTES), "200 SERVING");
  assertEquals(await askGrpc({}, MAX_RESPONSE_BYTES + 1), `${failed} the response is too long`);
  // The headers that the server's library adds count too.
  let room = MAX_HEADERS_LENGTH - ":status200grpc-status0x".length;
  room -= `date${new Date(0).toUTCString()}`.length;
  assertEquals(await askGrpc({ x: "0".repeat(room) }, 7), "200 SERVING");
  assertEquals(
    await askGrpc({ x: "0".repeat(room + 1) }, 7),
    `${failed} the headers are too long`,
  );
});

Deno.test("redisInfoChecker() returns as many fields as fit into a forwarded body", async () => {
  const check = redisInfoChecker({ username: null, password: null });
  const room = MAX_BODY_BYTES - '{"a":"b","c":""}'.length;
  for (
    const [length, expected] of [
      [room / 2, { a: "b", c: "é".repeat(room / 2) }],
      [room / 2 + 1, { a: "b" }],
    ] as const
  ) {
    const info = `a:b\r\nc:${"\xc3\xa9".repeat(length)}\r\n`;
    await using server = await FaultyServer.start(
      afterData(sending(`$${info.length}\r\n${info}\r\n`)),
    );
    const { message } = await check(requestTo(server.port), longDeadline());
    assertEquals(JSON.parse(message), expected, String(new TextEncoder().encode(message).length));
  }
});

Deno.test("checkHaproxy() cuts off a long state of a backend", async () => {
  const page = `# pxname,svname,status,\nweb,BACKEND,${"x".repeat(10_000)},\n`;
  await using server = await FaultyServer.start(
    afterRequest(sending(`HTTP/1.1 200 OK\r\nContent-Length: ${page.length}\r\n\r\n${page}`)),
  );
  const { code, message } = await checkHaproxy(requestTo(server.port), longDeadline());
  assertEquals([code, message], [500, `web is ${"x".repeat(200)}`]);
});

Deno.test("changeSpool() adds no record above MAX_RECORDS, and still changes existing ones", async () => {
  using folder = new TempFolder();
  const store = new SpoolStore(folder.path);
  for (let i = 1; i < MAX_RECORDS; i++) folder.write(`s${i}`, "");
  const { log } = new RecordedLog();
  const changes = {
    access: { clients: null, token: null, refusals: new Refusals(log) },
    store,
    timeout: 10,
    queryWorkers: () => [],
    changes: { announce: () => {} },
    log,
    errors: newCounters().errors,
  };
  const post = async (service: string, body: string) => {
    const request = new Request("http://x/", { method: "POST", body });
    const path = { protocol: "spool", service, port: 0, path: "/" };
    const response = await changeSpool(request, path, "127.0.0.1", changes);
    return `${response.status} ${await response.text()}`;
  };
  const down = "status=down&reason=x";
  assertEquals(await post("last", down), "200 ");
  const full = `507 Cannot take down more: the spool has ${MAX_RECORDS} records already`;
  assertEquals(await post("more", down), full);
  assertEquals(store.readDowntime("more"), undefined);
  // Weights are files as well. To remove one is always possible.
  assertEquals(
    await post("more", "weight=5"),
    `507 Cannot set the weight of more to 5: the spool has ${MAX_RECORDS} records already`,
  );
  assertEquals(await post("more", "weight=100"), "200 ");
  assertEquals(store.readWeight(".weight:more"), undefined);
  assertEquals(await post("last", "status=down&reason=y"), "200 ");
  assertEquals(store.readDowntime("last")?.record.reason, "y");
  assertEquals(await post("more", "status=up"), "200 ");
  assertEquals(await post("last", "status=up"), "200 ");
  assertEquals(await post("more", down), "200 ");
});

Deno.test("changeSpool() rejects a record that is too long to be read", async () => {
  using folder = new TempFolder();
  const store = new SpoolStore(folder.path);
  const { log } = new RecordedLog();
  const errors = newCounters().errors;
  const changes = {
    access: { clients: null, token: null, refusals: new Refusals(log) },
    ...{ store, timeout: 10, queryWorkers: () => [], changes: { announce: () => {} }, log, errors },
  };
  const path = { protocol: "spool", service: "web", port: 0, path: "/" };
  const reason = "ü".repeat(20_000);
  for (const form of [`status=down&reason=${reason}`, `weight=5&reason=${reason}`]) {
    const request = new Request("http://x/", { method: "POST", body: form });
    const response = await changeSpool(request, path, "127.0.0.1", changes);
    assertEquals(response.status, 413);
    assertMatch(
      await response.text(),
      /^Record too long: expected at most 65536 bytes as JSON: found 120\d\d\d$/,
    );
  }
  assertEquals(store.listFiles(), []);
  assertEquals(errors.spool_changes, 0);
});

Deno.test("LocalAddresses caches at most MAX_CACHED_ADDRESSES results", () => {
  const own = new LocalAddresses();
  for (let i = 0; i < MAX_CACHED_ADDRESSES; i++) own.has(`198.51.${100 + (i >> 8)}.${i & 255}`);
  assertEquals(own.cached, MAX_CACHED_ADDRESSES);
  own.has("198.51.99.1");
  assertEquals(own.cached, MAX_CACHED_ADDRESSES);
});

/** Formats a number of bytes as docs/limits.md does. */
function bytes(number: number): string {
  if (number % 1024 ** 2 === 0) return `${number / 1024 ** 2} MiB`;
  return number % 1024 === 0 ? `${number / 1024} KiB` : `${number} bytes`;
}

/** Formats any other number as docs/limits.md does. */
function count(number: number): string {
  return number.toLocaleString("en").replaceAll(" ", ",");
}

/** The row of each limit in docs/limits.md: what it limits, and the number. */
const ROWS: readonly [what: string, number: string][] = [
  ["form of a POST", bytes(MAX_FORM_BYTES)],
  ["records in the spool that POST adds to", count(MAX_RECORDS)],
  ["time to send the line of an agent check", `${AGENT_LINE_TIMEOUT_MS} ms`],
  ["line of an agent check", bytes(MAX_AGENT_LINE_BYTES)],
  ["agent checks at once", `${MAX_AGENT_CONNECTIONS} for each worker`],
  [
    "responses that clients have not read",
    `${bytes(MAX_SMALL_BYTES)} for each worker`,
  ],
  [
    "time to read a large response, or an event",
    `${READER_TIMEOUT_MS / 1000} s`,
  ],
  [
    `unread large pages (above ${bytes(LARGE_BYTES)}): all, of one client`,
    `${bytes(MAX_LARGE_BYTES)}, ${bytes(MAX_LARGE_BYTES_PER_CLIENT)}`,
  ],
  ["record", bytes(MAX_RECORD_BYTES)],
  ["name of a service", `${MAX_SERVICE_LENGTH} characters`],
  ["body forwarded to HAProxy", bytes(MAX_BODY_BYTES)],
  ["status line and headers of an http or https service", bytes(MAX_HEAD_BYTES)],
  ["SMTP: a line, lines of a reply", `${bytes(MAX_LINE_BYTES)}, ${count(MAX_LINES)}`],
  ["reply of Redis or Sentinel", bytes(MAX_REPLY_BYTES)],
  [
    "MySQL: a packet, packets before the login ends",
    `${bytes(MAX_PACKET_BYTES)}, ${count(MAX_PACKETS)}`,
  ],
  [
    "PostgreSQL: a message, messages before the login ends",
    `${bytes(MAX_MESSAGE_BYTES)}, ${count(MAX_MESSAGES)}`,
  ],
  ["HAProxy's statistics", bytes(MAX_STATISTICS_BYTES)],
  [
    "gRPC: a response, its headers",
    `${bytes(MAX_RESPONSE_BYTES)}, ${bytes(MAX_HEADERS_LENGTH)}`,
  ],
  [
    "URLs, and their length",
    `${count(MAX_ROUTES)}, ${count(MAX_ROUTE_LENGTH)} characters`,
  ],
  [
    "queued checks: all, of one client",
    `${count(MAX_QUEUED)}, ${count(MAX_QUEUED / 2)}`,
  ],
  ["unwritten lines of the log", bytes(MAX_QUEUED_LOG_BYTES)],
  [
    "results in the cache, and their size",
    `${count(MAX_ENTRIES)}, ${bytes(MAX_CHARACTERS)}`,
  ],
  [
    "counted services, and pairs of service and client",
    `${count(MAX_SERVICES)}, ${count(MAX_PAIRS)}`,
  ],
  [
    "addresses known to be local, listed or allowed",
    count(MAX_CACHED_ADDRESSES),
  ],
  ["checks with their last results", count(MAX_CHECKS)],
  ["path and headers of such a check", `${count(MAX_REQUEST_KEPT)} characters`],
  [
    "failures: of one check, of all checks",
    `${count(MAX_FAILURES_PER_CHECK)}, ${count(MAX_FAILURES)}`,
  ],
  ["changes of records and outcomes", count(MAX_CHANGES)],
  ["lines about changes in the log", `${count(MAX_LINES_PER_SECOND)} a second`],
];

Deno.test("docs/limits.md names every limit", () => {
  assertEquals(MAX_CACHED_ADDRESSES, MAX_CACHED_MATCHES);
  assertEquals(EVENT_READER_TIMEOUT_MS, READER_TIMEOUT_MS);
  const rows = page("limits.md").split("\n").filter((line) => line.startsWith("| "))
    .map((line) => line.split("|").slice(1, 3).map((cell) => cell.trim()).join(": "));
  for (const [what, number] of ROWS) {
    assertEquals(
      rows.filter((row) => row === `${what}: ${number}`).length,
      1,
      `${what}: ${number}`,
    );
  }
});
