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
import { ampleTime, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

const check = mysqlChecker(USER);

const OUT_OF_REACH = /^MySQL check failed after \d+\.\d\ds: .+$/;
const NOT_MYSQL = /^MySQL check failed after \d+\.\d\ds: the server does not speak MySQL$/;
/** The deadlines here are far shorter than ten seconds. */
const TIMED_OUT = /^MySQL check failed after \d\.\d\ds: timed out$/;
const CLOSED = /^MySQL check failed after \d+\.\d\ds: the server closed the connection$/;

/** A packet of MySQL, a character a byte. */
function packet(sequence: number, payload: string): string {
  const { length } = payload;
  return String.fromCharCode(length & 255, length >> 8 & 255, length >> 16, sequence) + payload;
}

/** What a server says first. */
function greeting(plugin = "mysql_native_password"): string {
  return "\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xf7\x21\x02\0\xff\x81\x15" + "\0".repeat(10) +
    `ijklmnopqrst\0${plugin}\0`;
}

const OK = "\0\0\0\x02\0\0\0";

/** A server that greets, and does something once it has been told who wants to log in. */
function greeted(then: Behaviour, plugin?: string): Behaviour {
  return sending(packet(0, greeting(plugin)), afterData(then));
}

Deno.test("mysqlChecker() asks nobody without a user and a password", async () => {
  await using server = await FaultyServer.start(greeted(sending(packet(2, OK))));
  for (
    const options of [
      { username: null, password: null },
      { username: null, password: "secret" },
      { username: "checker", password: null },
    ]
  ) {
    assertEquals(await mysqlChecker(options)(requestTo(server.port), ampleTime()), {
      code: 500,
      message: "No MySQL username/password in config file",
    });
  }
  assertEquals(server.accepted, 0);
});

/** What a server may say, and what is then said of it. Whoever closes nothing must be judged without. */
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
  { name: "sends zeros without an end", behaviour: flooding("\0"), message: NOT_MYSQL },
  { name: "sends ones without an end", behaviour: flooding("\xff"), message: NOT_MYSQL },
  { name: "sends text without an end", behaviour: flooding("Hello! "), message: NOT_MYSQL },
  { name: "sends a byte only", behaviour: sending("\x0a", closing), message: CLOSED },
  {
    name: "speaks an older protocol",
    behaviour: sending(packet(0, `\x09${greeting().slice(1)}`)),
    message: NOT_MYSQL,
  },
  {
    name: "speaks a newer protocol",
    behaviour: sending(packet(0, `\x0b${greeting().slice(1)}`)),
    message: NOT_MYSQL,
  },
  { name: "greets with one byte", behaviour: sending(packet(0, "\x0a")), message: NOT_MYSQL },
  {
    name: "greets with less than it should",
    behaviour: sending(packet(0, greeting().slice(0, 10))),
    message: NOT_MYSQL,
  },
  {
    name: "closes within its greeting",
    behaviour: sending(packet(0, greeting()).slice(0, 30), closing),
  },
  {
    name: "greets with nonsense",
    behaviour: sending(packet(0, "\x0a" + "\xfe\x01".repeat(40)), afterData(closing)),
  },
  { name: "greets and closes", behaviour: sending(packet(0, greeting()), closing) },
  { name: "greets and resets", behaviour: sending(packet(0, greeting()), resetting) },
  { name: "hears the user and closes", behaviour: greeted(closing), message: CLOSED },
  { name: "greets without an end", behaviour: flooding(packet(0, greeting())) },
  ...([
    [
      "PAM",
      "\xfedialog\0\x02Password: ",
      /plugin "dialog" \(PAM\), which hacheck does not support/,
    ],
    ["a plugin that nobody knows", "\xfewhatever\0salt\0", /plugin "whatever", which hacheck/],
    ["a plugin with an endless name", `\xfe${"x".repeat(9000)}`, /plugin "x{64}", which hacheck/],
    ["a plugin named by nonsense", "\xfe\n\x1b[1m\0", /plugin "\\n\\u001b\[1m", which hacheck/],
    [
      "the password in the clear",
      "\xfemysql_clear_password\0",
      /PAM or LDAP, the password in clear/,
    ],
    ["a login of old, by no name", "\xfe", /plugin "mysql_old_password" \(passwords from before/],
    ["a second factor of no name", "\x02", /plugin "mysql_old_password"/],
  ] as const).flatMap(([what, request, message]) =>
    ([
      ["refuses then", sending(packet(4, "\xff\x15\x04#28000Access denied"))],
      ["closes then", closing],
      ["resets then", resetting],
      ["asks for more", sending(packet(4, "\x01more"))],
    ] as const).map(([then, behaviour]) => ({
      name: `wants ${what}, and ${then}`,
      behaviour: greeted(sending(packet(2, request), afterData(behaviour, "\0\0\0\x03"))),
      message,
    }))
  ),
  {
    name: "wants PAM from the first",
    behaviour: sending(
      packet(0, greeting("dialog")),
      afterData(sending(packet(2, "\xfedialog\0Hello"), afterData(closing, "\0\0\0\x03"))),
    ),
    message: /plugin "dialog"/,
  },
  {
    name: "wants another login without an end",
    behaviour: greeted(flooding(packet(2, "\xfesha256_password\0salt\0"))),
    message: NOT_MYSQL,
  },
  {
    name: "gives a key that is none",
    behaviour: greeted(
      sending(packet(2, "\x01\x04"), afterData(sending(packet(4, "\x01no key")))),
      "caching_sha2_password",
    ),
  },
  {
    name: "wants more of a login than there is",
    behaviour: greeted(sending(packet(2, "\x01more")), "caching_sha2_password"),
  },
  {
    name: "wants more of a login that has no more",
    behaviour: greeted(sending(packet(2, "\x01"))),
  },
  { name: "answers a login with nonsense", behaviour: greeted(sending(packet(2, "\x33abc"))) },
  { name: "answers a login with nothing", behaviour: greeted(sending(packet(2, ""))) },
  {
    name: "refuses with too few words",
    behaviour: greeted(sending(packet(2, "\xff"))),
    message: NOT_MYSQL,
  },
  {
    name: "refuses before it greets with too few words",
    behaviour: sending(packet(0, "\xff")),
    message: NOT_MYSQL,
  },
  {
    name: "refuses before it greets",
    behaviour: sending(packet(0, "\xff\x10\x04Too many connections")),
    code: 500,
    message: /^MySQL sez Too many connections$/,
  },
  {
    name: "refuses before it greets and counts from one",
    behaviour: sending(packet(1, "\xff\x69\x04#HY000Host '10.0.0.1' is blocked"), closing),
    code: 500,
    message: /^MySQL sez Host '10\.0\.0\.1' is blocked$/,
  },
  {
    name: "refuses",
    behaviour: greeted(sending(packet(2, "\xff\x15\x04#28000Access denied"))),
    code: 500,
    message: /^MySQL sez Access denied$/,
  },
  ...([
    ["stays silent after the login", silent],
    ["closes after the login", closing],
    ["resets after the login", resetting],
    ["closes on the good-bye", afterData(closing)],
    ["resets on the good-bye", afterData(resetting)],
    ["stays silent on the good-bye", afterData(silent)],
    ["answers a good-bye", afterData(sending(packet(1, OK)))],
    ["answers a good-bye with nonsense", afterData(sending(packet(0, "\xff")))],
    ["sends zeros after the login", flooding("\0")],
  ] as const).map(([name, then]) => ({
    name,
    behaviour: greeted(sending(packet(2, OK), then)),
    code: 200,
    message: /^MySQL connect response: /,
  })),
  ...[packet(3, OK), packet(3, "\xff"), packet(0, "\xff\x45\x04"), packet(3, "")].map((more) => ({
    name: `accepts and sends ${JSON.stringify(more)} with it`,
    behaviour: greeted(sending(packet(2, OK) + more)),
    code: 200,
    message: /^MySQL connect response: /,
  })),
  {
    name: "speaks a byte at a time",
    behaviour: dripping(packet(0, greeting()), 0, afterData(dripping(packet(2, OK), 0))),
    code: 200,
    message: /^MySQL connect response: /,
  },
];

for (const { name, behaviour, code = 503, message = OUT_OF_REACH } of servers) {
  Deno.test(`mysqlChecker() answers ${code} of a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await check(requestTo(server.port), ampleTime());
    assertEquals(verdict.code, code, verdict.message);
    assertMatch(verdict.message, message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("mysqlChecker() names a plugin that it does not support when its time is over", async () => {
  await using server = await FaultyServer.start(greeted(sending(packet(2, "\xfedialog\0"))));
  const { code, message } = await check(requestTo(server.port), AbortSignal.timeout(300));
  assertEquals(code, 503);
  assertMatch(message, /plugin "dialog" \(PAM\), which hacheck does not support/);
  await until("no connection is open", async () => await server.connected() === 0);
});

/** Where chance begins: from the first byte on, after what makes it look like MySQL, after the greeting. */
const payloads: readonly [name: string, (bytes: string) => Behaviour][] = [
  ["nonsense", (bytes) => sending(bytes, closing)],
  ["a packet of nonsense", (bytes) => sending(packet(0, bytes), closing)],
  ["a greeting of nonsense", (bytes) => sending(packet(0, `\x0a${bytes}`), afterData(closing))],
  ["nonsense for a refusal", (bytes) => sending(packet(0, `\xff${bytes}`), closing)],
  ["nonsense after the greeting", (bytes) => greeted(sending(bytes, closing))],
  ["a packet of nonsense after the greeting", (bytes) => {
    return greeted(sending(packet(2, bytes), closing), "caching_sha2_password");
  }],
];

for (const [name, behaviourFor] of payloads) {
  Deno.test(`mysqlChecker() survives ${name}, a hundred times another`, async () => {
    const some = randomBytes(20_150_706);
    let bytes = "";
    await using server = await FaultyServer.start((socket) => behaviourFor(bytes)(socket));
    for (let turn = 0; turn < 100; turn++) {
      bytes = some(1 + some(1).charCodeAt(0) * (turn % 10));
      const verdict = await check(requestTo(server.port), ampleTime());
      // Chance may say what a server would say: no, or yes to a login.
      const expected = name.includes("refusal") ? [500, 503] : [503];
      if (name.startsWith("a packet") && bytes.startsWith("\xff")) expected.push(500);
      if (name.endsWith("after the greeting")) expected.push(200, 500);
      assert(expected.includes(verdict.code), `${turn}: ${JSON.stringify({ verdict, bytes })}`);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

serverTest("mysqlChecker() logs in to MariaDB, or hears why not", MARIADB_PROGRAMS, async () => {
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
    assertEquals(await mysqlChecker({ username, password })(requestTo(db.port), ampleTime()), {
      code,
      message,
    });
  }
});

serverTest("mysqlChecker() leaves nothing behind in MariaDB", MARIADB_PROGRAMS, async () => {
  await using db = await MariaDb.start();
  const before = await db.status("Aborted_connects");
  for (let turn = 0; turn < 50; turn++) {
    const verdicts = await Promise.all(
      Array.from({ length: 10 }, () => check(requestTo(db.port), ampleTime())),
    );
    for (const { code, message } of verdicts) assertEquals(code, 200, message);
  }
  assertEquals(await connectionsTo(db.port), 0);
  // One is the administrator's, who asks.
  await until("MariaDB has nobody in", async () => await db.status("Threads_connected") === 1);
  assertEquals(await db.status("Aborted_clients"), 0);
  assertEquals(await db.status("Aborted_connects"), before);
});

serverTest("mysqlChecker() hears that MariaDB is full", MARIADB_PROGRAMS, async () => {
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
    // Beyond the tenth place there is one for an administrator: who comes then is told after the
    // login, and who comes when that is taken too, instead of a greeting.
    for (const places of [10, 11]) {
      while (guests.length < places) await until("who left before has left a place", enter);
      assertEquals(await check(requestTo(db.port), ampleTime()), {
        code: 500,
        message: "MySQL sez Too many connections",
      });
    }
  } finally {
    for (const guest of guests) guest.close();
  }
  await until("there is room again", async () => {
    return (await check(requestTo(db.port), ampleTime())).code === 200;
  });
});

testAbsence("mysqlChecker()", check, /^MySQL check failed after \d+\.\d\ds: .*refused/, TIMED_OUT, {
  "never speaks": silent,
  "stops within its greeting": sending(packet(0, greeting()).slice(0, 30)),
  "never answers a login": greeted(silent),
  "sends a byte a second": dripping(packet(0, greeting()), 1000),
});

testFaults("mysqlChecker()", check, () => [503]);
