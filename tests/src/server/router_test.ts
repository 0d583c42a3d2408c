import { ALL_UNVERIFIED } from "../../../src/net/tls_clients.ts";
import type { Change } from "../../../src/checks/history.ts";
import type { CheckReport } from "../../../src/checks/outcomes.ts";
import { newCounters } from "../../../src/metrics/counters.ts";
import { parseConfig } from "../../../src/config.ts";
import { Instance } from "../../../src/daemon/instance.ts";
import { LocalAddresses, nonlocalBind } from "../../../src/net/local_addresses.ts";
import { MAX_FORM_BYTES } from "../../../src/server/spool_changes.ts";
import { VERSION } from "../../../src/runtime/version.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { Daemon, TempFolder } from "../../support/programs.ts";
import { RawConnection, sendRaw } from "../../support/raw_http.ts";
import {
  afterRequest,
  ClosedPort,
  FaultyServer,
  FullPort,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";

/** The parts of a request beside its path. */
interface RequestOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
  readonly client?: string;
}

/** A response whose body was read. */
interface ReadResponse {
  readonly status: number;
  readonly body: string;
  readonly headers: Headers;
}

const PERMISSIONS = {
  read: ["/var/spool/hacheck"],
  write: [],
  net: "everything",
  others: [],
} as const;

/** A router with its own spool, called without a port. */
class RouterFixture implements AsyncDisposable {
  readonly folder = new TempFolder();
  readonly recorded = new RecordedLog();
  readonly #instance: Instance;

  /**
   * @param config The content of the configuration file.
   * @param token The token for changes of the spool.
   * @param files The content of each file that the spool has before the router starts.
   */
  constructor(
    config = "",
    token: string | null = null,
    files: Readonly<Record<string, string>> = {},
  ) {
    for (const [name, content] of Object.entries(files)) this.folder.write(name, content);
    this.#instance = new Instance(
      {
        ports: [],
        address: "127.0.0.1",
        spoolRoot: this.folder.path,
        verbose: false,
        startedAt: Date.now() / 1000,
        shared: false,
        permissions: PERMISSIONS,
        descriptors: { count: 1024, isAll: false },
      },
      { config: parseConfig(config, "").config, tls: ALL_UNVERIFIED, token, identity: null },
      this.recorded.log,
    );
  }

  /** Sends a request, and reads the response. */
  async send(
    path: string,
    { client = "192.0.2.1", ...init }: RequestOptions = {},
  ): Promise<ReadResponse> {
    const response = await this.#instance.router(
      new Request(`http://127.0.0.1:3333${path}`, init),
      {
        remoteAddr: { hostname: client },
      },
    );
    return { status: response.status, body: await response.text(), headers: response.headers };
  }

  /** Sends a request, and returns the status and body of the response. */
  async result(path: string, more?: RequestOptions): Promise<[status: number, body: string]> {
    const { status, body } = await this.send(path, more);
    return [status, body];
  }

  /** Gets a page, and parses its JSON. */
  async json(path: string, options: RequestOptions = {}): Promise<Record<string, unknown>> {
    const { status, body, headers } = await this.send(path, options);
    assertEquals([status, headers.get("content-type")], [200, "application/json; charset=UTF-8"]);
    return JSON.parse(body);
  }

  /** Writes a record by hand, and waits until the router knows it. */
  async addRecord(name: string, content: string): Promise<void> {
    // A file that is written in place could be read half-written.
    await Deno.rename(this.folder.write(".tmp", content), this.folder.file(name));
    const [service, port = 0] = name.split(":");
    await until(`${name} is down`, async () => {
      return (await this.json(`/status/services/${service}/${port}`)).kept_out_by !== null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#instance.stop();
    this.folder[Symbol.dispose]();
  }
}

/** A service that sends the same response to every request. */
function serviceWith(response: string): Promise<FaultyServer> {
  return FaultyServer.start(afterRequest(sending(response, (socket) => socket.end())));
}

/** A healthy service. */
function healthyService(): Promise<FaultyServer> {
  return serviceWith("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
}

/** Checks a service with this response by http, and returns the response to the check. */
async function forwarded(response: string): Promise<[status: number, body: string]> {
  await using router = new RouterFixture();
  await using service = await serviceWith(response);
  return await router.result(`/http/web/${service.port}/status`);
}

/** The configuration under which POST may change the spool. */
const CHANGING = "allow_remote_spool_changes: true\n";

const NOT_FOUND =
  "Not found: expected /<protocol>/<service>/<port>/<query>, /status, /status/count, /recent or /metrics";

Deno.test("the router responds 404 to a path of no check and no page, whatever the method", async () => {
  await using router = new RouterFixture();
  for (
    const path of [
      ...["//", "/favicon.ico", "/spool", "/spool/web", "/spool/web/", "/spool/web/x/0"],
      ...["/gopher/web/80", "/spool/w:b/0", "/spool/w%65b/0", `/spool/${"w".repeat(201)}/0`],
      ...["/http/web/80x", "/http/web/-1", "/http/web/http/status", "//spool/web/0"],
      ...["/status/", "/status/counts", "/status/spool", "/recent/x"],
      ...["/page", "/page.html", "/page.js/", "/events/", "/events/x"],
      ...["/status/http/web/80", "/constructor/web/0"],
    ]
  ) {
    for (const method of ["GET", "HEAD", "OPTIONS", "POST", "DELETE"]) {
      assertEquals(await router.result(path, { method }), [404, NOT_FOUND], `${method} ${path}`);
    }
  }
  for (const path of ["/status/services/", "/status/services/web", "/status/services/web/x"]) {
    assertEquals(await router.result(path), [404, NOT_FOUND], path);
  }
});

Deno.test("the router responds 405 to a method that a path does not support, and names those it does", async () => {
  await using router = new RouterFixture(CHANGING);
  const cases: [paths: string[], methods: string[], allow: string][] = [
    [
      ["/http/web/80/x", "/tcp/web/0", "/mysql/web/3306"],
      ["POST", "PUT", "DELETE", "PATCH"],
      "GET, HEAD, OPTIONS",
    ],
    [
      ["/spool/web/0", "/spool/web/80/x"],
      ["PUT", "DELETE", "PATCH", "post-it"],
      "GET, HEAD, OPTIONS, POST",
    ],
    [
      ["/status", "/status/count", "/recent?threshold=1", "/status/services/web/0"]
        .concat("/status/downtimes"),
      ["POST", "PUT", "DELETE", "OPTIONS"],
      "GET, HEAD",
    ],
  ];
  for (const [paths, methods, allow] of cases) {
    for (const path of paths) {
      for (const method of methods) {
        const { status, body, headers } = await router.send(path, { method });
        assertEquals(
          [status, body, headers.get("allow")],
          [405, `Method not allowed: expected ${allow}`, allow],
          `${method} ${path}`,
        );
      }
    }
  }
});

Deno.test("a spool check of a service without a record is up, with an empty body", async () => {
  await using router = new RouterFixture();
  for (
    const path of ["/spool/web/0", "/spool/web/8080", "/spool/web/0/status?x", "/spool/.x/65535"]
  ) {
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      assertEquals(await router.result(path, { method }), [200, ""]);
    }
  }
});

Deno.test("a spool check of a service with a record is down, with the exact line", async () => {
  const cases: [name: string, content: string, path: string, line: string][] = [
    ["web", '{"reason": "maint"}', "/spool/web/0", "Service web in down state: maint"],
    ["web", '{"reason": "maint"}', "/spool/web/8080/x", "Service web in down state: maint"],
    ["web", '{"reason": "", "expiration": null}', "/spool/web/0", "Service web in down state"],
    ["web", "", "/spool/web/0", "Service web in down state"],
    ["web", "by hand\n", "/spool/web/0", "Service web in down state: by hand"],
    [
      "web:8080",
      '{"reason": "a: b", "expiration": 4000000000.125, "creation": 1435694078.778886}',
      "/spool/web/8080",
      "Service web in down state since 1435694078.778886 until 4000000000.125000: a: b",
    ],
    [
      "web:198.51.100.7:8080",
      '{"reason": "far", "expiration": 4000000000}',
      "/spool/web/8080",
      "Service web in down state until 4000000000.000000: far",
    ],
    [
      "all",
      '{"reason": "x", "creation": 1}',
      "/spool/web/0",
      "Service all in down state since 1.000000: x",
    ],
  ];
  const headers = { "X-Nerve-Check-IP": "198.51.100.7" };
  for (const [name, content, path, line] of cases) {
    await using router = new RouterFixture();
    await Deno.rename(router.folder.write(".tmp", content), router.folder.file(name));
    await until(
      `${name} is down`,
      async () => (await router.send(path, { headers })).status !== 200,
    );
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      assertEquals(await router.result(path, { method, headers }), [503, line]);
    }
  }
});

