import { mysqlChecker } from "../../../src/checkers/mysql.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { randomBytes } from "../../support/random_bytes.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../../servers/mariadb.ts";
import { serverTest, until } from "../../servers/mod.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const check = mysqlChecker(USER);

const OUT_OF_REACH = /^MySQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .+$/;
const NOT_MYSQL =
  /^MySQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: the server does not speak MySQL$/;
/** The deadlines of these tests are shorter than ten seconds. */
const TIMED_OUT = /^MySQL check of 127\.0\.0\.1:\d+ failed after \d\.\d\ds: timed out: .+$/;
const CLOSED =
  /^MySQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: the server closed the connection$/;

/** Encodes a packet, one character for each byte. */
function packet(sequence: number, payload: string): string {
  const { length } = payload;
  return String.fromCharCode(length & 255, length >> 8 & 255, length >> 16, sequence) + payload;
}

/** Returns the content of a greeting. */
function greeting(plugin = "mysql_native_password"): string {
  return "\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xf7\x21\x02\0\xff\x81\x15" + "\0".repeat(10) +
    `ijklmnopqrst\0${plugin}\0`;
}

const OK = "\0\0\0\x02\0\0\0";

/** A server that sends its greeting, and behaves like this after the login packet. */
function greeted(then: Behaviour, plugin?: string): Behaviour {
  return sending(packet(0, greeting(plugin)), afterData(then));
}

Deno.test("mysqlChecker() does not connect without a user and a password", async () => {
  await using server = await FaultyServer.start(greeted(sending(packet(2, OK))));
  for (
    const options of [
      { username: null, password: null },
      { username: null, password: "secret" },
      { username: "checker", password: null },
    ]
  ) {
    assertVerdict(await mysqlChecker(options)(requestTo(server.port), longDeadline()), {
      code: 500,
      message: "No MySQL username/password in config file",
      reason: "configuration",
    });
  }
  assertEquals(server.accepted, 0);
});

