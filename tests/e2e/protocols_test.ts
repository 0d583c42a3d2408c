import { Connection } from "../../src/net/connection.ts";
import { exchange } from "../../src/net/http_client.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { HOME, IS_BUNDLED } from "../support/forms.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS, issueSelfSigned } from "../servers/certificates.ts";
import { Dnsmasq, DNSMASQ_PROGRAMS } from "../servers/dnsmasq.ts";
import { connectionsTo, FAULTS, FaultyServer, silent } from "../servers/faulty.ts";
import { Grpc, GRPC_PROGRAMS } from "../servers/grpc.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../servers/mariadb.ts";
import { Memcached, MEMCACHED_PROGRAMS } from "../servers/memcached.ts";
import { serverTest, until } from "../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../servers/nginx.ts";
import { Postfix, POSTFIX_PROGRAMS } from "../servers/postfix.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../servers/postgres.ts";
import { ADMIN, Slapd, SLAPD_PROGRAMS } from "../servers/slapd.ts";
import { Redis, REDIS_PROGRAMS, Sentinel, SENTINEL_PROGRAMS } from "../servers/redis.ts";

/** A running server. */
interface Running extends AsyncDisposable {
  readonly port: number;
}

/** A real server and its check. */
interface Service {
  /** The protocol, and the path behind the port. */
  readonly check: readonly [protocol: string, path?: string];
  /** The programs that it needs. */
  readonly programs?: readonly string[];
  /** Its part of the configuration. */
  readonly config?: string;
  /** The response while it runs. */
  readonly up: RegExp;
  /** Starts the server. */
  start(): Promise<Running>;
}

const CONNECTED = /^Connected in \d+\.\d\ds$/;
const PONG = /^Sent PING, got back \+PONG$/;

async function startSentinel(own: string, master: string): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await Redis.start(`requirepass ${master}`));
  const sentinel = stack.use(await Sentinel.start(redis, { own, master }));
  return Object.assign(stack.move(), { port: sentinel.port });
}

const SENTINEL = {
  programs: SENTINEL_PROGRAMS,
  // A Sentinel has a password of its own.
  config: "redis_password: another\nsentinel_password: secret",
  start: () => startSentinel("secret", "another"),
};

const REDIS = {
  programs: REDIS_PROGRAMS,
  config: "redis_username: checker\nredis_password: secret\nsentinel_password: another",
  start: () => Redis.start("user checker on >secret +ping +info"),
};

