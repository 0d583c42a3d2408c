import { checkDns } from "../../../src/checkers/dns.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { connectionsTo } from "../../servers/faulty.ts";
import { Dnsmasq, DNSMASQ_PROGRAMS } from "../../servers/dnsmasq.ts";
import { freePort, serverTest, until } from "../../servers/mod.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

/** Texts that do not fit into one datagram of 512 bytes. */
const LONG = Array.from(
  { length: 5 },
  (_, i) => `--txt-record=long.example,${String(i).repeat(200)}`,
);

serverTest("checkDns() returns the response of dnsmasq", DNSMASQ_PROGRAMS, async () => {
  await using server = await Dnsmasq.start(
    "--host-record=web.example,10.0.0.1,2001:db8::1",
    "--host-record=both.example,10.0.0.1",
    "--host-record=both.example,10.0.0.2",
    "--cname=alias.example,web.example",
    "--mx-host=mail.example,web.example,10",
    "--srv-host=_http._tcp.web.example,web.example,80",
    "--local=/example/",
    ...LONG,
  );
  const cases: readonly [path: string, code: number, message: string][] = [
    ["/web.example", 200, "NOERROR: 1 A record of web.example"],
    ["/web.example.", 200, "NOERROR: 1 A record of web.example"],
    ["/web.example?type=AAAA", 200, "NOERROR: 1 AAAA record of web.example"],
    ["/web.example?type=aaaa", 200, "NOERROR: 1 AAAA record of web.example"],
    ["/both.example", 200, "NOERROR: 2 A records of both.example"],
    ["/alias.example", 200, "NOERROR: 1 A record of alias.example"],
    ["/alias.example?type=CNAME", 200, "NOERROR: 1 CNAME record of alias.example"],
    ["/mail.example?type=MX", 200, "NOERROR: 1 MX record of mail.example"],
    ["/_http._tcp.web.example?type=SRV", 200, "NOERROR: 1 SRV record of _http._tcp.web.example"],
    // By TCP.
    ["/long.example?type=TXT", 200, "NOERROR: 5 TXT records of long.example"],
    ["/both.example?type=AAAA", 500, "NOERROR: 0 AAAA records of both.example"],
    ["/none.example", 500, "NXDOMAIN: 0 A records of none.example"],
    // It knows no server that could be asked.
    ["/elsewhere.test", 500, "REFUSED: 0 A records of elsewhere.test"],
  ];
  for (const [path, code, message] of cases) {
    const verdict = await checkDns(requestTo(server.port, { path }), longDeadline());
    assertEquals([path, verdict.code, verdict.message], [path, code, message]);
    assertEquals(verdict.reason, code === 200 ? undefined : "unhealthy");
    assertEquals(Object.keys(verdict.phases!), ["connect", "first_byte", "rest"]);
  }
  await until("no connection is open", async () => await connectionsTo(server.port) === 0);
});

Deno.test("checkDns() rejects invalid names and types with what is expected", async () => {
  const name = "Bad name: expected the name of a host such as web.example: found ";
  const types = "A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, CAA";
  for (
    const [path, message] of [
      ["/", `${name}""`],
      ["/.", `${name}"."`],
      ["/a..b", `${name}"a..b"`],
      ["/a%20b", `${name}"a%20b"`],
      ["/a/b", `${name}"a/b"`],
      [`/${"a".repeat(64)}.example`, `${name}"${"a".repeat(64)}.example"`],
      [`/${"a.".repeat(127)}b`, `${name}"${"a.".repeat(127)}b"`],
      ["/web.example?type=ANY", `Bad type: expected one of ${types}: found "ANY"`],
      ["/web.example?type=", `Bad type: expected one of ${types}: found ""`],
    ] as const
  ) {
    const verdict = await checkDns(requestTo(1, { path }), longDeadline());
    assertEquals(verdict, { code: 400, message, reason: "configuration" });
  }
});

/** A DNS server that responds to each query by a function. */
class FakeServer implements AsyncDisposable {
  readonly #socket: import("node:dgram").Socket;
  /** How many queries came. */
  queries = 0;

  private constructor(socket: import("node:dgram").Socket) {
    this.#socket = socket;
  }