Deno.test("no protocol checks a service with a record", async () => {
  await using router = new RouterFixture();
  await using service = await healthyService();
  await router.addRecord(`web:${service.port}`, "maint");
  for (const protocol of ["spool", "http", "tcp", "mysql"]) {
    assertEquals(
      await router.result(`/${protocol}/web/${service.port}/status`),
      [503, "Service web in down state: maint"],
    );
  }
  await router.addRecord("web", "all of it");
  // A missing port does not matter then.
  assertEquals(await router.result("/http/web/0"), [503, "Service web in down state: all of it"]);
  assertEquals(service.accepted, 0);
});

Deno.test("an http check sends the path, its own User-Agent, the copied headers and the name of the service", async () => {
  await using router = new RouterFixture(
    "http_headers_to_copy: [Host, X-Site, X-Empty, X-Missing]\nservice_name_header: X-Service\n",
  );
  await using service = await healthyService();
  const headers = { Host: "www.example.org", "X-Site": "a", "X-Other": "b", "X-Empty": "" };
  assertEquals(
    await router.result(`/http/web-1/${service.port}/a%2Fb//c?x=%20&y=%zz;+`, { headers }),
    [200, "fine"],
  );
  assertEquals(
    service.received,
    `GET /a%2Fb//c?x=%20&y=%zz;+ HTTP/1.1\r\nUser-Agent: hacheck/${VERSION}\r\n` +
      "Host: www.example.org\r\nX-Site: a\r\nX-Service: web-1\r\nConnection: close\r\n\r\n",
  );
});

Deno.test("an http check without a path requests /, by GET whatever its own method is", async () => {
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    await using router = new RouterFixture("http_headers_to_copy: []\n");
    await using service = await healthyService();
    assertEquals(await router.result(`/http/web/${service.port}`, { method }), [200, "fine"]);
    assertEquals(
      service.received,
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${service.port}\r\n` +
        `User-Agent: hacheck/${VERSION}\r\nConnection: close\r\n\r\n`,
    );
  }
});

Deno.test("an http check forwards the service's status and body", async () => {
  for (
    const [status, passed, why] of [
      ...[200, 201, 206, 300, 301, 302, 303, 307, 308, 400, 401, 404, 418, 429, 500, 502, 503, 511]
        .map((status) => [status, status, ""] as const),
      ...[299, 399, 499, 599, 600, 999].map((status) =>
        [
          status,
          503,
          `HTTP check of N failed after N: the service answered ${status}, which is no registered HTTP status: `,
        ] as const
      ),
    ]
  ) {
    const [code, body] = await forwarded(
      `HTTP/1.1 ${status} Whatever\r\nLocation: /elsewhere\r\nContent-Length: 6\r\n\r\nGr\xc3\xbc\xc3\x9f`,
    );
    const message = body.replace(/^(HTTP check of )\S+( failed after )\d+\.\d\ds/, "$1N$2N");
    assertEquals([code, message], [passed, `${why}Grüß`], String(status));
  }
});

Deno.test("an http check forwards 204, 205 and 304 without a body", async () => {
  for (const [status, passed] of [[204, 204], [205, 204], [304, 304]]) {
    for (const body of ["body", "long body ".repeat(1000)]) {
      const response = `HTTP/1.1 ${status} x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      assertEquals(await forwarded(response), [passed!, ""]);
    }
  }
});

Deno.test("an http check ignores interim responses of the service", async () => {
  assertEquals(
    await forwarded(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" +
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    ),
    [404, "no"],
  );
});

Deno.test("an http check of a service without a valid response is down, and reports why", async () => {
  const cases: [response: string, why: RegExp][] = [
    [
      "SSH-2.0-OpenSSH_9.2\r\n\r\n",
      /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: expected HTTP\/1, found another protocol$/,
    ],
    [
      "",
      /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: the connection was closed without a response; /,
    ],
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
      /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*closed within/,
    ],
  ];
  for (const [response, why] of cases) {
    const [status, body] = await forwarded(response);
    assertEquals(status, 503);
    assertMatch(body, why);
  }
  await using router = new RouterFixture("healthcheck_timeout: 0.2\n");
  using closed = await ClosedPort.open();
  await using hanging = await FaultyServer.start(silent);
  const refused = await router.send(`/http/web/${closed.port}`);
  assertEquals(refused.status, 503);
  assertMatch(
    refused.body,
    /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: Connection refused/,
  );
  const late = await router.send(`/http/web/${hanging.port}`);
  assertEquals(late.status, 503);
  assertMatch(late.body, /^HTTP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/);
});

Deno.test("a tcp check reports the time to connect, or the error", async () => {
  await using router = new RouterFixture("healthcheck_timeout: 0.2\n");
  await using service = await FaultyServer.start(silent);
  using closed = await ClosedPort.open();
  using full = await FullPort.open();
  for (
    const [port, status, body] of [
      [service.port, 200, /^Connected in \d+\.\d\ds$/],
      [closed.port, 503, /^Unexpected error Connection refused .* after \d+\.\d\ds$/],
      [full.port, 503, /^Connection timed out after \d+\.\d\ds at 127\.0\.0\.1:\d+$/],
    ] as const
  ) {
    const response = await router.send(`/tcp/web/${port}/any/thing?at=all`);
    assertEquals(response.status, status);
    assertMatch(response.body, body);
  }
});

Deno.test("a mysql check without a username reports the missing configuration", async () => {
  await using router = new RouterFixture();
  assertEquals(await router.result("/mysql/web/3306"), [
    500,
    "No MySQL username/password in config file",
  ]);
});

Deno.test("HAProxy's header sets the port and the address of a check", async () => {
  await using router = new RouterFixture();
  await using service = await healthyService();
  await using other = await serviceWith("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  const state = (fields: string) => ({
    "X-Haproxy-Server-State": `UP 1/3; ${fields}name=web/a; node=lb1; weight=1/1; scur=0/0; qcur=0`,
  });
  const full = state(`address=127.0.0.1; port=${service.port}; `);
  for (
    const [what, port, headers, status] of [
      ["port 0", 0, full, 200],
      ["another port", other.port, full, 200],
      ["an older HAProxy", service.port, state(""), 200],
      ["a Unix socket", service.port, state("address=unix; port=; "), 200],
      ["HAProxy's address beside Nerve's", 0, { ...full, "X-Nerve-Check-IP": "198.51.100.7" }, 200],
      ["port 0 in the end", service.port, state("port=0; "), 400],
      ["an older HAProxy and port 0", 0, state(""), 400],
      ["no header and port 0", 0, {}, 400],
      ["a bad port", service.port, state("port=abc; "), 400],
      ["a bad address", service.port, state("address=localhost; "), 403],
      ["an address with a path", service.port, state("address=127.0.0.1/x; "), 403],
      ["a bad address of Nerve's", service.port, { "X-Nerve-Check-IP": "0x7f.1" }, 403],
      ["another host", 0, state("address=198.51.100.7; port=80; "), 403],
      ["a port beyond all", 99_999, {}, 400],
    ] as const
  ) {
    assertEquals((await router.send(`/http/web/${port}/x`, { headers })).status, status, what);
  }
});

