import { checkHaproxy } from "../../../src/checkers/haproxy.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterRequest,
  type Behaviour,
  ClosedPort,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { HAProxy } from "../../servers/haproxy.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../../servers/nginx.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const PROGRAMS = ["haproxy"];
const WHY = /^HAProxy check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: (.+)$/;
const TIMED_OUT = /^HAProxy check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/;

const DEFAULTS = `
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    default-server inter 50ms fall 1 rise 1
`;

/** The configuration of a frontend with the statistics. */
function statistics(port: number, more = ""): string {
  return `${DEFAULTS}
frontend page
    bind 127.0.0.1:${port}
    stats enable
    stats uri /
    ${more}
`;
}

serverTest("checkHaproxy() reads the statistics that the path names", PROGRAMS, async () => {
  await using haproxy = await HAProxy.start((port) =>
    `${DEFAULTS}
frontend page
    bind 127.0.0.1:${port}
    stats enable
    stats uri /own/stats
    default_backend web
backend web
    server a 127.0.0.1:1
`
  );
  for (
    const [path, expected] of [
      ["/own/stats;csv", 200],
      ["/own/stats;csv;norefresh", 200],
      // Without `;csv`, the path is ignored.
      ["/own/stats", 503],
      ["/", 503],
    ] as const
  ) {
    const { code, message } = await checkHaproxy(requestTo(haproxy.port, { path }), longDeadline());
    assertEquals([path, code], [path, expected], message);
  }
});

serverTest("checkHaproxy() returns the status of a backend", PROGRAMS, async () => {
  await using server = await FaultyServer.start(silent);
  using closed = await ClosedPort.open();
  await using haproxy = await HAProxy.start((port) =>
    `${statistics(port)}
backend web
    server a 127.0.0.1:${server.port} check
    server b 127.0.0.1:${closed.port} check

backend sick
    server a 127.0.0.1:${closed.port} check
    server b 127.0.0.1:${closed.port} check

backend away
    server a 127.0.0.1:${server.port} disabled

backend unchecked-1.example_org
    server a 127.0.0.1:${closed.port}

backend empty

listen both
    server a 127.0.0.1:${server.port} check

# Only its server has the name.
backend other
    server hidden 127.0.0.1:${server.port}
`
  );
  await until("HAProxy has checked its servers", async () => {
    const rows = await haproxy.stat();
    return rows.every(({ pxname, svname, status }) => {
      const isSick = pxname === "sick" || (pxname === "web" && svname === "b");
      return !isSick || status === "DOWN";
    });
  });
  for (
    const [service, code, status] of [
      ["web", 200, "UP"],
      ["sick", 500, "DOWN"],
      ["away", 500, "DOWN"],
      ["unchecked-1.example_org", 200, "UP"],
      ["empty", 200, "UP"],
      ["both", 200, "UP"],
      // A frontend does not count.
      ["page", 500, "not found"],
      ["hidden", 500, "not found"],
      ["Web", 500, "not found"],
      ["we", 500, "not found"],
      ["BACKEND", 500, "not found"],
      ["none", 500, "not found"],
    ] as const
  ) {
    const request = requestTo(haproxy.port, { service });
    assertVerdict(await checkHaproxy(request, longDeadline()), {
      ...{ code, message: `${service} is ${status}` },
      ...code === 200 ? {} : { reason: "unhealthy" },
    });
  }
  await until("no connection is open", async () => await connectionsTo(haproxy.port) === 0);
  await server[Symbol.asyncDispose]();
  await until("the backend is down", async () => {
    const { code, message } = await checkHaproxy(requestTo(haproxy.port), longDeadline());
    return code === 500 && message === "web is DOWN";
  });
});

serverTest("checkHaproxy() finds a backend among a thousand", PROGRAMS, async () => {
  await using haproxy = await HAProxy.start((port) =>
    statistics(port) +
    Array.from({ length: 1000 }, (_, i) => `
backend web-${i}
    server a 127.0.0.1:1${i % 2 === 0 ? "" : " disabled"}
`).join("")
  );
  for (
    const [service, code, status] of [["web-998", 200, "UP"], ["web-999", 500, "DOWN"]] as const
  ) {
    assertVerdict(await checkHaproxy(requestTo(haproxy.port, { service }), longDeadline()), {
      ...{ code, message: `${service} is ${status}` },
      ...code === 200 ? {} : { reason: "unhealthy" },
    });
  }
});

serverTest("checkHaproxy() returns the status and body of an error page", PROGRAMS, async () => {
  const web = "\nbackend web\n    server a 127.0.0.1:1\n";
  for (
    const [configurationOn, expected, words] of [
      [(port) => statistics(port, "stats auth admin:secret"), 401, /401 Unauthorized/],
      [(port) => statistics(port, "http-request deny if TRUE"), 403, /403 Forbidden/],
      [
        (port) =>
          statistics(
            port,
            "http-request return status 404 content-type text/plain string gone if TRUE",
          ),
        404,
        /^gone$/,
      ],
      [
        (port) => statistics(port, "http-request return status 404 if TRUE"),
        503,
        /: expected status 200 of the statistics page, found 404$/,
      ],
      [
        (port) => `${DEFAULTS}\nfrontend page\n    bind 127.0.0.1:${port}\n`,
        503,
        /503 Service Unavailable/,
      ],
    ] as readonly [configurationOn: (port: number) => string, code: number, message: RegExp][]
  ) {
    await using haproxy = await HAProxy.start((port) => configurationOn(port) + web);
    const { code, message } = await checkHaproxy(requestTo(haproxy.port), longDeadline());
    assertEquals(code, expected, message);
    assertMatch(message, words);
  }
});

