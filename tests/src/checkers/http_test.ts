import { httpChecker } from "../../../src/checkers/http.ts";
import type { Header } from "../../../src/net/http_client.ts";
import { VERSION } from "../../../src/runtime/version.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterRequest,
  type Behaviour,
  closing,
  dripping,
  FaultyServer,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const check = httpChecker({ serviceNameHeader: null });

/** Returns the lines of the request of a check with some headers. */
async function requestWith(
  headers: readonly Header[],
  serviceNameHeader: string | null = null,
): Promise<string[]> {
  await using server = await FaultyServer.start(afterRequest(sending("HTTP/1.1 204 Fine\r\n\r\n")));
  const request = requestTo(server.port, { service: "web-1", path: "/status?deep=1", headers });
  assertVerdict(await httpChecker({ serviceNameHeader })(request, longDeadline()), {
    code: 204,
    message: "",
  });
  const lines = server.received.replaceAll(`:${server.port}`, ":PORT").split("\r\n");
  assertEquals(lines.splice(-2), ["", ""]);
  return lines;
}

Deno.test("httpChecker() requests the path, and sends its version", async () => {
  assertEquals(await requestWith([]), [
    "GET /status?deep=1 HTTP/1.1",
    "Host: 127.0.0.1:PORT",
    `User-Agent: hacheck/${VERSION}`,
    "Connection: close",
  ]);
});

Deno.test("httpChecker() sends the headers of the request as they are, Host included", async () => {
  assertEquals(await requestWith([["Host", "web.example"], ["X-Token", "caf\xe9 = 1;2"]]), [
    "GET /status?deep=1 HTTP/1.1",
    `User-Agent: hacheck/${VERSION}`,
    "Host: web.example",
    "X-Token: caf\xe9 = 1;2",
    "Connection: close",
  ]);
});

Deno.test("httpChecker() sends the service's name if a header for it is configured", async () => {
  assertEquals(await requestWith([["Host", "web.example"]], "X-Service-Name"), [
    "GET /status?deep=1 HTTP/1.1",
    `User-Agent: hacheck/${VERSION}`,
    "Host: web.example",
    "X-Service-Name: web-1",
    "Connection: close",
  ]);
});

for (const status of [200, 201, 204, 205, 301, 302, 304, 404, 418, 500, 503, 511]) {
  Deno.test(`httpChecker() returns status ${status} and the body of the service`, async () => {
    // The redirect leads to the same server, and is not followed.
    const response =
      `HTTP/1.1 ${status} Whatever\r\nLocation: /elsewhere\r\nContent-Length: 4\r\n\r\n`;
    await using server = await FaultyServer.start(afterRequest(sending(`${response}so so`)));
    assertVerdict(await check(requestTo(server.port), longDeadline()), {
      code: status,
      message: status === 204 || status === 304 ? "" : "so s",
      ...status < 400 ? {} : { reason: "status" },
    });
    assertEquals(server.accepted, 1);
  });
}

for (const status of [299, 600, 999]) {
  for (const body of ["", "so so"]) {
    Deno.test(`httpChecker() returns 503 for status ${status}, and names it before the body ${JSON.stringify(body)}`, async () => {
      const response =
        `HTTP/1.1 ${status} Whatever\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      await using server = await FaultyServer.start(afterRequest(sending(response)));
      const { code, message } = await check(requestTo(server.port), longDeadline());
      assertEquals(code, 503);
      const why = `the service answered ${status}, which is no registered HTTP status`;
      assertEquals(
        message.replace(/^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: /, ""),
        body === "" ? why : `${why}: ${body}`,
      );
    });
  }
}

const failures: readonly { name: string; behaviour: Behaviour; why: RegExp }[] = [
  { name: "closes at once", behaviour: closing, why: /without a response|reset|[Bb]roken pipe/ },
  {
    name: "resets the connection",
    behaviour: resetting,
    why: /reset|not connected|[Bb]roken pipe/,
  },
  {
    name: "receives data and closes",
    behaviour: afterRequest(closing),
    why: /^the connection was closed without/,
  },
  {
    name: "receives data and resets",
    behaviour: afterRequest(resetting),
    why: /reset.*; a server that expects TLS/,
  },
  {
    name: "speaks another protocol",
    behaviour: sending("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n"),
    why: /^expected HTTP\/1, found another protocol$/,
  },
  ...["\x15\x03\x01\0\x02\x02\x46", "\x15\x03\x03\0\x02\x02\x0a", "\x16\x03\x03\0\x7a"].map((
    bytes,
  ) => ({
    name: `speaks TLS, and sends ${JSON.stringify(bytes)}`,
    behaviour: afterRequest(sending(bytes)),
    why: /^expected HTTP, found a TLS server$/,
  })),
  {
    name: "stops within its response",
    behaviour: afterRequest(sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", closing)),
    why: /^the connection was closed within the response's body$/,
  },
];

for (const { name, behaviour, why } of failures) {
  Deno.test(`httpChecker() reports the problem of a service that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const { code, message } = await check(requestTo(server.port), longDeadline());
    assertEquals(code, 503);
    const [, words] =
      /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: (.+)$/.exec(message) ?? [, message];
    assertMatch(words!, why);
  });
}

/** The deadlines of these tests are shorter than ten seconds. */
const TIMED_OUT = /^HTTP check of 127\.0\.0\.1:\d+ failed after \d\.\d\ds: timed out: .+$/;

testAbsence(
  "httpChecker()",
  check,
  /^HTTP check of 127\.0\.0\.1:\d+ failed after \d\.\d\ds: .*refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "receives data and sends nothing": afterRequest(silent),
    "sends a byte a second": afterRequest(dripping("HTTP/1.1 200 OK\r\n\r\nhi", 1000, closing)),
    "stops within its headers": afterRequest(
      sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
    ),
    "stops within its body": afterRequest(
      sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
    ),
    "does not end its body": afterRequest(sending("HTTP/1.1 200 OK\r\n\r\nhello")),
  },
);

testFaults("httpChecker()", check, () => [503]);