/** Servers and the verdicts for them. A server that does not close the connection must not delay its verdict. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  message?: RegExp;
}[] = [
  { name: "closes at once", behaviour: closing, message: CLOSED },
  { name: "resets the connection", behaviour: resetting },
  { name: "is an SSH server", behaviour: sending("SSH-2.0-OpenSSH_9.2\r\n"), message: NOT_MYSQL },
  {
    name: "is an HTTP server",
    behaviour: sending("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    message: NOT_MYSQL,
  },
  { name: "sends an empty packet", behaviour: sending("\0\0\0\0"), message: NOT_MYSQL },
  { name: "sends zeros", behaviour: sending("\0".repeat(5000)), message: NOT_MYSQL },
  { name: "sends endless zeros", behaviour: flooding("\0"), message: NOT_MYSQL },
  { name: "sends endless ones", behaviour: flooding("\xff"), message: NOT_MYSQL },
  { name: "sends endless text", behaviour: flooding("Hello! "), message: NOT_MYSQL },
  { name: "sends a byte and closes", behaviour: sending("\x0a", closing), message: CLOSED },
  {
    name: "has an older protocol",
    behaviour: sending(packet(0, `\x09${greeting().slice(1)}`)),
    message: NOT_MYSQL,
  },
  {
    name: "has a newer protocol",
    behaviour: sending(packet(0, `\x0b${greeting().slice(1)}`)),
    message: NOT_MYSQL,
  },
  {
    name: "sends a greeting of one byte",
    behaviour: sending(packet(0, "\x0a")),
    message: NOT_MYSQL,
  },
  {
    name: "sends a greeting that is too short",
    behaviour: sending(packet(0, greeting().slice(0, 10))),
    message: NOT_MYSQL,
  },
  {
    name: "closes within its greeting",
    behaviour: sending(packet(0, greeting()).slice(0, 30), closing),
  },
  {
    name: "sends an invalid greeting",
    behaviour: sending(packet(0, "\x0a" + "\xfe\x01".repeat(40)), afterData(closing)),
  },
  { name: "closes after its greeting", behaviour: sending(packet(0, greeting()), closing) },
  { name: "resets after its greeting", behaviour: sending(packet(0, greeting()), resetting) },
  { name: "receives the login and closes", behaviour: greeted(closing), message: CLOSED },
  { name: "sends endless greetings", behaviour: flooding(packet(0, greeting())) },
  ...([
    [
      "PAM",
      "\xfedialog\0\x02Password: ",
      /plugin "dialog" \(PAM\), which hacheck does not support/,
    ],
    ["an unknown plugin", "\xfewhatever\0salt\0", /plugin "whatever", which hacheck/],
    ["a plugin with an endless name", `\xfe${"x".repeat(9000)}`, /plugin "x{64}", which hacheck/],
    [
      "a plugin with control characters in its name",
      "\xfe\n\x1b[1m\0",
      /plugin "\\n\\u001b\[1m", which hacheck/,
    ],
    [
      "the password in clear text",
      "\xfemysql_clear_password\0",
      /PAM or LDAP, the password in clear/,
    ],
    ["an old plugin without a name", "\xfe", /plugin "mysql_old_password" \(passwords from before/],
    ["a second factor without a name", "\x02", /plugin "mysql_old_password"/],
  ] as const).flatMap(([what, request, message]) =>
    ([
      ["refuses", sending(packet(4, "\xff\x15\x04#28000Access denied"))],
      ["closes", closing],
      ["resets", resetting],
      ["requests more", sending(packet(4, "\x01more"))],
    ] as const).map(([then, behaviour]) => ({
      name: `requests ${what}, and then ${then}`,
      behaviour: greeted(sending(packet(2, request), afterData(behaviour, "\0\0\0\x03"))),
      message,
    }))
  ),
  {
    name: "requests PAM in its greeting",
    behaviour: sending(
      packet(0, greeting("dialog")),
      afterData(sending(packet(2, "\xfedialog\0Hello"), afterData(closing, "\0\0\0\x03"))),
    ),
    message: /plugin "dialog"/,
  },
  {
    name: "sends endless requests for another plugin",
    behaviour: greeted(flooding(packet(2, "\xfesha256_password\0salt\0"))),
    message: NOT_MYSQL,
  },
  {
    name: "sends an invalid key",
    behaviour: greeted(
      sending(packet(2, "\x01\x04"), afterData(sending(packet(4, "\x01no key")))),
      "caching_sha2_password",
    ),
  },
  {
    name: "continues a login that is finished",
    behaviour: greeted(sending(packet(2, "\x01more")), "caching_sha2_password"),
  },
  {
    name: "sends an empty continuation",
    behaviour: greeted(sending(packet(2, "\x01"))),
  },
  {
    name: "responds to a login with an unknown packet",
    behaviour: greeted(sending(packet(2, "\x33abc"))),
  },
  { name: "responds to a login with an empty packet", behaviour: greeted(sending(packet(2, ""))) },
  {
    name: "sends a refusal that is too short",
    behaviour: greeted(sending(packet(2, "\xff"))),
    message: NOT_MYSQL,
  },
  {
    name: "sends a refusal that is too short before a greeting",
    behaviour: sending(packet(0, "\xff")),
    message: NOT_MYSQL,
  },
  {
    name: "sends a refusal before a greeting",
    behaviour: sending(packet(0, "\xff\x10\x04Too many connections")),
    code: 500,
    message: /^MySQL sez Too many connections$/,
  },
  {
    name: "sends a refusal with number one before a greeting",
    behaviour: sending(packet(1, "\xff\x69\x04#HY000Host '10.0.0.1' is blocked"), closing),
    code: 500,
    message: /^MySQL sez Host '10\.0\.0\.1' is blocked$/,
  },
  {
    name: "refuses the login",
    behaviour: greeted(sending(packet(2, "\xff\x15\x04#28000Access denied"))),
    code: 500,
    message: /^MySQL sez Access denied$/,
  },
  ...([
    ["stays silent after the login", silent],
    ["closes after the login", closing],
    ["resets after the login", resetting],
    ["closes on the quit message", afterData(closing)],
    ["resets on the quit message", afterData(resetting)],
    ["stays silent on the quit message", afterData(silent)],
    ["responds to the quit message", afterData(sending(packet(1, OK)))],
    ["responds to the quit message with random bytes", afterData(sending(packet(0, "\xff")))],
    ["sends zeros after the login", flooding("\0")],
  ] as const).map(([name, then]) => ({
    name,
    behaviour: greeted(sending(packet(2, OK), then)),
    code: 200,
    message: /^MySQL connect response: /,
  })),
  ...[packet(3, OK), packet(3, "\xff"), packet(0, "\xff\x45\x04"), packet(3, "")].map((more) => ({
    name: `accepts the login, and adds ${JSON.stringify(more)} with it`,
    behaviour: greeted(sending(packet(2, OK) + more)),
    code: 200,
    message: /^MySQL connect response: /,
  })),
  {
    name: "sends a byte at a time",
    behaviour: dripping(packet(0, greeting()), 0, afterData(dripping(packet(2, OK), 0))),
    code: 200,
    message: /^MySQL connect response: /,
  },
];

for (const { name, behaviour, code = 503, message = OUT_OF_REACH } of servers) {
  Deno.test(`mysqlChecker() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await check(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    assertMatch(verdict.message, message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("mysqlChecker() names an unsupported plugin after its deadline, too", async () => {
  await using server = await FaultyServer.start(greeted(sending(packet(2, "\xfedialog\0"))));
  const { code, message } = await check(requestTo(server.port), AbortSignal.timeout(300));
  assertEquals(code, 503);
  assertMatch(message, /plugin "dialog" \(PAM\), which hacheck does not support/);
  await until("no connection is open", async () => await server.connected() === 0);
});

/** Where the random bytes begin: at once, after the start of a packet, after the greeting. */
const payloads: readonly [name: string, (bytes: string) => Behaviour][] = [
  ["random bytes", (bytes) => sending(bytes, closing)],
  ["a packet of random bytes", (bytes) => sending(packet(0, bytes), closing)],
  ["a greeting of random bytes", (bytes) => sending(packet(0, `\x0a${bytes}`), afterData(closing))],
  ["a refusal of random bytes", (bytes) => sending(packet(0, `\xff${bytes}`), closing)],
  ["random bytes after the greeting", (bytes) => greeted(sending(bytes, closing))],
  ["a packet of random bytes after the greeting", (bytes) => {
    return greeted(sending(packet(2, bytes), closing), "caching_sha2_password");
  }],
];

