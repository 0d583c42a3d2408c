import type { Checker } from "../../../src/checks/check.ts";
import { mysqlChecker } from "../../../src/checkers/mysql.ts";
import { postgresChecker } from "../../../src/checkers/postgres.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { GALERA_PROGRAMS, MariaDb, MARIADB_PROGRAMS, USER } from "../../servers/mariadb.ts";
import { freePort, serverTest, until } from "../../servers/mod.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../../servers/postgres.ts";
import { connectionsTo } from "../../servers/faulty.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

/** Checks with a query, and compares the verdict: 200, or why not. */
async function expectMatch(
  check: Checker,
  port: number,
  query: string,
  expected: true | RegExp,
): Promise<void> {
  const path = `/match?${query}`;
  const { code, message, reason } = await check(requestTo(port, { path }), longDeadline());
  if (expected === true) {
    assertEquals([query, code, reason], [query, 200, undefined], message);
    assertMatch(message, /^Match found: /);
  } else {
    assertEquals([query, code, reason], [query, 500, "unhealthy"], message);
    assertMatch(message, expected);
  }
}

/** Checks with an invalid query, and compares the message. */
async function expectBadQuery(check: Checker, path: string, message: string): Promise<void> {
  // The query is rejected before a connection is tried: nothing listens on port 1.
  assertEquals(await check(requestTo(1, { path }), longDeadline()), {
    ...{ code: 400, message, reason: "configuration" },
  });
}

const asPostgres = postgresChecker({ username: "checker", password: null, database: "postgres" });

serverTest(
  "postgresChecker() matches the role and the lag of a primary and of its standby",
  POSTGRES_PROGRAMS,
  async () => {
    await using primary = await Postgres.start("host all all 127.0.0.1/32 trust");
    // An ordinary user, who sees no details of replication.
    await primary.query("CREATE USER checker");
    await using standby = await Postgres.startStandby(primary);
    await until("the standby follows", async () => {
      return await standby.query("SELECT count(*) FROM pg_stat_wal_receiver") === "1";
    });
    const isPrimary = /^No match: role is primary, expected standby$/;
    const isStandby = /^No match: role is standby, expected primary$/;
    const cases: readonly [port: number, query: string, expected: true | RegExp][] = [
      [primary.port, "role=primary", true],
      [primary.port, "role=standby", isPrimary],
      [primary.port, "role=standby&role=primary", true],
      [primary.port, "max_lag=0", true],
      [standby.port, "role=standby", true],
      [standby.port, "role=primary", isStandby],
      [standby.port, "role=standby&max_lag=10s", true],
      [standby.port, "role=primary&max_lag=10s", isStandby],
      [standby.port, "max_lag=500ms", true],
    ];
    for (const [port, query, expected] of cases) {
      await expectMatch(asPostgres, port, query, expected);
    }
    for (const port of [primary.port, standby.port]) {
      const plain = await asPostgres(requestTo(port), longDeadline());
      assertEquals([plain.code, plain.message], [200, "PostgreSQL connect response: OK"]);
    }
    await primary.query("CREATE TABLE early ()");
    await until("the standby has replayed a change", async () => {
      return await standby.query("SELECT pg_last_xact_replay_timestamp() IS NULL") === "f";
    });
    // Paused, it falls behind with the next change.
    await standby.query("SELECT pg_wal_replay_pause()");
    await primary.query("CREATE TABLE late ()");
    await until("the standby is behind", async () => {
      const lag = await standby.query(
        "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()",
      );
      return lag === "t";
    });
    await expectMatch(asPostgres, standby.port, "max_lag=0", /^No match: lag is \d+\.\d{3} s, exp/);
    await expectMatch(asPostgres, standby.port, "role=standby&max_lag=10m", true);
    await standby.query("SELECT pg_wal_replay_resume()");
    await until("the standby has caught up", async () => {
      const { code } = await asPostgres(
        requestTo(standby.port, { path: "/match?max_lag=0" }),
        longDeadline(),
      );
      return code === 200;
    });
    // Without a primary, nothing shows that it is up to date.
    await primary.stop();
    await until("the standby has noticed", async () => {
      return await standby.query("SELECT count(*) FROM pg_stat_wal_receiver") === "0";
    });
    await expectMatch(asPostgres, standby.port, "max_lag=0", /^No match: lag is \d/);
    await expectMatch(asPostgres, standby.port, "role=standby", true);
    await standby.query("SELECT pg_promote()");
    await expectMatch(asPostgres, standby.port, "role=primary", true);
    await until("no connection is open", async () => await connectionsTo(standby.port) === 0);
  },
);

