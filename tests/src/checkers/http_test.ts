import { httpChecker } from "../../../src/checkers/http.ts";
import type { Header } from "../../../src/net/http_client.ts";
import { VERSION } from "../../../src/version.ts";
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
import { ampleTime, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

const check = httpChecker({ serviceNameHeader: null });

/** What a service is told when it is checked with some headers. */
async function toldTo(
  headers: readonly Header[],
  serviceNameHeader: string | null = null,
): Promise<string[]> {
  await using server = await FaultyServer.start(afterRequest(sending("HTTP/1.1 204 Fine\r\n\r\n")));
  const request = requestTo(server.port, { service: "web-1", path: "/status?deep=1", headers });
  assertEquals(await httpChecker({ serviceNameHeader })(request, ampleTime()), {
    code: 204,
    message: "",
  });
  const lines = server.received.replaceAll(`:${server.port}`, ":PORT").split("\r\n");
  assertEquals(lines.splice(-2), ["", ""]);
  return lines;
}

Deno.test("httpChecker() asks for the path, and says who it is", async () => {
  assertEquals(await toldTo([]), [
    "GET /status?deep=1 HTTP/1.1",
    "Host: 127.0.0.1:PORT",
    `User-Agent: hacheck/${VERSION}`,
    "Connection: close",
  ]);
});

Deno.test("httpChecker() passes headers on as they are, the name of the host among them", async () => {
  assertEquals(await toldTo([["Host", "web.example"], ["X-Token", "caf\xe9 = 1;2"]]), [
    "GET /status?deep=1 HTTP/1.1",
    `User-Agent: hacheck/${VERSION}`,
    "Host: web.example",
    "X-Token: caf\xe9 = 1;2",
    "Connection: close",
  ]);
});

Deno.test("httpChecker() tells a service its name where a header for it is set", async () => {
  assertEquals(await toldTo([["Host", "web.example"]], "X-Service-Name"), [
    "GET /status?deep=1 HTTP/1.1",
    `User-Agent: hacheck/${VERSION}`,
    "Host: web.example",
    "X-Service-Name: web-1",
    "Connection: close",
  ]);
});

for (const status of [200, 201, 204, 205, 301, 302, 304, 404, 418, 500, 503, 511]) {
  Deno.test(`httpChecker() answers ${status} as the service does, with its body`, async () => {
    // The redirect leads to the same server, which would be asked twice if it were followed.
    const answer =
      `HTTP/1.1 ${status} Whatever\r\nLocation: /elsewhere\r\nContent-Length: 4\r\n\r\n`;
    await using server = await FaultyServer.start(afterRequest(sending(`${answer}so so`)));
    assertEquals(await check(requestTo(server.port), ampleTime()), {
      code: status,
      message: status === 204 || status === 304 ? "" : "so s",
    });
    assertEquals(server.accepted, 1);
  });
}

for (const status of [299, 600, 999]) {
  for (const body of ["", "so so"]) {
    Deno.test(`httpChecker() answers 503 to ${status}, and names it before the body ${JSON.stringify(body)}`, async () => {
      const answer = `HTTP/1.1 ${status} Whatever\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      await using server = await FaultyServer.start(afterRequest(sending(answer)));
      const { code, message } = await check(requestTo(server.port), ampleTime());
      assertEquals(code, 503);
      const why = `the service answered ${status}, which is no registered HTTP status`;
      assertEquals(
        message.replace(/^HTTP check failed after \d+\.\d\ds: /, ""),
        body === "" ? why : `${why}: ${body}`,
      );
    });
  }
}

const silences: readonly { name: string; behaviour: Behaviour; why: RegExp }[] = [
  { name: "closes at once", behaviour: closing, why: /without a response|reset|[Bb]roken pipe/ },
  {
    name: "resets the connection",
    behaviour: resetting,
    why: /reset|not connected|[Bb]roken pipe/,
  },
  {
    name: "hears and closes",
    behaviour: afterRequest(closing),
    why: /^the connection was closed without/,
  },
  { name: "hears and resets", behaviour: afterRequest(resetting), why: /reset/ },
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
    name: "stops within its answer",
    behaviour: afterRequest(sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", closing)),
    why: /^the connection was closed within the response's body$/,
  },
];

for (const { name, behaviour, why } of silences) {
  Deno.test(`httpChecker() says why a service is down that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const { code, message } = await check(requestTo(server.port), ampleTime());
    assertEquals(code, 503);
    const [, words] = /^HTTP check failed after \d+\.\d\ds: (.+)$/.exec(message) ?? [, message];
    assertMatch(words!, why);
  });
}

/** The deadlines here are far shorter than ten seconds. */
const TIMED_OUT = /^HTTP check failed after \d\.\d\ds: timed out$/;

testAbsence("httpChecker()", check, /^HTTP check failed after \d\.\d\ds: .*refused/, TIMED_OUT, {
  "never speaks": silent,
  "hears and never speaks": afterRequest(silent),
  "says a byte a second": afterRequest(dripping("HTTP/1.1 200 OK\r\n\r\nhi", 1000, closing)),
  "stops speaking within its headers": afterRequest(
    sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
  ),
  "stops speaking within its body": afterRequest(
    sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
  ),
  "does not say that its body is over": afterRequest(sending("HTTP/1.1 200 OK\r\n\r\nhello")),
});

testFaults("httpChecker()", check, () => [503]);