for (const [name, behaviourFor] of payloads) {
  Deno.test(`mysqlChecker() survives ${name}, 100 random ones`, async () => {
    const some = randomBytes(20_150_706);
    let bytes = "";
    await using server = await FaultyServer.start((socket) => behaviourFor(bytes)(socket));
    for (let turn = 0; turn < 100; turn++) {
      bytes = some(1 + some(1).charCodeAt(0) * (turn % 10));
      const verdict = await check(requestTo(server.port), longDeadline());
      // Random bytes may happen to be a refusal, or to accept the login.
      const expected = name.includes("refusal") ? [500, 503] : [503];
      if (name.startsWith("a packet") && bytes.startsWith("\xff")) expected.push(500);
      if (name.endsWith("after the greeting")) expected.push(200, 500);
      assert(expected.includes(verdict.code), `${turn}: ${JSON.stringify({ verdict, bytes })}`);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

serverTest(
  "mysqlChecker() logs in to MariaDB, or returns its refusal",
  MARIADB_PROGRAMS,
  async () => {
    await using db = await MariaDb.start();
    await db.query(`
    CREATE USER open;
    CREATE USER safe REQUIRE SSL;
    CREATE USER gone ACCOUNT LOCK;
    INSTALL SONAME 'auth_ed25519';
    CREATE USER modern IDENTIFIED VIA ed25519 USING PASSWORD('pa''ss "wörd"');
    CREATE USER either IDENTIFIED VIA ed25519 USING PASSWORD('new') OR mysql_native_password USING PASSWORD('old');
    CREATE USER local IDENTIFIED VIA unix_socket;
    CREATE USER 'jérôme' IDENTIFIED BY 'x';
    CREATE USER one IDENTIFIED BY 'x' WITH MAX_CONNECTIONS_PER_HOUR 1;
  `);
    const denied = (user: string, withPassword: string) =>
      `MySQL sez Access denied for user '${user}'@'127.0.0.1' (using password: ${withPassword})`;
    const ok = "MySQL connect response: OK";
    for (
      const [username, password, code, message] of [
        [USER.username, USER.password, 200, ok],
        [USER.username, "wrong", 500, denied(USER.username, "YES")],
        [USER.username, "", 500, denied(USER.username, "NO")],
        ["nobody", "x", 500, denied("nobody", "YES")],
        ["open", "", 200, ok],
        ["open", "x", 500, denied("open", "YES")],
        ["jérôme", "x", 200, ok],
        ["jérôme", "y", 500, denied("jérôme", "YES")],
        ["safe", "", 500, denied("safe", "NO")],
        ["gone", "", 500, "MySQL sez Access denied, this account is locked"],
        ["modern", USER.password, 200, ok],
        ["modern", "wrong", 500, denied("modern", "YES")],
        ["either", "new", 200, ok],
        ["either", "old", 200, ok],
        ["either", "wrong", 500, denied("either", "YES")],
        ["local", "x", 500, "MySQL sez Access denied for user 'local'@'127.0.0.1'"],
        ["one", "x", 200, ok],
        [
          "one",
          "x",
          500,
          "MySQL sez User 'one' has exceeded the 'max_connections_per_hour' resource (current value: 1)",
        ],
      ] as const
    ) {
      assertVerdict(
        await mysqlChecker({ username, password })(requestTo(db.port), longDeadline()),
        { code, message, ...code === 200 ? {} : { reason: "login" } },
      );
    }
  },
);

serverTest("mysqlChecker() leaves no connection in MariaDB", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start();
  const before = await db.status("Aborted_connects");
  for (let turn = 0; turn < 50; turn++) {
    const verdicts = await Promise.all(
      Array.from({ length: 10 }, () => check(requestTo(db.port), longDeadline())),
    );
    for (const { code, message } of verdicts) assertEquals(code, 200, message);
  }
  assertEquals(await connectionsTo(db.port), 0);
  // One is that of this test.
  await until("MariaDB has one session", async () => await db.status("Threads_connected") === 1);
  assertEquals(await db.status("Aborted_clients"), 0);
  assertEquals(await db.status("Aborted_connects"), before);
});

serverTest("mysqlChecker() returns the refusal of a full MariaDB", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start("--max-connections=10", "--connect-timeout=600");
  const guests: Deno.TcpConn[] = [];
  const enter = async () => {
    const guest = await Deno.connect({ hostname: "127.0.0.1", port: db.port });
    const greeting = new Uint8Array(5);
    await guest.read(greeting);
    if (greeting[4] === 10) guests.push(guest);
    else guest.close();
    return greeting[4] === 10;
  };
  try {
    // There is an eleventh connection for an administrator. The server refuses a client after the login then, and
    // instead of a greeting if that one is taken too.
    for (const places of [10, 11]) {
      while (guests.length < places) await until("a connection is free", enter);
      assertVerdict(await check(requestTo(db.port), longDeadline()), {
        code: 500,
        message: "MySQL sez Too many connections",
        reason: "unhealthy",
      });
    }
  } finally {
    for (const guest of guests) guest.close();
  }
  await until("there is room again", async () => {
    return (await check(requestTo(db.port), longDeadline())).code === 200;
  });
});

testAbsence(
  "mysqlChecker()",
  check,
  /^MySQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "stops within its greeting": sending(packet(0, greeting()).slice(0, 30)),
    "does not respond to a login": greeted(silent),
    "sends a byte a second": dripping(packet(0, greeting()), 1000),
  },
);

testFaults("mysqlChecker()", check, () => [503]);