Deno.test("postgresChecker() rejects invalid queries with what is expected", async () => {
  for (
    const [path, message] of [
      ["/match", "Bad query: expected match?name=value with one of role, max_lag"],
      ["/match?", "Bad query: expected match?name=value with one of role, max_lag"],
      ["/match?rôle=x", 'Bad query: expected role, max_lag: found "rôle"'],
      ["/match?role=master", 'Bad role: expected primary or standby: found "master"'],
      ["/match?role=", 'Bad role: expected primary or standby: found ""'],
      ...["", "-1", "1h", "1e3", "Infinity", "1 s", "0x1"].map((lag) =>
        [
          `/match?max_lag=${encodeURIComponent(lag)}`,
          `Bad max_lag: expected a duration such as 10s or 500ms: found ${JSON.stringify(lag)}`,
        ] as const
      ),
    ] as const
  ) {
    await expectBadQuery(asPostgres, path, message);
  }
});

const asMysql = mysqlChecker(USER);

serverTest("mysqlChecker() matches variables of MariaDB", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start("--read-only");
  const cases: readonly [query: string, expected: true | RegExp][] = [
    ["read_only=ON", true],
    ["read_only=on", true],
    ["read_only=OFF", /^No match: read_only is "ON", expected OFF$/],
    ["read_only=OFF&read_only=ON", true],
    ["read_only=1", /^No match: read_only is "ON", expected 1$/],
    ["offline_mode=OFF", /^No match: offline_mode is missing, expected OFF$/],
    ["read_only=ON&wsrep_ready=ON", /^No match: wsrep_ready is "OFF", expected ON$/],
  ];
  for (const [query, expected] of cases) await expectMatch(asMysql, db.port, query, expected);
  await db.query("SET GLOBAL read_only = OFF");
  await expectMatch(asMysql, db.port, "read_only=OFF", true);
  const plain = await asMysql(requestTo(db.port), longDeadline());
  assertEquals([plain.code, plain.message], [200, "MySQL connect response: OK"]);
  // A statement that is refused ends the check in good order, too.
  await db.query(`CREATE USER slow IDENTIFIED BY 'secret' WITH MAX_QUERIES_PER_HOUR 1`);
  const asSlow = mysqlChecker({ username: "slow", password: "secret" });
  const path = "/match?read_only=OFF&wsrep_ready=OFF";
  const { code, message, reason } = await asSlow(requestTo(db.port, { path }), longDeadline());
  assertEquals([code, reason], [500, "unhealthy"], message);
  assertMatch(message, /^MySQL sez User 'slow' has exceeded the 'max_queries_per_hour' resource/);
  await until("no connection is open", async () => await connectionsTo(db.port) === 0);
  await until("the server has ended all sessions", async () => {
    return await db.status("Threads_connected") === 1;
  });
  assertEquals([await db.status("Aborted_connects"), await db.status("Aborted_clients")], [0, 0]);
  await until("no connection is open", async () => await connectionsTo(db.port) === 0);
});

serverTest("mysqlChecker() replaces clustercheck of Galera", GALERA_PROGRAMS, async () => {
  const [ports, others] = [freePort(), freePort()];
  await using first = await MariaDb.startGaleraNode(ports);
  await using second = await MariaDb.startGaleraNode(others, { node: first, port: ports });
  const synced = "wsrep_local_state=4&read_only=OFF&wsrep_cluster_status=Primary&wsrep_ready=ON";
  for (const { port } of [first, second]) {
    await until("the node is synced", async () => {
      return (await asMysql(requestTo(port, { path: `/match?${synced}` }), longDeadline()))
        .code === 200;
    });
  }
  await second.query("SET GLOBAL wsrep_desync = ON");
  await expectMatch(
    asMysql,
    second.port,
    synced,
    /^No match: wsrep_local_state is "2", expected 4$/,
  );
  await expectMatch(asMysql, second.port, "wsrep_local_state=4&wsrep_local_state=2", true);
  await second.query("SET GLOBAL wsrep_desync = OFF");
  // Killed, the other one leaves no majority.
  first.kill("SIGKILL");
  await until("the node has left the primary component", async () => {
    const { code, message } = await asMysql(
      requestTo(second.port, { path: "/match?wsrep_cluster_status=Primary" }),
      longDeadline(),
    );
    return code === 500 && /non-Primary|wsrep|WSREP/i.test(message);
  });
  const { code } = await asMysql(
    requestTo(second.port, { path: `/match?${synced}` }),
    longDeadline(),
  );
  assertEquals(code, 500);
});

Deno.test("mysqlChecker() rejects invalid queries with what is expected", async () => {
  const names = "read_only, super_read_only, offline_mode, wsrep_local_state, " +
    "wsrep_local_state_comment, wsrep_ready, wsrep_connected, wsrep_cluster_status";
  for (
    const [path, message] of [
      ["/match", `Bad query: expected match?name=value with one of ${names}`],
      ["/match?version=1", `Bad query: expected ${names}: found "version"`],
      ["/match?READ_ONLY=ON", `Bad query: expected ${names}: found "READ_ONLY"`],
      ["/match?'%3BDROP%20TABLE%20x=1", `Bad query: expected ${names}: found "';DROP TABLE x"`],
    ] as const
  ) {
    await expectBadQuery(asMysql, path, message);
  }
});
