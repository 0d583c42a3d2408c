import { grpcChecker } from "../../../src/checkers/grpc.ts";
import { checkHaproxy } from "../../../src/checkers/haproxy.ts";
import { httpChecker } from "../../../src/checkers/http.ts";
import { httpsChecker } from "../../../src/checkers/https.ts";
import { postgresChecker } from "../../../src/checkers/postgres.ts";
import { redisChecker } from "../../../src/checkers/redis.ts";
import { redisInfoChecker } from "../../../src/checkers/redis_info.ts";
import type { Checker } from "../../../src/checks/check.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../../servers/certificates.ts";
import { connectionsTo } from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { OPENSSL_PROGRAMS, OpensslServer } from "../../servers/openssl.ts";
import { Redis, REDIS_PROGRAMS } from "../../servers/redis.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

const http = { serviceNameHeader: null };
const redis = { username: null, password: null };

/** The checkers whose protocols begin with a message of the client, and what checks a TLS server instead. */
const PLAIN: readonly [name: string, check: Checker, secure: string][] = [
  ["grpc", grpcChecker(), "grpcs"],
  ["haproxy", checkHaproxy, "tcp"],
  ["http", httpChecker(http), "https"],
  ["postgres", postgresChecker({ username: "checker", password: null, database: null }), "tcp"],
  ["redis", redisChecker(redis), "rediss"],
  ["redis", redisChecker({ ...redis, password: "secret" }), "rediss"],
  ["redis-info", redisInfoChecker(redis), "rediss-info"],
];

const RSA = ["-newkey", "rsa:2048"];

/** TLS servers that are not nginx, which responds to plain HTTP. OpenSSL closes the connection, Redis resets it. */
const SERVERS: readonly [
  name: string,
  programs: readonly string[],
  start: () => Promise<AsyncDisposable & { readonly port: number }>,
][] = [
  ["OpenSSL", OPENSSL_PROGRAMS, () => OpensslServer.start(RSA)],
  ["Redis", [...REDIS_PROGRAMS, ...CERTIFICATE_PROGRAMS], async () => {
    using folder = new TempFolder();
    return await Redis.startTls(await issueSelfSigned(folder, "redis", "DNS:redis.example"));
  }],
];

for (const [server, programs, start] of SERVERS) {
  serverTest(`Checks without TLS suggest TLS if ${server} may expect it`, programs, async () => {
    await using running = await start();
    for (const [name, check, secure] of PLAIN) {
      const { code, message } = await check(
        requestTo(running.port, { protocol: name }),
        longDeadline(),
      );
      assertEquals(code, 503, `${name}: ${message}`);
      const hint = `; a server that expects TLS does that: if it is one, check it by ${secure}`;
      assertMatch(message, new RegExp(`: .*(closed|[Rr]eset).*${hint}$`), name);
    }
    await until("no connection is open", async () => await connectionsTo(running.port) === 0);
  });
}

for (const version of ["-tls1_2", "-tls1_3"]) {
  serverTest(
    `httpsChecker() reports that a server with ${version} may require a client certificate`,
    OPENSSL_PROGRAMS,
    async () => {
      const required = ["-Verify", "1", "-verify_return_error", version];
      await using server = await OpensslServer.start(RSA, required);
      const check = httpsChecker({ ...http });
      // The server's alert may be lost, since the server then resets the connection.
      for (let i = 0; i < 10; i++) {
        const { code, message } = await check(requestTo(server.port), longDeadline());
        assertEquals(code, 503, message);
        assertMatch(message, /(requires|wants) a client certificate/);
      }
    },
  );
}
