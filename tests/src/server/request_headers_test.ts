import { TESTED_DENO } from "../../../src/runtime/deno_release.ts";
import { COMPARED_REQUESTS, HeaderReader } from "../../../src/server/request_headers.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { sendRaw } from "../../support/raw_http.ts";

const NAMES = ["x-name", "X-Name", "x-twice", "x-other", "host", "User-Agent", "cookie", "x-bytes"];

/** Inspects a request with unusual headers inside a `Deno.serve` that responds at once. */
async function inspect<T>(read: (request: Request) => T): Promise<T> {
  let seen: T;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    seen = read(request);
    return new Response("fine");
  });
  const { status } = await sendRaw(
    server.addr.port,
    "GET / HTTP/1.1\r\nHost: x\r\nX-Name: a\r\nX-Twice: b\r\nX-Twice: c\r\nCookie: d=1\r\n" +
      "Cookie: e=2\r\nSet-Cookie: f\r\nSet-Cookie: g\r\nX-Bytes: \u00fc \u20ac\r\nX-Empty:\r\n" +
      "Connection: close\r\n\r\n",
  );
  assertEquals(status, 200);
  return seen!;
}

/** An object with the private field of a request. */
function requestWith(header: (name: string) => string | null): Request {
  return {
    [Symbol("request")]: { header },
    headers: new Headers({ "x-name": "a" }),
  } as unknown as Request;
}

Deno.test("HeaderReader.of() returns the same headers as request.headers", async () => {
  const reader = new HeaderReader();
  const [found, expected] = await inspect((request) => {
    const source = reader.of(request);
    return [NAMES.map((name) => source.get(name)), NAMES.map((name) => request.headers.get(name))];
  });
  assertEquals(found, expected);
  assertEquals(reader.report, { source: "private field", compared_requests: 1, reason: null });
});

Deno.test("HeaderReader.of() does not make request.headers after COMPARED_REQUESTS requests", async () => {
  const made = await inspect((request) => {
    const reader = new HeaderReader();
    // Real requests share one symbol.
    const [symbol] = Object.getOwnPropertySymbols(request)
      .filter(({ description }) => description === "request");
    const fake = {
      headers: new Headers({ "x-name": "a" }),
      [symbol!]: { header: headerOf },
    } as unknown as Request;
    for (let i = 0; i < COMPARED_REQUESTS; i++) reader.of(fake);
    const cache = Object.getOwnPropertySymbols(request)
      .find(({ description }) => description === "headers cache");
    const found = reader.of(request).get("x-name");
    return [found, cache !== undefined, Reflect.get(request, cache!), reader.report.source];
  });
  assertEquals(made, ["a", true, undefined, "private field"]);
});

function headerOf(name: string): string | null {
  return name === "x-name" ? "a" : null;
}

Deno.test("HeaderReader.of() uses request.headers with another release of Deno", async () => {
  const reader = new HeaderReader("2.10.0");
  const isSame = await inspect((request) => reader.of(request) === request.headers);
  assertEquals([isSame, reader.report], [true, {
    source: "request.headers",
    compared_requests: 0,
    reason: `Deno 2.10.0 is not the tested release ${TESTED_DENO}`,
  }]);
});

const DIFFERENT: readonly [how: string, header: (name: string) => string | null, RegExp][] = [
  ["returns another value", () => "b", /^the header x-name differs/],
  ["misses a header", () => null, /^the header x-name differs/],
  ["invents a header", () => "a", /^the header x-hacheck-absent differs/],
  [
    "throws",
    () => {
      throw new TypeError("Illegal invocation");
    },
    /^the lookup failed: TypeError: Illegal invocation$/,
  ],
];

for (const [how, header, reason] of DIFFERENT) {
  Deno.test(`HeaderReader.of() uses request.headers for good if the private field ${how}`, () => {
    const reader = new HeaderReader(TESTED_DENO);
    const request = requestWith(header);
    assertEquals(reader.of(request).get("x-name"), "a");
    assertMatch(reader.report.reason ?? "", reason);
    const healthy = requestWith(headerOf);
    assertEquals(reader.of(healthy), healthy.headers);
    assertEquals(reader.report.compared_requests, 1);
  });
}

const WITHOUT_FIELD: readonly [what: string, request: Request][] = [
  ["of no server", new Request("http://web/", { headers: { "x-name": "a" } })],
  ["without a private field", { headers: new Headers({ "x-name": "a" }) } as unknown as Request],
  [
    "with an empty private field",
    {
      [Symbol("request")]: undefined,
      headers: new Headers({ "x-name": "a" }),
    } as unknown as Request,
  ],
];

for (const [what, request] of WITHOUT_FIELD) {
  Deno.test(`HeaderReader.of() uses request.headers for good after a request ${what}`, () => {
    const reader = new HeaderReader();
    const source = reader.of(request);
    assertEquals(source.get("x-name"), "a");
    assertEquals(source.get("x-other"), null);
    const healthy = requestWith(headerOf);
    assertEquals(reader.of(healthy), healthy.headers);
    const reason = "the private field is missing";
    assertEquals(reader.report, { source: "request.headers", compared_requests: 0, reason });
  });
}

Deno.test("HeaderReader.of() uses request.headers for good if the private field goes missing later", () => {
  const reader = new HeaderReader();
  const healthy = requestWith(headerOf);
  for (let i = 0; i <= COMPARED_REQUESTS; i++) {
    assertEquals(reader.of(healthy) === healthy.headers, false);
  }
  const other = requestWith(headerOf);
  assertEquals(reader.of(other), other.headers);
  assertEquals(reader.of(healthy), healthy.headers);
  assertEquals(reader.report.reason, "the private field is missing");
});
