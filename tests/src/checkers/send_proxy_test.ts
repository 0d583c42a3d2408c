import { type CheckerOptions, protocols } from "../../../src/checkers/mod.ts";
import { ALL_UNVERIFIED } from "../../../src/net/tls_clients.ts";
import { PROXY_PROTOCOLS } from "../../../src/net/proxy_protocol.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../../servers/certificates.ts";
import { connectionsTo, FaultyServer, silent } from "../../servers/faulty.ts";
import { HAProxy } from "../../servers/haproxy.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../../servers/mariadb.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../../servers/nginx.ts";
import { Postfix, POSTFIX_PROGRAMS } from "../../servers/postfix.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

/** Makes the protocols with PROXY headers. */
function protocolsWith(sendProxy: CheckerOptions["sendProxy"]): ReturnType<typeof protocols> {
  const noLogin = { username: null, password: null };
  return protocols({
    http: { serviceNameHeader: null },
    mysql: USER,
    postgres: { ...noLogin, database: null },
    redis: noLogin,
    sentinel: noLogin,
    smtp: {},
    sendProxy,
    ldap: noLogin,
    tls: ALL_UNVERIFIED,
  });
}

/** Checks with each version, and without a header. */
async function statusesOf(protocol: string, port: number): Promise<number[]> {
  const statuses: number[] = [];
  for (const version of ["v1", "v2", "off"] as const) {
    const { check } = protocolsWith({ [protocol]: version }).get(protocol)!;
    const signal = AbortSignal.timeout(version === "off" ? 500 : 60_000);
    statuses.push((await check(requestTo(port, { protocol }), signal)).code);
  }
  await until("no connection is open", async () => await connectionsTo(port) === 0);
  return statuses;
}

Deno.test("PROXY_PROTOCOLS are the protocols that connect by TCP", () => {
  const names = [...protocolsWith({}).keys()].filter((name) => name !== "dns");
  assertEquals([...PROXY_PROTOCOLS].sort(), names.sort());
});

Deno.test("the header of a service comes before that of its protocol", async () => {
  const sendProxy = { tcp: "v1", "tcp/web": "v2", "tcp/db": "off" } as const;
  const { check, varyOn } = protocolsWith(sendProxy).get("tcp")!;
  // Checks of services with different headers may not share a verdict.
  assertEquals(varyOn, ["service"]);
  assertEquals(protocolsWith({ tcp: "v1" }).get("tcp")!.varyOn, []);
  for (
    const [service, header] of [
      ["api", /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n$/],
      ["web", /^\r\n\r\n\0\r\nQUIT\n \0\0\0$/],
      ["db", /^$/],
    ] as const
  ) {
    await using server = await FaultyServer.start(silent);
    const { code } = await check(requestTo(server.port, { service }), longDeadline());
    assertEquals(code, 200);
    await until("the connection is closed", async () => await server.connected() === 0);
    assertMatch(server.received, header);
    const [, sent] = /(\d+)\r\n$/.exec(server.received) ?? [];
    if (sent !== undefined) assertEquals(Number(sent), server.port);
  }
});

serverTest(
  "http, https and haproxy checks begin with a header for servers that expect one",
  [...NGINX_PROGRAMS, ...CERTIFICATE_PROGRAMS, "haproxy"],
  async () => {
    using folder = new TempFolder();
    const { certificate, key } = await issueSelfSigned(folder, "web", "DNS:web.example");
    await using plain = await Nginx.start((address) =>
      `server { listen ${address} proxy_protocol; return 200 fine; }`
    );
    assertEquals(await statusesOf("http", plain.port), [200, 200, 503]);
    await using secure = await Nginx.start((address) =>
      `server { listen ${address} ssl proxy_protocol; return 200 fine;
       ssl_certificate ${certificate}; ssl_certificate_key ${key}; }`
    );
    assertEquals(await statusesOf("https", secure.port), [200, 200, 503]);
    await using haproxy = await HAProxy.start((port) => `
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend any
    bind 127.0.0.1:${port} accept-proxy proto h1
    stats enable
    stats uri /
    default_backend web
backend web
    server none 127.0.0.1:1
`);
    assertEquals(await statusesOf("haproxy", haproxy.port), [200, 200, 503]);
  },
);

serverTest(
  "mysql checks begin with a header for a MariaDB that expects one",
  MARIADB_PROGRAMS,
  async () => {
    await using db = await MariaDb.start("--proxy-protocol-networks=127.0.0.1");
    // MariaDB also accepts connections without.
    assertEquals(await statusesOf("mysql", db.port), [200, 200, 200]);
    assertEquals(await db.status("Aborted_connects"), 0);
  },
);

serverTest(
  "smtp checks begin with a header for a Postfix that expects one",
  POSTFIX_PROGRAMS,
  async () => {
    await using postfix = await Postfix.start("smtpd_upstream_proxy_protocol = haproxy\n");
    assertEquals(await statusesOf("smtp", postfix.port), [200, 200, 503]);
  },
);