Deno.test("the router responds 400 with the error of an invalid target, to spool checks too", async () => {
  await using router = new RouterFixture();
  const state = (fields: string) => ({ headers: { "X-Haproxy-Server-State": fields } });
  const noPort =
    "No port to connect to: expected one from 1 to 65535 in the path or in port= of X-Haproxy-Server-State";
  const cases: [path: string, options: RequestOptions, body: string][] = [
    ["/http/web/0", {}, noPort],
    ["/tcp/web/0/x", {}, noPort],
    ["/mysql/web/3306", state("port=0"), noPort],
    ...["/spool/web", "/http/web", "/status/services/web"].map((
      path,
    ): [string, RequestOptions, string] => [
      `${path}/65536`,
      {},
      "Bad port in the path: expected a number from 0 to 65535: received 65536",
    ]),
    [
      "/spool/web/0",
      state("port=abc"),
      'Bad port= in X-Haproxy-Server-State: expected a number from 0 to 65535: received "abc"',
    ],
    [
      "/spool/web/0",
      state("address=web"),
      'Bad address= in X-Haproxy-Server-State: expected an IPv4 or IPv6 address: received "web"',
    ],
    [
      "/status/services/web/0",
      { headers: { "X-Nerve-Check-IP": "0x7f.1" } },
      'Bad X-Nerve-Check-IP: expected an IPv4 or IPv6 address: received "0x7f.1"',
    ],
  ];
  for (const [path, more, body] of cases) {
    assertEquals(await router.result(path, more), [400, body]);
  }
});