const SERVICES: readonly Service[] = [
  { check: ["tcp"], up: CONNECTED, start: () => FaultyServer.start(silent) },
  {
    check: ["http", "/health?deep=1"],
    programs: NGINX_PROGRAMS,
    up: /^GET \/health\?deep=1 HTTP\/1\.1$/,
    start: () => Nginx.start((address) => `server { listen ${address}; return 200 "$request"; }`),
  },
  {
    check: ["mysql"],
    programs: MARIADB_PROGRAMS,
    config: `mysql_username: ${USER.username}\nmysql_password: ${JSON.stringify(USER.password)}`,
    up: /^MySQL connect response: /,
    start: () => MariaDb.start(),
  },
  {
    // The code for signatures is loaded when a server first demands one.
    check: ["mysql", "/?ed25519"],
    programs: MARIADB_PROGRAMS,
    config: "mysql_username: modern\nmysql_password: secret",
    up: /^MySQL connect response: OK$/,
    start: async () => {
      const db = await MariaDb.start();
      await db.query(`
        INSTALL SONAME 'auth_ed25519';
        CREATE USER modern IDENTIFIED VIA ed25519 USING PASSWORD('secret');
      `);
      return db;
    },
  },
  {
    check: ["postgres"],
    programs: POSTGRES_PROGRAMS,
    config: "postgres_username: postgres\npostgres_database: template1",
    up: /^PostgreSQL connect response: OK$/,
    start: () => Postgres.start("host template1 postgres all trust"),
  },
  { check: ["smtp"], programs: POSTFIX_PROGRAMS, up: CONNECTED, start: () => Postfix.start() },
  { check: ["redis"], up: PONG, ...REDIS },
  { check: ["redis-info"], up: /^\{.*"role":"master".*\}$/, ...REDIS },
  {
    check: ["redis-info", "/match?role=slave&role=master"],
    up: /^Match found: field role, value master$/,
    ...REDIS,
  },
  { check: ["sentinel"], up: PONG, ...SENTINEL },
  {
    check: ["sentinel-info", "/match?"],
    up: /"redis_master":"127\.0\.0\.1:\d+"/,
    ...SENTINEL,
  },
  { check: ["sentinel-info"], up: /^\{.*"redis_mode":"sentinel".*\}$/, ...SENTINEL },
  {
    check: ["sentinel-info", "/match?sentinel_masters=1"],
    up: /^Match found: field sentinel_masters, value 1$/,
    ...SENTINEL,
  },
  {
    check: ["haproxy"],
    programs: ["haproxy"],
    up: /^web is UP$/,
    start: () =>
      HAProxy.start((port) => `
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend page
    bind 127.0.0.1:${port}
    stats enable
    stats uri /

backend web
    server a 127.0.0.1:1
`),
  },
  {
    check: ["ldap"],
    programs: SLAPD_PROGRAMS,
    config: `ldap_username: "${ADMIN.username}"\nldap_password: ${ADMIN.password}`,
    up: /^LDAP connect response: OK$/,
    start: () => Slapd.start(),
  },
  {
    check: ["memcached"],
    programs: MEMCACHED_PROGRAMS,
    up: /^Sent version, got back VERSION \d/,
    start: () => Memcached.start(),
  },
  {
    check: ["h2c", "/health"],
    programs: NGINX_PROGRAMS,
    up: /^GET \/health HTTP\/2\.0$/,
    start: () =>
      Nginx.start((address) => `server { listen ${address} http2; return 200 "$request"; }`),
  },
  {
    check: ["rediss"],
    programs: [...REDIS_PROGRAMS, ...CERTIFICATE_PROGRAMS],
    up: PONG,
    start: async () => {
      using folder = new TempFolder();
      return await Redis.startTls(await issueSelfSigned(folder, "redis", "DNS:redis.example"));
    },
  },
  {
    check: ["mysql", "/match?read_only=OFF"],
    programs: MARIADB_PROGRAMS,
    config: `mysql_username: ${USER.username}\nmysql_password: ${JSON.stringify(USER.password)}`,
    up: /^Match found: read_only OFF$/,
    start: () => MariaDb.start(),
  },
  {
    check: ["postgres", "/match?role=primary&max_lag=1s"],
    programs: POSTGRES_PROGRAMS,
    config: "postgres_username: postgres\npostgres_database: template1",
    up: /^Match found: role primary, lag 0\.000 s$/,
    start: () => Postgres.start("host template1 postgres all trust"),
  },
  {
    check: ["grpc"],
    programs: GRPC_PROGRAMS,
    up: /^SERVING$/,
    start: () => Grpc.start({ "": "SERVING" }),
  },
  {
    check: ["grpc", "/shop.v1.Cart"],
    programs: GRPC_PROGRAMS,
    up: /^SERVING$/,
    start: () => Grpc.start({ "": "NOT_SERVING", "shop.v1.Cart": "SERVING" }),
  },
];

/** The log lines of a daemon above the level INFO. */
function warnings({ log }: Daemon): string[] {
  return log.split("\n").filter((line) => line !== "" && !/^\S+Z INFO /.test(line));
}

for (const { check: [protocol, path = ""], programs = [], config = "", up, start } of SERVICES) {
  serverTest(
    `/${protocol}${path} reports a real server as up and then as down`,
    programs,
    async () => {
      await using daemon = await Daemon.start({
        config: `cache_time: 0\nhealthcheck_timeout: 30\n${config}\n`,
      });
      const running = await start();
      const url = `/${protocol}/web/${running.port}${path}`;
      {
        await using _server = running;
        for (let turn = 0; turn < 5; turn++) {
          const { status, body } = await daemon.get(url);
          assertEquals(status, 200, body);
          assertMatch(body, up);
        }
        await until(
          "it leaves no connection open",
          async () => await connectionsTo(running.port) === 0,
        );
      }
      const { status, body } = await daemon.get(url);
      assertEquals(status, 503, body);
      assertMatch(body, /refused/i);
      assertEquals(warnings(daemon), []);
    },
  );
}