serverTest("checkHaproxy() sends the headers of the request", PROGRAMS, async () => {
  await using haproxy = await HAProxy.start((port) =>
    statistics(port, "http-request deny unless { req.hdr(host) -i stats.example }") +
    "\nbackend web\n    server a 127.0.0.1:1\n"
  );
  const ask = (host: string) =>
    checkHaproxy(requestTo(haproxy.port, { headers: [["Host", host]] }), longDeadline());
  assertVerdict(await ask("stats.example"), { code: 200, message: "web is UP" });
  assertEquals((await ask("other.example")).code, 403);
});

serverTest("checkHaproxy() returns 503 for a web server", NGINX_PROGRAMS, async () => {
  await using nginx = await Nginx.start((address) =>
    `server { listen ${address}; location / { return 200 "<h1>web,BACKEND,UP</h1>"; } }`
  );
  const { code, message } = await checkHaproxy(requestTo(nginx.port), longDeadline());
  assertEquals(code, 503);
  assertMatch(message, /: the page is not HAProxy's statistics$/);
});

/** A server that responds with a page. */
function page(content: string, status = "200 OK"): Behaviour {
  return afterRequest(
    sending(`HTTP/1.1 ${status}\r\nContent-Length: ${content.length}\r\n\r\n${content}`),
  );
}

const HEADER = "# pxname,svname,status,last_chk,\n";

/** Servers and the verdicts for them. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  message?: RegExp;
}[] = [
  {
    name: "has commas, quotes and line feeds in its values",
    behaviour: page(`${HEADER}web,a,UP,"a ""b"", c\nweb,BACKEND,DOWN,",\nweb,BACKEND,UP,,\n`),
    code: 200,
    message: /^web is UP$/,
  },
  {
    name: "ends its lines with CR",
    behaviour: page(`${HEADER}web,BACKEND,UP,,\n`.replaceAll("\n", "\r\n")),
    code: 200,
    message: /^web is UP$/,
  },
  {
    name: "sends its page in chunks",
    behaviour: afterRequest(sending(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
        [HEADER, "web,BACK", "END,UP,,\n", ""].map((chunk) =>
          `${chunk.length.toString(16)}\r\n${chunk}\r\n`
        ).join(""),
    )),
    code: 200,
    message: /^web is UP$/,
  },
  {
    name: "is going down",
    behaviour: page(`${HEADER}web,BACKEND,UP 1/3,,\n`),
    code: 500,
    message: /^web is UP 1\/3$/,
  },
  {
    name: "has no backend",
    behaviour: page(HEADER),
    code: 500,
    message: /^web is not found$/,
  },
  {
    name: "sends an empty page",
    behaviour: page(""),
    message: /: the page is not HAProxy's statistics$/,
  },
  {
    name: "sends another page",
    behaviour: page("web,BACKEND,UP"),
    message: /: the page is not HAProxy's statistics$/,
  },
  { name: "has quotes that do not end", behaviour: page(`${HEADER}web,BACKEND,"UP,,\n`) },
  { name: "has a row that is too short", behaviour: page(`${HEADER}web,BACKEND\n`) },
  {
    name: "responds with 404 and an endless body",
    behaviour: afterRequest(sending("HTTP/1.1 404 Not Found\r\n\r\n", flooding("no"))),
    code: 404,
    message: /^(no){32768}$/,
  },
  {
    name: "redirects",
    behaviour: page("", "302 Found\r\nLocation: /"),
    message: /: expected status 200 of the statistics page, found 302$/,
  },
  {
    name: "has no content",
    behaviour: afterRequest(sending("HTTP/1.1 204 No Content\r\n\r\n")),
    message: /: expected status 200 of the statistics page, found 204$/,
  },
  { name: "closes at once", behaviour: closing },
  { name: "resets the connection", behaviour: resetting },
  {
    name: "closes within its page",
    behaviour: afterRequest(
      sending(`HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n${HEADER}`, closing),
    ),
    message: /: the connection was closed within the response's body$/,
  },
  { name: "sends endless zeros", behaviour: flooding("\0") },
  {
    name: "sends an endless page",
    behaviour: afterRequest(sending(`HTTP/1.1 200 OK\r\n\r\n${HEADER}`, flooding("web,a,UP,,\n"))),
  },
];

for (const { name, behaviour, code = 503, message = WHY } of servers) {
  Deno.test(`checkHaproxy() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await checkHaproxy(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    assertMatch(verdict.message, message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("checkHaproxy() requests the statistics as CSV", async () => {
  await using server = await FaultyServer.start(page(`${HEADER}web,BACKEND,UP,,\n`));
  const request = requestTo(server.port, { path: "/elsewhere" });
  assertVerdict(await checkHaproxy(request, longDeadline()), { code: 200, message: "web is UP" });
  assertEquals(server.received.split("\r\n")[0], "GET /;csv HTTP/1.1");
});

testAbsence(
  "checkHaproxy()",
  checkHaproxy,
  /^HAProxy check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "receives data and sends nothing": afterRequest(silent),
    "stops within its page": afterRequest(sending(`HTTP/1.1 200 OK\r\n\r\n${HEADER}`)),
    "sends a byte a second": dripping("HTTP/1.1 200 OK\r\n\r\n", 1000),
  },
);

testFaults("checkHaproxy()", checkHaproxy, () => [503]);