Deno.test("another loopback address is another host than 127.0.0.1, for services and for the spool", async () => {
  await using router = new RouterFixture();
  using listener = Deno.listen({ hostname: "127.0.0.2", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const at = (address: string) => ({ headers: { "X-Nerve-Check-IP": address } });
  assertEquals((await router.send(`/tcp/web/${port}`, at("127.0.0.2"))).status, 200);
  assertEquals((await router.send(`/tcp/web/${port}`)).status, 503);
  await router.addRecord(`web:${port}`, "here");
  await Deno.rename(
    router.folder.write(".tmp", "there"),
    router.folder.file(`db:127.0.0.2:${port}`),
  );
  await until("db is down there", async () => {
    return (await router.send(`/spool/db/${port}`, at("127.0.0.2"))).status === 503;
  });
  assertEquals((await router.send(`/spool/db/${port}`)).status, 200);
  assertEquals((await router.send(`/spool/db/${port}`, at("127.0.0.3"))).status, 200);
});

Deno.test("the record of port 0 takes down only checks without a port", async () => {
  await using router = new RouterFixture();
  await router.addRecord("web:0", "maint");
  const port = (port: number) => ({ headers: { "X-Haproxy-Server-State": `UP; port=${port}` } });
  const cases: [path: string, options: RequestOptions, status: number][] = [
    ["/spool/web/0", {}, 503],
    ["/http/web/0/status", {}, 503],
    ["/spool/web/8080", port(0), 503],
    ["/spool/web/8080", {}, 200],
    ["/spool/web/0", port(8080), 200],
    ["/spool/api/0", {}, 200],
  ];
  for (const [path, options, status] of cases) {
    assertEquals((await router.send(path, options)).status, status, path);
  }
  const { kept_out_by } = await router.json("/status/services/web/0");
  assertEquals((kept_out_by as { name: string }).name, "web:0");
});

Deno.test("the spool takes all addresses of this host for 127.0.0.1", async () => {
  await using router = new RouterFixture();
  const own = new LocalAddresses();
  const others = Deno.networkInterfaces().map(({ address }) => address)
    .filter((address) => address !== "127.0.0.1" && own.has(address));
  await router.addRecord("web:8080", "maint");
  for (const address of ["127.0.0.1", ...others]) {
    for (
      const headers of [
        { "X-Nerve-Check-IP": address },
        { "X-Haproxy-Server-State": `UP; address=${address}; port=8080` },
      ]
    ) {
      assertEquals((await router.send("/spool/web/8080", { headers })).status, 503, address);
    }
  }
});

Deno.test("only a request with no-cache bypasses the cache", async () => {
  await using router = new RouterFixture();
  await using service = await healthyService();
  let accepted = 0;
  for (
    const [headers, isMiss] of [
      [{}, true],
      [{}, false],
      [{ Pragma: "no-cache" }, true],
      [{ "Cache-Control": "no-cache" }, true],
      [{ "Cache-Control": "max-age=0, No-Cache , x" }, true],
      [{ "Cache-Control": "max-age=0" }, false],
      [{ "Cache-Control": "x-no-cache, no-cached, no-store" }, false],
      [{ Pragma: "x" }, false],
      [{}, false],
    ] as const
  ) {
    assertEquals(await router.result(`/http/web/${service.port}`, { headers }), [200, "fine"]);
    if (isMiss) accepted++;
    assertEquals(service.accepted, accepted, JSON.stringify(headers));
  }
});

Deno.test("/status/services/… reports the record, what keeps the service out, and the last request", async () => {
  await using router = new RouterFixture();
  const where = { service: "web", port: 8080, host: "127.0.0.1" };
  const path = "/status/services/web/8080";
  const nothing = {
    ...{ ...where, record: null, kept_out_by: null, weight: null, agent_weight: 100 },
    last_asked: null,
  };
  assertEquals(await router.json(path), nothing);
  await router.addRecord("web:8080", '{"reason": "maint", "creation": 5, "by": "alice"}');
  const record = { mode: "down", reason: "maint", expiration: null, creation: 5, by: "alice" };
  const keptOut = { ...nothing, record, kept_out_by: { name: "web:8080", ...record } };
  assertEquals(await router.json(path), keptOut);
  await router.addRecord("all", '{"reason": "kernel"}');
  const all = { name: "all", mode: "down", reason: "kernel", expiration: null, creation: null };
  assertEquals(await router.json(path), { ...keptOut, kept_out_by: all });
  await router.send("/spool/web/8080");
  assert((await router.json(path)).last_asked as number > 1e9);
  assertEquals((await router.send("/status/services/web")).status, 404);
  assertEquals((await router.send("/status/services/web/8080", { method: "POST" })).status, 405);
});

Deno.test("/status/checks/…?now runs the checks that balancers requested, past spool and cache", async () => {
  await using web = await healthyService();
  using closed = await ClosedPort.open();
  await using router = new RouterFixture();
  const checks = async (query = "") => (await router.json(`/status/checks/web${query}`)).checks;
  assertEquals(await checks("?now"), []);
  await router.send("/spool/web/0");
  await router.send(`/http/db/${web.port}/other`);
  assertEquals(await checks("?now"), [], "checks of other services and of the spool do not count");

  await router.addRecord("web", "maint");
  const { accepted } = web;
  // Two servers of one backend: HAProxy names the port in a header.
  for (const port of [web.port, closed.port, web.port]) {
    const headers = { "x-haproxy-server-state": `UP; port=${port}` };
    assertEquals((await router.send("/http/web/0/status", { headers })).status, 503);
  }
  assertEquals(web.accepted, accepted);
  const check = (port: number) => ({
    ...{ protocol: "http", service: "web", host: "127.0.0.1", port, path: "/status" },
  });
  assertEquals(await checks(), [], "no check has a verdict yet");
  const run = async () => {
    const run = await checks("?now") as Record<string, Record<string, unknown>>[];
    return [web.port, closed.port].map((wanted) =>
      run.find(({ port }) => port as unknown === wanted)
    );
  };
  const [good, bad] = await run();
  const { verdict, record, cached, ...identity } = good!;
  assertEquals([identity, cached, record!.name, record!.reason], [
    check(web.port),
    null,
    ...["web", "maint"],
  ]);
  assertEquals([verdict!.code, verdict!.message, verdict!.healthy], [200, "fine", true]);
  assertEquals([bad!.verdict!.code, bad!.verdict!.healthy], [503, false]);
  assertEquals(web.accepted, accepted + 1);
  const [again] = await run();
  assertEquals(web.accepted, accepted + 2, "no cached result is used");
  const { at, code, for_seconds } = again!.cached as Record<string, number>;
  assertEquals(code, 200);
  assert(at! <= Date.now() / 1000 && for_seconds! > 0 && for_seconds! <= 10);
  assertEquals((await checks() as { port: number }[]).map(({ port }) => port), [
    ...[closed.port, web.port],
  ]);
});

Deno.test("/status/checks reports the last results of all checks, failing ones first", async () => {
  await using web = await healthyService();
  using closed = await ClosedPort.open();
  await using router = new RouterFixture();
  assertEquals(await router.json("/status/checks"), { checks: [], checks_left_out: 0 });
  await router.send(`/http/a/${web.port}/x`);
  await router.send(`/tcp/b/${closed.port}`);
  await router.send(`/tcp/b/${closed.port}`, { headers: { pragma: "no-cache" } });
  const { checks } = await router.json("/status/checks");
  const [failing, good] = checks as CheckReport[];
  assertEquals([failing!.service, failing!.state, failing!.failures.length], ["b", "down", 2]);
  assertEquals(failing!.last_good, null);
  assertEquals(failing!.last.address, `127.0.0.1:${closed.port}`);
  assertEquals(failing!.last, failing!.failures[0]);
  assert(failing!.since <= failing!.last.at);
  assertEquals([good!.service, good!.path, good!.state, good!.failures], ["a", "/x", "up", []]);
  assertEquals([good!.last.code, good!.last.reason, good!.last.message], [200, null, "fine"]);
  assertEquals(good!.last, good!.last_good);
  assert(good!.last.milliseconds.total > 0);
  const ofOne = await router.json("/status/checks/b");
  assertEquals([ofOne.service, ofOne.checks], ["b", [failing]]);
});

Deno.test("/status/history reports changes of records and of outcomes, newest first", async () => {
  let status = 500;
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("", { status }),
  );
  await using router = new RouterFixture("cache_time: 0\n");
  const changes = async (query = "") =>
    (await router.json(`/status/history${query}`)).changes as Change[];
  assertEquals(await changes(), []);
  await router.addRecord("web", "maint");
  await Deno.remove(router.folder.file("web"));
  await until("web is up", async () => (await router.send("/spool/web/0")).status === 200);
  const path = `/http/web/${service.addr.port}`;
  await router.send(path);
  status = 200;
  await router.send(path);
  await router.addRecord("db", "upgrade");
  const brief = (changes: readonly Change[]) =>
    changes.map((change) => [change.id, change.kind, change.service, change.to]);
  assertEquals(brief(await changes()), [
    [4, "record", "db", "down"],
    [3, "check", "web", "down"],
    [2, "record", "web", "up"],
    [1, "record", "web", "down"],
  ], "that the check recovered is kept after ten seconds");
  assertEquals(brief(await changes("?after=3")), [[4, "record", "db", "down"]]);
  assertEquals(brief(await changes("?service=db")), [[4, "record", "db", "down"]]);
  assertEquals((await router.send("/status/history?after=x")).status, 400);
});

Deno.test("/status reports the cache, uptime, queue, spool and permissions", async () => {
  await using router = new RouterFixture("healthcheck_timeout: 0.3\nmax_clients: 1\n");
  await using service = await healthyService();
  await router.send(`/http/web/${service.port}`);
  await router.send(`/http/web/${service.port}`);
  await router.send("/spool/web/0");
  const { uptime, ...status } = await router.json("/status");
  assertEquals(status, {
    cache: { expirations: 0, sets: 1, gets: 2, hits: 1, misses: 1 },
    outbound_request_queue_size: 0,
    spool: {
      healthy: true,
      fault: null,
      watched: true,
      records: 0,
      faulty: 0,
      faulty_names: [],
      misnamed: 0,
      misnamed_names: [],
    },
    refused: { targets: 0, clients: 0, spool_changes: 0, large_pages: 0 },
    permissions: PERMISSIONS,
    own_addresses: { configured: false, nonlocal_bind: nonlocalBind() },
    listeners: { renewals: 0, falls: 0, cut_requests: 0 },
    faults: { checks: 0, spool_changes: 0, unforeseen: 0, lost_log_lines: 0 },
    version: VERSION,
  });
  assert(typeof uptime === "number" && uptime > 0 && uptime < 600, String(uptime));

  await using hanging = await FaultyServer.start(silent);
  const waiting = ["/a", "/b", "/c"].map((path) => router.send(`/http/web/${hanging.port}${path}`));
  assertEquals((await router.json("/status")).outbound_request_queue_size, 2);
  await Promise.all(waiting);
  assertEquals((await router.json("/status")).outbound_request_queue_size, 0);
});

Deno.test("/status/count reports the requests by service and client", async () => {
  await using router = new RouterFixture();
  assertEquals(await router.json("/status/count"), { service_access_counts: {} });
  await using service = await healthyService();
  await router.send("/spool/web/0");
  await router.send(`/http/web/${service.port}`, { method: "HEAD" });
  await router.send("/spool/web/0", { client: "2001:db8::1" });
  await router.send("/http/db/0");
  // None of these is a check.
  for (
    const path of ["/status", "/recent", "/status/services/x/0", "/gopher/x/0", "/spool/x/99999"]
  ) {
    await router.send(path);
  }
  await router.send("/spool/x/0", { method: "POST" });
  assertEquals(await router.json("/status/count"), {
    service_access_counts: {
      web: { "192.0.2.1": 2, "2001:db8::1": 1 },
      db: { "192.0.2.1": 1 },
    },
  });
});

Deno.test("/recent reports the services that were requested lately, sorted, each with the last response", async () => {
  await using router = new RouterFixture();
  assertEquals(await router.json("/recent"), { seen_services: [], threshold_seconds: 600 });
  await using service = await healthyService();
  const start = Date.now() / 1000;
  await router.addRecord("web", "maint");
  await router.send("/spool/web/0");
  await router.send("/http/db/0", { client: "192.0.2.2" });
  await router.send(`/http/Api/${service.port}`);
  await router.send("/spool/Api/0", { client: "2001:db8::1" });
  const { seen_services, threshold_seconds } = await router.json("/recent");
  assertEquals(threshold_seconds, 600);
  const seen = seen_services as [string, { code: number; remote_ip: string; ts: number }][];
  assertEquals(seen.map(([service, { code, remote_ip }]) => [service, code, remote_ip]), [
    ["Api", 200, "2001:db8::1"],
    ["db", 400, "192.0.2.2"],
    ["web", 503, "192.0.2.1"],
  ]);
  for (const [, last] of seen) {
    assertEquals(Object.keys(last), ["code", "remote_ip", "ts"]);
    assert(last.ts >= start && last.ts <= Date.now() / 1000);
  }
});

Deno.test("/recent reports a service whose first check is in flight, without a response", async () => {
  await using router = new RouterFixture("healthcheck_timeout: 0.3\n");
  await using hanging = await FaultyServer.start(silent);
  const connecting = router.send(`/tcp/db/${hanging.port}`);
  const late = router.send(`/http/web/${hanging.port}`);
  assertEquals(await router.json("/recent"), {
    seen_services: [["db", null], ["web", null]],
    threshold_seconds: 600,
  });
  await Promise.all([connecting, late]);
  const { seen_services } = await router.json("/recent");
  assertEquals(
    (seen_services as [string, { code: number }][]).map(([service, { code }]) => [service, code]),
    [["db", 200], ["web", 503]],
  );
});

Deno.test("/recent reports the time that threshold gives, and rejects an invalid one", async () => {
  await using router = new RouterFixture();
  await router.send("/spool/web/0");
  const start = Date.now();
  await until("that was a while ago", () => Date.now() > start + 20);
  const cases: [query: string, threshold: number, seen: number][] = [
    ["", 600, 1],
    ["?", 600, 1],
    ["?x=1", 600, 1],
    ["?threshold=86400", 86_400, 1],
    ["?x=1&threshold=0", 0, 0],
  ];
  for (const [query, threshold, seen] of cases) {
    const page = await router.json(`/recent${query}`);
    assertEquals(page.threshold_seconds, threshold);
    assertEquals((page.seen_services as unknown[]).length, seen, query);
  }
  for (const bad of ["", "-1", "1.5", "1e3", "abc", " 1", "9".repeat(16), "Infinity", "<b>"]) {
    assertEquals(await router.result(`/recent?threshold=${encodeURIComponent(bad)}`), [
      400,
      `Bad threshold: expected a whole number of seconds: received ${JSON.stringify(bad)}`,
    ]);
  }
});

Deno.test("/status/downtimes reports the entries in force, sorted by name, and counts as no check", async () => {
  await using empty = new RouterFixture();
  assertEquals(await empty.json("/status/downtimes"), { downtimes: [], weights: [] });
  const weight = (weight: number) => JSON.stringify({ weight, reason: "canary", creation: 5.5 });
  await using router = new RouterFixture("", null, {
    ".weight:web:8080": weight(50),
    ".weight:all": weight(0),
    "old": '{"expiration": 5}',
    "web:10.1.1.1:8080": '{"mode": "drain", "reason": "maint"}',
    "all": '{"reason": "a\\nb", "expiration": 4000000000.125, "creation": 5}',
  });
  const fields = { reason: "canary", expiration: null, creation: 5.5 };
  assertEquals(await router.json("/status/downtimes?x"), {
    downtimes: [
      {
        ...{ name: "all", service: "all", port: 0, host: "127.0.0.1", mode: "down" },
        ...{ reason: "a\nb", expiration: 4000000000.125, creation: 5 },
      },
      {
        ...{ name: "web:10.1.1.1:8080", service: "web", port: 8080, host: "10.1.1.1" },
        ...{ mode: "drain", reason: "maint", expiration: null, creation: null },
      },
    ],
    weights: [
      { name: "all", service: "all", port: 0, host: "127.0.0.1", weight: 0, ...fields },
      { name: "web:8080", service: "web", port: 8080, host: "127.0.0.1", weight: 50, ...fields },
    ],
  });
  assertEquals(await router.json("/status/count"), { service_access_counts: {} });
});

Deno.test("/status/services/… reports the weight of agent checks, and counts as no check", async () => {
  await using router = new RouterFixture("", null, {
    ".weight:web": '{"weight": 50}',
    ".weight:web:8080": '{"weight": 0}',
    ".weight:api": '{"weight": 101}',
  });
  const headers = { "X-Haproxy-Server-State": "UP; port=8080" };
  const weight = async (path: string, options: RequestOptions = {}) =>
    (await router.json(`/status/services/${path}`, options)).agent_weight;
  assertEquals(await weight("db/0"), 100);
  assertEquals(await weight("web/0"), 50);
  assertEquals(await weight("web/0", { headers }), 0);
  assertEquals(await weight("api/80/x?y"), null, "an invalid weight");
  assertEquals(await router.json("/status/count"), { service_access_counts: {} });
});

Deno.test("/status/services/… reports the record that decides a check, and counts as no check", async () => {
  await using router = new RouterFixture();
  await router.addRecord("web:8080", '{"reason": "maint", "creation": 1}');
  const headers = { "X-Haproxy-Server-State": "UP; port=8080" };
  const path = "/status/services/web/0";
  assertEquals((await router.json(path)).kept_out_by, null);
  assertEquals((await router.json(path, { headers })).kept_out_by, {
    ...{ name: "web:8080", mode: "down", reason: "maint", expiration: null, creation: 1 },
  });
  assertEquals(await router.json("/status/count"), { service_access_counts: {} });
  assertEquals(await router.result("/spool/web/0"), [200, ""]);
  assertEquals(
    await router.result("/spool/web/0", { headers }),
    [503, "Service web in down state since 1.000000: maint"],
  );
});

const FORM = { "Content-Type": "application/x-www-form-urlencoded" };

function form(body: string): RequestOptions {
  return { method: "POST", headers: FORM, body };
}

/** The line of a record in the spool. */
async function downSince(router: RouterFixture, name: string, reason: string): Promise<string> {
  const { creation } = JSON.parse(await Deno.readTextFile(router.folder.file(name)));
  return `Service ${name} in down state since ${creation.toFixed(6)}: ${reason}`;
}

Deno.test("POST is rejected unless allow_remote_spool_changes is on", async () => {
  await using router = new RouterFixture();
  for (const body of ["status=up", "status=down&reason=x", "nonsense"]) {
    assertEquals(
      await router.result("/spool/web/0/status", form(body)),
      [403, "remote spool changes are not enabled"],
    );
  }
  assertEquals(await router.result("/spool/web/0"), [200, ""]);
});

Deno.test("POST of a client that is not allowed changes nothing, and its form is not read", async () => {
  const token = "0123456789abcdef";
  await using router = new RouterFixture(
    `${CHANGING}remote_spool_clients: [192.0.2.1, 192.0.2.2]\n`,
    token,
  );
  const post = (authorization: string, client: string, body: BodyInit = "status=down&reason=x") =>
    router.result("/spool/web/0", {
      method: "POST",
      headers: { ...FORM, authorization },
      body,
      client,
    });
  const right = `Bearer ${token}`;
  const unread = () => new ReadableStream({ pull: () => new Promise(() => {}) });
  for (const client of ["192.0.2.3", "::ffff:192.0.2.3", "127.0.0.1", "2001:db8::1"]) {
    assertEquals(await post(right, client), [403, "Forbidden"]);
    assertEquals(await post(right, client, unread()), [403, "Forbidden"]);
  }
  for (const wrong of ["", "Bearer", `Bearer ${token}x`, `Basic ${token}`]) {
    assertEquals(await post(wrong, "192.0.2.1"), [401, "Unauthorized"]);
    assertEquals(await post(wrong, "192.0.2.1", unread()), [401, "Unauthorized"]);
    assertEquals(await post(wrong, "192.0.2.1", "nonsense"), [401, "Unauthorized"]);
  }
  assertEquals([...Deno.readDirSync(router.folder.path)], []);
  assertEquals((await router.json("/status")).refused, {
    ...newCounters().refused,
    spool_changes: 20,
  });
  assertEquals(router.recorded.lines, [
    "WARNING refused 192.0.2.3: remote_spool_clients does not list it",
  ]);
  assertEquals(await post(right, "::ffff:192.0.2.2"), [200, ""]);
  assertEquals(await router.result("/spool/web/0"), [503, await downSince(router, "web", "x")]);
});

Deno.test("POST is rejected with 403 before the client and the token are checked if changes are off", async () => {
  await using router = new RouterFixture("remote_spool_clients: [192.0.2.2]\n", "0123456789abcdef");
  assertEquals(
    await router.result("/spool/web/0", form("status=up")),
    [403, "remote spool changes are not enabled"],
  );
});

Deno.test("the router responds 403 to other clients than allowed_clients, whatever the request", async () => {
  await using router = new RouterFixture(
    `${CHANGING}allowed_clients: [192.0.2.0/31, '2001:db8::/32']\n`,
  );
  const paths = ["/spool/web/0", "/http/web/0", "/status", "/status/count", "/recent", "/nothing"];
  for (const client of ["192.0.2.2", "::ffff:192.0.2.2", "127.0.0.1", "::1", "2001:db9::1"]) {
    for (const path of [...paths, "/debug/runtime", "/status/services/web/0"]) {
      for (const method of ["GET", "HEAD", "POST", "OPTIONS", "DELETE"]) {
        const body = method === "HEAD" ? "" : "Forbidden";
        const { status, body: received } = await router.send(path, { client, method });
        assertEquals([status, method === "HEAD" ? "" : received], [403, body], `${client} ${path}`);
      }
    }
  }
  for (const client of ["192.0.2.0", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::7"]) {
    assertEquals(await router.result("/spool/web/0", { client }), [200, ""]);
    assertEquals((await router.send("/nothing", { client })).status, 404);
  }
  assertEquals((await router.json("/status")).refused, {
    ...newCounters().refused,
    clients: 5 * 8 * 5,
  });
  assertEquals(router.recorded.lines, [
    "WARNING refused 192.0.2.2: allowed_clients does not list it",
  ]);
});

Deno.test("POST writes and removes records, and no later response contradicts it", async () => {
  await using router = new RouterFixture(CHANGING);
  const NOW = "NOW";
  const cases: [path: string, body: string, name: string, record: string][] = [
    [
      "/spool/web/0/status",
      "status=down&reason=maint",
      "web",
      '{"reason": "maint", "expiration": null, "creation": NOW}',
    ],
    [
      "/spool/web/8080/status",
      "status=down&reason=a+b%26%C3%BC%22&expiration=4000000000.125&creation=1435694078.778886",
      "web:8080",
      '{"reason": "a b&\\u00fc\\"", "expiration": 4000000000.125, "creation": 1435694078.778886}',
    ],
    [
      "/spool/db/0",
      "creation=0&reason=&status=down&ignored=1&ignored=2",
      "db",
      '{"reason": "", "expiration": null, "creation": 0}',
    ],
    [
      "/spool/all/0/any/thing?status=up",
      "status=down&reason=x&expiration=4000000000",
      "all",
      '{"reason": "x", "expiration": 4000000000, "creation": NOW}',
    ],
  ];
  for (const [path, body, name, record] of cases) {
    const start = Date.now() / 1000;
    const [, protocol, service, port] = path.split("/");
    assertEquals(await router.result(path, form(body)), [200, ""]);
    assertEquals((await router.send(`/${protocol}/${service}/${port}`)).status, 503, path);
    const content = Deno.readTextFileSync(router.folder.file(name));
    const { creation } = JSON.parse(content);
    assertEquals(record.includes(NOW) ? content.replace(String(creation), NOW) : content, record);
    if (record.includes(NOW)) assert(creation >= start && creation <= Date.now() / 1000);
    // Removing a record that does not exist succeeds.
    for (let times = 1; times <= 2; times++) {
      assertEquals(await router.result(path, form("status=up&reason=ignored&expiration=x")), [
        200,
        "",
      ]);
      assertEquals(await router.result(`/${protocol}/${service}/${port}`), [200, ""]);
    }
    assertEquals([...Deno.readDirSync(router.folder.path)].length, 0);
  }
});

Deno.test("POST drains and sets weights, and no later response contradicts it", async () => {
  await using router = new RouterFixture(CHANGING);
  const path = "/spool/web/8080/status";
  const entry = "/status/services/web/8080";
  const files = () => [...Deno.readDirSync(router.folder.path)].map(({ name }) => name).sort();
  const drain = "status=drain&reason=maint&creation=5&expiration=4000000000";
  assertEquals(await router.result(path, form(drain)), [200, ""]);
  assertEquals(
    Deno.readTextFileSync(router.folder.file("web:8080")),
    '{"reason": "maint", "expiration": 4000000000, "creation": 5, "mode": "drain"}',
  );
  assertEquals(await router.result("/spool/web/8080"), [
    404,
    "Service web in drain state since 5.000000 until 4000000000.000000: maint",
  ]);
  assertEquals(await router.result("/tcp/web/8080"), await router.result("/spool/web/8080"));

  for (const [weight, more] of [["50", "&reason=canary&creation=5"], ["0", ""], ["007", ""]]) {
    assertEquals(await router.result(path, form(`weight=${weight}${more}`)), [200, ""]);
    assertEquals((await router.json(entry)).agent_weight, Number(weight));
    assertEquals(files(), [".weight:web:8080", "web:8080"]);
  }
  await router.result(path, form("weight=50&reason=canary&creation=5"));
  assertEquals(
    Deno.readTextFileSync(router.folder.file(".weight:web:8080")),
    '{"reason": "canary", "expiration": null, "creation": 5, "weight": 50}',
  );
  assertEquals(await router.result(path, form("status=up")), [200, ""]);
  assertEquals(await router.result("/spool/web/8080"), [200, ""]);
  assertEquals(files(), [".weight:web:8080"]);
  for (let times = 1; times <= 2; times++) {
    assertEquals(await router.result(path, form("weight=100&reason=x")), [200, ""]);
    assertEquals((await router.json(entry)).agent_weight, 100);
    assertEquals(files(), []);
  }
});

Deno.test("POST for a port changes the record of that port of this host, whatever the headers name", async () => {
  await using router = new RouterFixture(CHANGING);
  const headers = {
    ...FORM,
    "X-Haproxy-Server-State": "UP; address=198.51.100.7; port=9090",
    "X-Nerve-Check-IP": "198.51.100.8",
  };
  const body = "status=down&reason=x";
  assertEquals(await router.result("/spool/web/8080", { method: "POST", headers, body }), [
    200,
    "",
  ]);
  assertEquals([...Deno.readDirSync(router.folder.path)].map(({ name }) => name), ["web:8080"]);
});

/** A form of several parts, with CR LF. */
function multipart(fields: Readonly<Record<string, string>>, file = ""): RequestOptions {
  const parts = Object.entries(fields).map(([name, value]) =>
    `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  );
  return {
    method: "POST",
    headers: { "Content-Type": "multipart/form-data; boundary=b" },
    body: `${parts.join("")}${file}--b--\r\n`,
  };
}

Deno.test("POST reads fields from the body, as multipart too, and from the query string", async () => {
  const file = '--b\r\nContent-Disposition: form-data; name="reason"; filename="x"\r\n\r\nfile\r\n';
  const cases: [query: string, options: RequestOptions, reason: string | undefined][] = [
    ["?status=down&reason=a+b", form(""), "a b"],
    ["?status=down&reason=query", { method: "POST" }, "query"],
    ["?status=down", form("reason=body"), "body"],
    ["?status=up&reason=query", form("status=down&reason=body"), "body"],
    ["", multipart({ status: "down", reason: "grün&=+ " }), "grün&=+"],
    ["?status=down", multipart({ reason: "part" }), "part"],
    // Files are ignored.
    ["?reason=query", multipart({ status: "down" }, file), "query"],
    ["", form("status=+down%0A&reason=%09two+words+&creation=+5+"), "two words"],
    ["?status=down&reason=x", form("status=up"), undefined],
    ["?status=up", multipart({}), undefined],
  ];
  for (const [query, options, reason] of cases) {
    await using router = new RouterFixture(CHANGING);
    assertEquals(await router.result(`/spool/web/0/status${query}`, options), [200, ""]);
    const files = [...Deno.readDirSync(router.folder.path)].map(({ name }) => name);
    assertEquals(files, reason === undefined ? [] : ["web"], query);
    if (reason === undefined) continue;
    assertEquals(JSON.parse(Deno.readTextFileSync(router.folder.file("web"))).reason, reason);
  }
});

Deno.test("POST rejects a multipart form that is broken, has a field twice or is too long", async () => {
  await using router = new RouterFixture(CHANGING);
  const down = { status: "down", reason: "x" };
  const broken = "Bad form: expected multipart/form-data, as its Content-Type says";
  const post = (body: string, type = "multipart/form-data; boundary=b"): RequestOptions => ({
    ...{ method: "POST", headers: { "Content-Type": type }, body },
  });
  const twice = '--b\r\nContent-Disposition: form-data; name="reason"\r\n\r\ny\r\n';
  const cases: [options: RequestOptions, response: [number, string]][] = [
    [post("status=down&reason=x"), [400, broken]],
    [post("--b\r\n", "multipart/form-data"), [400, broken]],
    [multipart(down, twice), [400, "Bad reason: expected it once: received it more than once"]],
    [multipart({}), [400, "Bad status: expected up, down or drain: received none"]],
    [multipart({ ...down, padding: "x".repeat(MAX_FORM_BYTES) }), [
      413,
      `The form is longer than ${MAX_FORM_BYTES} bytes`,
    ]],
  ];
  for (const [options, response] of cases) {
    assertEquals(await router.result("/spool/web/0", options), response);
  }
  assertEquals([...Deno.readDirSync(router.folder.path)], []);
});

Deno.test("POST rejects an invalid form, and changes nothing", async () => {
  await using router = new RouterFixture(CHANGING);
  const time = (name: string, given: string) =>
    `Bad ${name}: expected a time in unix seconds: received ${JSON.stringify(given)}`;
  const cases: [body: string, message: string][] = [
    ["", "Bad status: expected up, down or drain: received none"],
    ["reason=x", "Bad status: expected up, down or drain: received none"],
    ["status=", 'Bad status: expected up, down or drain: received ""'],
    ["status=DOWN&reason=x", 'Bad status: expected up, down or drain: received "DOWN"'],
    ["status=%22%0Ax", 'Bad status: expected up, down or drain: received "\\"\\nx"'],
    ['{"status": "up"}', "Bad status: expected up, down or drain: received none"],
    ["status=down", "Bad reason: expected why the service is down: received none"],
    ["status=down&reason=x&expiration=", time("expiration", "")],
    ["status=down&reason=x&expiration=+", time("expiration", "")],
    ["status=down&reason=x&expiration=soon", time("expiration", "soon")],
    ["status=down&reason=x&expiration=-1", time("expiration", "-1")],
    ["status=down&reason=x&expiration=NaN", time("expiration", "NaN")],
    ["status=down&reason=x&expiration=Infinity", time("expiration", "Infinity")],
    ["status=down&reason=x&expiration=1e999", time("expiration", "1e999")],
    ["status=down&reason=x&expiration=None", time("expiration", "None")],
    ["status=down&reason=x&creation=yesterday", time("creation", "yesterday")],
    ...["status", "reason", "expiration", "creation"].map((name): [string, string] => [
      `status=down&reason=x&expiration=1&creation=1&${name}=1`,
      `Bad ${name}: expected it once: received it more than once`,
    ]),
    ["status=up&status=up", "Bad status: expected it once: received it more than once"],
  ];
  for (const [body, message] of cases) {
    assertEquals(await router.result("/spool/web/0/status", form(body)), [400, message], body);
  }
  assertEquals([...Deno.readDirSync(router.folder.path)], []);
});

Deno.test("POST rejects an invalid weight, and one beside a status", async () => {
  await using router = new RouterFixture(CHANGING);
  for (const given of ["", "101", "-1", "+5", "50%", "5.5", "1e1", "0x5", "5 0", "half", "٣"]) {
    assertEquals(
      await router.result("/spool/web/0", form(`${new URLSearchParams({ weight: given })}`)),
      [
        400,
        `Bad weight: expected a whole number from 0 to 100: received ${JSON.stringify(given)}`,
      ],
    );
  }
  const cases: [body: string, message: string][] = [
    ["weight=5&weight=5", "Bad weight: expected it once: received it more than once"],
    [
      "weight=5&status=down&reason=x",
      "Bad weight: expected either a weight or a status: received both",
    ],
    ["weight=5&status=up", "Bad weight: expected either a weight or a status: received both"],
    [
      "weight=5&expiration=soon",
      'Bad expiration: expected a time in unix seconds: received "soon"',
    ],
    ["status=drain", "Bad reason: expected why the service is down: received none"],
    ["status=weight", 'Bad status: expected up, down or drain: received "weight"'],
  ];
  for (const [body, message] of cases) {
    assertEquals(await router.result("/spool/web/0", form(body)), [400, message], body);
  }
  assertEquals([...Deno.readDirSync(router.folder.path)], []);
});

Deno.test("POST rejects a service that cannot have a record", async () => {
  await using router = new RouterFixture(CHANGING);
  const down = form("status=down&reason=x");
  assertEquals(await router.result("/spool/.web/0", down), [
    400,
    "Bad service .web: names beginning with a dot are reserved",
  ]);
  assertEquals(await router.result("/spool/web/65536", down), [
    400,
    "Bad port in the path: expected a number from 0 to 65535: received 65536",
  ]);
  for (const change of ["status=down&reason=x", "status=drain&reason=x", "weight=50"]) {
    assertEquals(await router.result("/spool/all/8081", form(change)), [
      400,
      "Bad port in the path: expected 0 with all: received 8081",
    ], change);
  }
  assertEquals(await router.result("/spool/all/8081", form("status=up")), [200, ""]);
  assertEquals([...Deno.readDirSync(router.folder.path)], []);
});

Deno.test("POST reads a form of MAX_FORM_BYTES, and rejects a longer one", async () => {
  await using router = new RouterFixture(CHANGING);
  const start = "status=down&reason=x&padding=";
  const padded = (length: number) => start + "x".repeat(length - start.length);
  assertEquals(await router.result("/spool/a/0", form(padded(MAX_FORM_BYTES))), [200, ""]);
  assertEquals(
    await router.result("/spool/b/0", form(padded(MAX_FORM_BYTES + 1))),
    [413, `The form is longer than ${MAX_FORM_BYTES} bytes`],
  );
  assertEquals([...Deno.readDirSync(router.folder.path)].map(({ name }) => name), ["a"]);
});

Deno.test("POST responds 500 if the spool cannot be written, and logs why", async () => {
  await using router = new RouterFixture(CHANGING);
  // A folder can neither be replaced by a file nor removed as one.
  Deno.mkdirSync(router.folder.file("web:80/x"), { recursive: true });
  Deno.mkdirSync(router.folder.file(".weight:web:80/x"), { recursive: true });
  const cases = [
    ["take down web:80", "status=down&reason=x"],
    ["end the downtime of web:80", "status=up"],
    ["drain web:80", "status=drain&reason=x"],
    ["set the weight of web:80 to 5", "weight=5"],
    ["set the weight of web:80 to 100", "weight=100"],
  ];
  for (const [what, body] of cases) {
    assertEquals(await router.result("/spool/web/80/status", form(body!)), [
      500,
      `Cannot ${what}: the spool cannot be written`,
    ]);
    assertMatch(router.recorded.lines.at(-1)!, new RegExp(`^ERROR cannot ${what}: `));
    assertEquals((await router.send("/spool/web/80")).status, 503);
  }
});

/** Makes an HTTP/1.1 request that is the last on its connection. */
function last(line: string, ...headers: string[]): string {
  return `${[line, "Connection: close", ...headers].join("\r\n")}\r\n\r\n`;
}

Deno.test("HEAD and OPTIONS get the response of GET, HEAD without the body", async () => {
  await using service = await healthyService();
  await using daemon = await Daemon.start();
  daemon.writeRecord("db", "maint");
  await until("db is down", async () => (await daemon.get("/spool/db/0")).status === 503);
  const line = "Service db in down state: maint";
  for (
    const [path, status, body] of [
      [`/http/web/${service.port}/status`, 200, "fine"],
      ["/spool/db/0", 503, line],
      ["/http/db/0", 503, line],
      ["/spool/web/0", 200, ""],
      ["/gopher/web/0", 404, NOT_FOUND],
    ] as const
  ) {
    for (const method of ["GET", "OPTIONS", "HEAD"]) {
      // HAProxy's bare `option httpchk` sends no header at all.
      for (
        const request of [
          `${method} ${path} HTTP/1.0\r\n\r\n`,
          last(`${method} ${path} HTTP/1.1`, "Host: x"),
        ]
      ) {
        const response = await sendRaw(daemon.port, request);
        assertEquals(
          [response.status, response.body],
          [status, method === "HEAD" ? "" : body],
          request,
        );
        assertEquals(response.headers.get("content-length"), String(body.length));
      }
    }
  }
});

Deno.test("an http check sends the path to the service byte for byte", async () => {
  await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
  for (
    const [given, passed = given] of [
      ["/"],
      ["//a///b/", "/a///b/"],
      ["///a", "//a"],
      ["/a/../b/./c/../../../d"],
      ["/%2e%2e/%2F%00%zz%"],
      ["/a?b=%20&c=../d?e&&=+"],
      ["/a'\"<>\\^`{|}~[]@!$()*,;:"],
      ["/a#b"],
      ["/gr\xc3\xbc\xc3\x9f?\xe2\x82\xac"],
      ["?a=1", "/?a=1"],
      ["?", "/?"],
    ] as const
  ) {
    await using service = await healthyService();
    const line = `GET /http/web/${service.port}${given} HTTP/1.1`;
    const { status, body } = await sendRaw(daemon.port, last(line, "Host: h\xe9"));
    assertEquals([status, body], [200, "fine"], given);
    assertMatch(service.received, /^GET [^ ]* HTTP\/1\.1\r\n(?:.*\r\n)*Host: h\xe9\r\n/);
    assertEquals(service.received.split(" ")[1], passed);
  }
});

