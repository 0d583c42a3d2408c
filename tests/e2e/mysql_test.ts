import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { Daemon, run } from "../support/programs.ts";
import { ClosedPort, connectionsTo, FAULTS, FaultyServer, sending } from "../servers/faulty.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../servers/mariadb.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Returns a configuration with the login of the MariaDB of these tests. */
function configWith(timeout: number): string {
  return [
    `mysql_username: ${USER.username}`,
    `mysql_password: ${JSON.stringify(USER.password)}`,
    "cache_time: 0",
    `healthcheck_timeout: ${timeout}`,
    "",
  ].join("\n");
}

/** Returns how many files and sockets a program has open. */
async function openFiles(pid: number): Promise<number> {
  const { stdout } = await run("ls", [`/proc/${pid}/fd`]);
  return stdout.trim().split("\n").length;
}

/** Asserts that a daemon has logged no error, and that no library has printed anything. */
async function assertNoErrors(daemon: Daemon): Promise<void> {
  for (const line of (await daemon.stop()).trim().split("\n")) {
    assertMatch(line, /^[\d-]+T[\d:.]+Z INFO /);
  }
}

Deno.test("a mysql check is down without a user in the configuration", async () => {
  await using daemon = await Daemon.start();
  assertEquals(await daemon.get("/mysql/db/3306"), {
    status: 500,
    body: "No MySQL username/password in config file",
  });
});

serverTest("a mysql check returns the refusal of MariaDB", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start();
  await using daemon = await Daemon.start({ config: configWith(30) });
  const path = `/mysql/db/${db.port}/path`;

  const { status, body } = await daemon.get(path);
  assertEquals(status, 200, body);
  assertMatch(body, /^MySQL connect response: /);

  const denied = {
    status: 500,
    body: `MySQL sez Access denied for user '${USER.username}'@'127.0.0.1' (using password: YES)`,
  };
  await db.query(`ALTER USER ${USER.username} IDENTIFIED BY 'another'`);
  assertEquals(await daemon.get(path), denied);
  await db.query(`DROP USER ${USER.username}`);
  assertEquals(await daemon.get(path), denied);
  await assertNoErrors(daemon);
});

serverTest(
  "mysql checks leave no connection open, in MariaDB and in the daemon",
  MARIADB_PROGRAMS,
  async () => {
    await using db = await MariaDb.start();
    await using daemon = await Daemon.start({ config: configWith(30) });
    const path = `/mysql/db/${db.port}`;
    assertEquals((await daemon.get(path)).status, 200);
    const filesBefore = await openFiles(daemon.pid);
    const abortedBefore = await db.status("Aborted_connects");

    for (let turn = 0; turn < 50; turn++) {
      // Without the cache: the same check at the same time would run once.
      const responses = await Promise.all(
        Array.from({ length: 10 }, () => daemon.get(path, { pragma: "no-cache" })),
      );
      for (const { status, body } of responses) assertEquals(status, 200, body);
    }

    await until("all is closed", async () => {
      return await openFiles(daemon.pid) <= filesBefore && await connectionsTo(db.port) === 0;
    });
    // One is that of this test.
    await until("MariaDB has one session", async () => await db.status("Threads_connected") === 1);
    assertEquals(await db.status("Aborted_clients"), 0);
    assertEquals(await db.status("Aborted_connects"), abortedBefore);
    await assertNoErrors(daemon);
  },
);

serverTest("mysql checks of other servers do no harm to the daemon", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start();
  await using daemon = await Daemon.start({ config: configWith(1) });
  const path = `/mysql/db/${db.port}`;
  const up = async () => (await daemon.get(path)).status === 200;
  await until("MariaDB is up", up);

  for (const [fault, behaviour] of Object.entries(FAULTS)) {
    await using server = await FaultyServer.start(behaviour);
    const responses = await Promise.all(
      Array.from(
        { length: 10 },
        () => daemon.get(`/mysql/db/${server.port}`, { pragma: "no-cache" }),
      ),
    );
    for (const { status, body } of responses) {
      assertEquals(status, 503, `${fault}: ${body}`);
      assertMatch(body, /^MySQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: /);
    }
    await until(`no connection is open to a server that ${fault}`, async () => {
      return await server.connected() === 0;
    });
  }

  // Some servers number this packet differently. mysql2 would print a warning.
  await using full = await FaultyServer.start(
    sending("\x17\0\0\x01\xff\x10\x04Too many connections"),
  );
  assertEquals(await daemon.get(`/mysql/db/${full.port}`), {
    status: 500,
    body: "MySQL sez Too many connections",
  });

  using closed = await ClosedPort.open();
  const { status, body } = await daemon.get(`/mysql/db/${closed.port}`);
  assertEquals(status, 503);
  assertStringIncludes(body, "refused");

  await until("MariaDB is still up", up);
  await assertNoErrors(daemon);
});