serverTest("/dns reports a real server as up and then as down", DNSMASQ_PROGRAMS, async () => {
  // Nothing but local targets is permitted.
  await using daemon = await Daemon.start({
    config: "cache_time: 0\nhealthcheck_timeout: 2\n",
    allGrants: (spool) => [
      ...["--no-prompt", `--allow-read=${spool}${IS_BUNDLED ? `,${HOME}src` : ""}`],
      "--allow-net=127.0.0.0/8,[::1]",
    ],
  });
  let url;
  {
    await using server = await Dnsmasq.start("--host-record=web.example,10.0.0.1");
    url = `/dns/web/${server.port}/web.example?type=A`;
    for (let turn = 0; turn < 5; turn++) {
      const body = "NOERROR: 1 A record of web.example";
      assertEquals(await daemon.get(url), { status: 200, body });
    }
  }
  const { status, body } = await daemon.get(url);
  assertEquals(status, 503, body);
  assertMatch(body, /timed out: there was no response$/);
});

const HTTPS_PROGRAMS = [...NGINX_PROGRAMS, ...CERTIFICATE_PROGRAMS];

serverTest("/https reports a real server as up and then as down", HTTPS_PROGRAMS, async () => {
  using folder = new TempFolder();
  const authority = await Authority.create(folder, "authority");
  const stranger = await Authority.create(folder, "stranger");
  const certificates = {
    "good.example": await authority.issue("good", { for: "DNS:good.example" }),
    "strange.example": await stranger.issue("strange", { for: "DNS:strange.example" }),
  };
  const trusted = `https_verify: true\nhttps_ca: ${authority.certificate}`;
  const start = (config: string) =>
    Daemon.start({
      config: `cache_time: 0\n${config}\n`,
      grants: [`--allow-read=${authority.certificate}`],
    });
  await using verifying = await start(trusted);
  await using unverifying = await start("");
  const nginx = await Nginx.start((address) =>
    Object.entries(certificates).map(([name, { certificate, key }]) => `
server {
  listen ${address} ssl;
  server_name ${name};
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  return 200 "${name} $request_uri";
}`).join("")
  );
  const send = async ({ port }: Daemon, host: string) => {
    const path = `/https/web/${nginx.port}/health`;
    using connection = await Connection.open("127.0.0.1", port, AbortSignal.timeout(60_000));
    return await exchange(connection, { host, path, headers: [] });
  };
  {
    await using _server = nginx;
    const good = { status: 200, body: "good.example /health" };
    const strange = { status: 200, body: "strange.example /health" };
    assertEquals(await send(verifying, "good.example"), good);
    assertEquals(await send(unverifying, "good.example"), good);
    assertEquals(await send(unverifying, "strange.example"), strange);
    const refused = await send(verifying, "strange.example");
    assertEquals(refused.status, 503);
    assertMatch(refused.body, /the certificate's issuer is unknown/);
  }
  for (const daemon of [verifying, unverifying]) {
    const { status, body } = await send(daemon, "good.example");
    assertEquals(status, 503);
    assertMatch(body, /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/i);
    assertEquals(warnings(daemon), []);
  }
});

/** The protocols that connect. */
const NAMES = [...new Set(SERVICES.map(({ check: [protocol] }) => protocol)), "https"];

Deno.test("no faulty server harms the daemon, whatever the protocol is", async () => {
  await using daemon = await Daemon.start({
    config: `cache_time: 0
healthcheck_timeout: 0.7
max_clients: 400
mysql_username: checker
mysql_password: secret
postgres_username: checker
postgres_password: secret
redis_password: secret
`,
  });
  for (const [fault, behaviour] of Object.entries(FAULTS)) {
    await using server = await FaultyServer.start(behaviour);
    await Promise.all(NAMES.map(async (name) => {
      const { status, body } = await daemon.get(`/${name}/web/${server.port}/`);
      const expected = name === "tcp" ? [200, 503] : [503];
      assert(
        expected.includes(status),
        `${name} check of a server that ${fault}: ${status} ${body}`,
      );
    }));
    await until(
      `no connection to a server that ${fault}`,
      async () => await server.connected() === 0,
    );
  }
  assertEquals((await daemon.get("/spool/web/1")).status, 200);
  assertEquals(warnings(daemon), []);
});