Deno.test("the daemon responds to unusual requests, and goes on", async () => {
  await using service = await healthyService();
  await using daemon = await Daemon.start();
  const check = `/http/web/${service.port}`;
  for (
    const [request, status] of [
      [last(`GET ${check} HTTP/1.1`), 200],
      [last(`GET ${check} HTTP/1.1`, "Host:"), 200],
      [last(`GET ${check} HTTP/1.1`, "Host: ev il"), 200],
      [last(`GET http://elsewhere${check} HTTP/1.1`, "Host: x"), 200],
      [last("GET http://elsewhere HTTP/1.1", "Host: x"), 404],
      [last("GET http://elsewhere HTTP/1.1", "Host: x", "Accept: text/html"), 200],
      [last("GET http://elsewhere?x=/status HTTP/1.1", "Host: x"), 404],
      [last("OPTIONS * HTTP/1.1", "Host: x"), 404],
      [last(`CONNECT 127.0.0.1:${service.port} HTTP/1.1`, "Host: x"), 404],
      [last(`TRACE ${check} HTTP/1.1`, "Host: x"), 405],
      [last(`get ${check} HTTP/1.1`, "Host: x"), 405],
      [last(`GET /${check} HTTP/1.1`, "Host: x"), 404],
      [last(`GET /x/..${check} HTTP/1.1`, "Host: x"), 404],
      [last("GET /spool/../0 HTTP/1.1", "Host: x"), 404],
      [last(`GET /http/../${service.port}/x HTTP/1.1`, "Host: x"), 404],
      [last("GET /spool/w\xc3\xa9b/0 HTTP/1.1", "Host: x"), 404],
      [last("GET /spool/web/0 HTTP/1.1", "Host: x", "X-Haproxy-Server-State: \xff\xfe"), 200],
      [
        last("GET /spool/web/0 HTTP/1.1", "X-Nerve-Check-IP: 127.0.0.1", "X-Nerve-Check-IP: x"),
        400,
      ],
      [last(`GET ${check}/a b HTTP/1.1`, "Host: x"), 400],
      [last(`GET ${check}/\xff HTTP/1.1`, "Host: x"), 400],
      ["nonsense\r\n\r\n", 400],
      ["\0\0\0\0\r\n\r\n", 400],
    ] as const
  ) {
    assertEquals((await sendRaw(daemon.port, request)).status, status, request);
  }
  assertEquals(await daemon.get("/spool/web/0"), { status: 200, body: "" });
});