  static async start(respond: (query: Uint8Array) => readonly Uint8Array[]): Promise<FakeServer> {
    const { createSocket } = (await import("node:dgram")).default;
    const socket = createSocket("udp4");
    const server = new FakeServer(socket);
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
    socket.on("message", (query: Uint8Array, { port, address }) => {
      server.queries++;
      for (const response of respond(new Uint8Array(query))) socket.send(response, port, address);
    });
    return server;
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

/** Responds to a query with its question, a record of a type, and more bytes. */
function responseTo(
  query: Uint8Array,
  type: number,
  changes: Record<number, number> = {},
): Uint8Array {
  const record = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
  const response = new Uint8Array([...query, ...record]);
  response[2] = 0x81;
  response[7] = 1;
  for (const [at, value] of Object.entries(changes)) response[Number(at)] = value;
  return response;
}

const UP = { code: 200, message: "NOERROR: 1 A record of web.example" };

/** Responses that are not the server's to this question. A valid one follows each of them. */
const IGNORED: Readonly<Record<string, (query: Uint8Array) => Uint8Array>> = {
  "of another number": (query) => responseTo(query, 1, { 0: query[0]! ^ 1 }),
  "that is a query": (query) => responseTo(query, 1, { 2: 1 }),
  "to another question": (query) => responseTo(query, 1, { 13: 120 }),
  "of one byte": () => new Uint8Array(1),
  "that is cut off": (query) => query.slice(0, 20),
};

for (const [what, make] of Object.entries(IGNORED)) {
  Deno.test(`checkDns() ignores a response ${what}`, async () => {
    const respond = (query: Uint8Array) => [make(query), responseTo(query, 1)];
    await using server = await FakeServer.start(respond);
    const request = requestTo(server.port, { path: "/web.example" });
    const { code, message } = await checkDns(request, longDeadline());
    assertEquals({ code, message }, UP);
  });
}

/** Records that are malformed. None of them is one of the type. */
const MALFORMED: Readonly<Record<string, (query: Uint8Array) => Uint8Array>> = {
  "of another type": (query) => responseTo(query, 28),
  "whose name has no end": (query) => {
    const response = responseTo(query, 1);
    return new Uint8Array([...response.slice(0, query.length), 63, 1, 2]);
  },
  "that is cut off": (query) => responseTo(query, 1).slice(0, query.length + 6),
  "that is not there": (query) => responseTo(query, 1).slice(0, query.length),
};

for (const [what, make] of Object.entries(MALFORMED)) {
  Deno.test(`checkDns() does not count a record ${what}`, async () => {
    await using server = await FakeServer.start((query) => [make(query)]);
    const request = requestTo(server.port, { path: "/web.example" });
    const { code, message } = await checkDns(request, longDeadline());
    assertEquals([code, message], [500, "NOERROR: 0 A records of web.example"]);
  });
}

Deno.test("checkDns() returns the code of a response that consists of its header", async () => {
  // unbound refuses like this.
  await using server = await FakeServer.start(([high = 0, low = 0]) => [
    new Uint8Array([high, low ^ 1, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
    new Uint8Array([high, low, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    new Uint8Array([high, low, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
  ]);
  const request = requestTo(server.port, { path: "/web.example" });
  const { code, message } = await checkDns(request, AbortSignal.timeout(5000));
  assertEquals([code, message], [500, "REFUSED: 0 A records of web.example"]);
});

Deno.test("checkDns() asks again if a datagram gets lost", async () => {
  await using server = await FakeServer.start((query) =>
    server.queries < 2 ? [] : [responseTo(query, 1)]
  );
  const request = requestTo(server.port, { path: "/web.example" });
  const { code, message } = await checkDns(request, longDeadline());
  assertEquals({ code, message }, UP);
});

Deno.test("checkDns() times out if there is no response, and asks no more", async () => {
  await using server = await FakeServer.start(() => []);
  const request = requestTo(server.port, { path: "/web.example" });
  for (const port of [server.port, freePort()]) {
    const verdict = await checkDns({ ...request, port }, AbortSignal.timeout(300));
    assertEquals([verdict.code, verdict.reason], [503, "response_timeout"]);
    assertMatch(
      verdict.message,
      /^DNS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: there was no response$/,
    );
  }
  assertEquals(server.queries, 1);
  const late = await checkDns(request, AbortSignal.abort());
  assertEquals([late.code, server.queries], [503, 1]);
});

Deno.test("checkDns() gives up on a server that floods it", async () => {
  await using server = await FakeServer.start(() =>
    Array.from({ length: 1100 }, () => new Uint8Array(20))
  );
  const request = requestTo(server.port, { path: "/web.example" });
  const { code } = await checkDns(request, AbortSignal.timeout(3000));
  assertEquals(code, 503);
});