Deno.test("the router responds 400 to a path in the Host header", async () => {
  await using daemon = await Daemon.start();
  daemon.writeRecord("web", "maint");
  await until("web is down", async () => (await daemon.get("/spool/web/0")).status === 503);
  for (const host of ["x/spool/api/0", "x/spool/api/0?", "/spool/api/0/", "x?y", "x/"]) {
    const response = await sendRaw(daemon.port, last("GET /spool/web/0 HTTP/1.1", `Host: ${host}`));
    assertEquals(
      [response.status, response.body],
      [400, "Bad Host: expected a name or an address, with or without a port"],
      host,
    );
  }
});

Deno.test("the daemon responds to several requests on one connection in their order", async () => {
  await using service = await healthyService();
  await using daemon = await Daemon.start();
  const { status, body } = await sendRaw(
    daemon.port,
    `GET /http/web/${service.port} HTTP/1.1\r\nHost: x\r\n\r\n` +
      "GET /spool/web/0 HTTP/1.1\r\nHost: x\r\n\r\n" +
      last("GET /gopher/web/0 HTTP/1.1", "Host: x"),
  );
  assertEquals(status, 200);
  assertMatch(body, /^fineHTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\nHTTP\/1\.1 404 Not Found\r\n/);
});

Deno.test("POST reads a form in pieces to its end, and a form that is cut off changes nothing", async () => {
  using spool = new TempFolder();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: CHANGING,
    grants: [`--allow-write=${spool.path}`],
  });
  const { status, body } = await sendRaw(
    daemon.port,
    last("POST /spool/web/0/status HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") +
      "c\r\nstatus=down&\r\na\r\nreason=%C3\r\n4\r\n%BC!\r\n0\r\n\r\n",
  );
  assertEquals([status, body], [200, ""]);
  const downed = await daemon.get("/spool/web/0");
  assertMatch(downed.body, /^Service web in down state since \d+\.\d{6}: ü!$/);

  const log = daemon.log;
  for (let times = 1; times <= 20; times++) {
    using gone = await RawConnection.open(daemon.port);
    await gone.send(
      "POST /spool/web/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nstatus=up",
    );
  }
  assertEquals(await daemon.get("/spool/web/0"), downed);
  assertEquals(daemon.log, log);
});
