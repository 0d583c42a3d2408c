import { postgresChecker, type PostgresCheckOptions } from "../../../src/checkers/postgres.ts";
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
import { serverTest, until } from "../../servers/mod.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../../servers/postgres.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const USER = { username: "checker", password: "pass w\xf6rd", database: null };
/** Without TLS, which scripted servers do not offer. */
const check = postgresChecker({ ...USER, mode: "off" });

const UP = { code: 200, message: "PostgreSQL connect response: OK" };
const OUT_OF_REACH = /^PostgreSQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .+$/;
const NOT_POSTGRES =
  /^PostgreSQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: the server does not speak PostgreSQL$/;
const CLOSED =
  /^PostgreSQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: the server closed the connection$/;
const TIMED_OUT = /^PostgreSQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/;

/** Encodes a number as four bytes. */
function int32(value: number): string {
  return String.fromCharCode(value >>> 24, value >> 16 & 255, value >> 8 & 255, value & 255);
}

/** Encodes a message, one character for each byte. */
function message(type: string, content: string): string {
  return type + int32(content.length + 4) + content;
}

const LET_IN = message("R", int32(0));
const READY = message("Z", "I");
const LOGIN = LET_IN + message("S", "server_version\x0015.1\0") + message("K", "\0\0\0\x01abcd") +
  READY;
const SCRAM = message("R", int32(10) + "SCRAM-SHA-256\0\0");
const REFUSAL = message("E", "SFATAL\0VFATAL\0C28P01\0Mwho are you?\0\0");

/** A server that sends this after the startup message. */
function answering(content: string, then?: Behaviour): Behaviour {
  return afterData(sending(content, then));
}

Deno.test("postgresChecker() does not connect without a user", async () => {
  await using server = await FaultyServer.start(answering(LOGIN));
  const check = postgresChecker({ username: null, password: "x", database: "x" });
  assertVerdict(await check(requestTo(server.port), longDeadline()), {
    code: 500,
    message: "No PostgreSQL username in config file",
    reason: "configuration",
  });
  assertEquals(server.accepted, 0);
});

for (const database of [null, "shop"]) {
  Deno.test(`postgresChecker() sends only the necessary parameters for the database ${database}`, async () => {
    await using server = await FaultyServer.start(answering(LOGIN));
    const checker = postgresChecker({ username: "checker", password: null, database, mode: "off" });
    assertVerdict(await checker(requestTo(server.port), longDeadline()), UP);
    const goodbye = message("X", "");
    await until("it has quit", () => server.received.endsWith(goodbye));
    // PgBouncer refuses unknown parameters, such as options.
    const settings = Object.entries({
      user: "checker",
      database: database ?? "checker",
      application_name: "hacheck",
      client_encoding: "UTF8",
    }).flat().join("\0");
    const hello = `\0\x03\0\0${settings}\0\0`;
    assertEquals(server.received, int32(hello.length + 4) + hello + goodbye);
  });
}

/** Servers and the verdicts for them. A server that does not close the connection must not delay its verdict. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  message?: RegExp;
}[] = [
  {
    name: "closes at once",
    behaviour: closing,
    message: /: the connection was closed without a response; a server that expects TLS does that/,
  },
  { name: "resets the connection", behaviour: resetting },
  {
    name: "is an SSH server",
    behaviour: sending("SSH-2.0-OpenSSH_9.2\r\n"),
    message: NOT_POSTGRES,
  },
  { name: "is an SMTP server", behaviour: sending("220 mail ESMTP\r\n"), message: NOT_POSTGRES },
  {
    name: "is an HTTP server",
    behaviour: answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    message: NOT_POSTGRES,
  },
  { name: "is a Redis", behaviour: answering("-ERR unknown command\r\n"), message: NOT_POSTGRES },
  { name: "is a MySQL", behaviour: sending("I\0\0\0\x0a8.0.0\0"), message: NOT_POSTGRES },
  {
    name: "sends a TLS handshake",
    behaviour: sending("\x16\x03\x01\x02\0"),
    message: NOT_POSTGRES,
  },
  { name: "sends endless zeros", behaviour: flooding("\0"), message: NOT_POSTGRES },
  { name: "sends endless ones", behaviour: flooding("\xff"), message: NOT_POSTGRES },
  { name: "sends endless text", behaviour: flooding("Refuse! "), message: NOT_POSTGRES },
  { name: "sends a byte and closes", behaviour: sending("R", closing), message: CLOSED },
  {
    name: "closes within a message",
    behaviour: answering(LET_IN.slice(0, 7), closing),
    message: CLOSED,
  },
  {
    name: "announces a message of 4 GiB",
    behaviour: answering("R\xff\xff\xff\xff"),
    message: NOT_POSTGRES,
  },
  {
    name: "announces a message that is too long",
    behaviour: answering("R" + int32(64 * 1024 + 5)),
    message: NOT_POSTGRES,
  },
  {
    name: "announces a message that is too short",
    behaviour: answering("R\0\0\0\x03"),
    message: NOT_POSTGRES,
  },
  {
    name: "omits the result of the login",
    behaviour: answering(message("R", "")),
    message: NOT_POSTGRES,
  },
  { name: "is ready before a login", behaviour: answering(READY), message: NOT_POSTGRES },
  { name: "sends rows", behaviour: answering(message("D", "\x7f\xff")), message: NOT_POSTGRES },
  {
    name: "sends rows after a login",
    behaviour: answering(LET_IN + message("D", "\x7f\xff")),
    message: NOT_POSTGRES,
  },
  {
    name: "sends a message that does not exist",
    behaviour: answering(LET_IN + message("?", "what")),
    message: NOT_POSTGRES,
  },
  {
    name: "sends an incomplete key",
    behaviour: answering(LET_IN + message("K", "\0\0")),
    message: NOT_POSTGRES,
  },
  ...([[2, "Kerberos V5"], [7, "GSSAPI \\(Kerberos\\)"], [9, "SSPI \\(Windows\\)"]] as const)
    .map(([method, name]) => ({
      name: `requests authentication method ${method}`,
      behaviour: answering(message("R", int32(method))),
      message: new RegExp(
        `: the server asks for a login by ${name}, which hacheck does not support; it supports trust, `,
      ),
    })),
  {
    name: "requests an unknown authentication",
    behaviour: answering(message("R", int32(10) + "MAGIC-1\0\0")),
    message: /SCRAM-SHA-256 are supported$/,
  },
  {
    name: "requests an authentication without a name",
    behaviour: answering(message("R", int32(10))),
  },
  {
    name: "continues an authentication that has not begun",
    behaviour: answering(message("R", int32(11) + "r=a,s=Yg==,i=1")),
    message: NOT_POSTGRES,
  },
  {
    name: "ends an authentication that has not begun",
    behaviour: answering(message("R", int32(12) + "v=a")),
    message: NOT_POSTGRES,
  },
  ...["", "nonsense", "r=x,s=Yg==,i=4096", "r=x,s=Yg==,i=99999999999"].map((content) => ({
    name: `goes on with a login by ${JSON.stringify(content)}`,
    behaviour: answering(SCRAM, answering(message("R", int32(11) + content))),
    message: /: SASL: /,
  })),
  {
    name: "sends a challenge that does not fit",
    behaviour: answering(message("R", int32(3)), answering(REFUSAL, closing)),
    code: 500,
    message: /^PostgreSQL says who are you\?$/,
  },
  {
    name: "requests a hash with a short salt",
    behaviour: answering(message("R", int32(5) + "ab"), closing),
    message: OUT_OF_REACH,
  },
  {
    name: "refuses at once",
    behaviour: sending(message("E", "SFATAL\0C53300\0Mtoo many clients\0\0"), closing),
    code: 500,
    message: /^PostgreSQL says too many clients$/,
  },
  {
    name: "refuses after the login",
    behaviour: answering(LET_IN + message("E", "SFATAL\0C3D000\0Mno such database\0\0"), closing),
    code: 500,
    message: /^PostgreSQL says no such database$/,
  },
  {
    name: "refuses and keeps the connection open",
    behaviour: answering(REFUSAL),
    code: 500,
    message: /^PostgreSQL says who are you\?$/,
  },
  {
    name: "refuses twice",
    behaviour: answering(REFUSAL + REFUSAL, resetting),
    code: 500,
    message: /^PostgreSQL says who are you\?$/,
  },
  {
    name: "refuses without a message",
    behaviour: answering(message("E", "\0")),
    message: NOT_POSTGRES,
  },
  // pg reads these for ever, and blocks the worker.
  ...["", "SFATAL\0Mno end\0", "SFATAL\0Mno end", "S", "S\0"].map((content) => ({
    name: `sends the incomplete refusal ${JSON.stringify(content)}`,
    behaviour: answering(message("E", content)),
    message: NOT_POSTGRES,
  })),
  {
    name: "sends an incomplete notice",
    behaviour: answering(message("N", "SWARNING\0Mhm\0")),
    message: NOT_POSTGRES,
  },
  {
    name: "sends a notice and accepts the login",
    behaviour: answering(message("N", "SWARNING\0Mold hash\0\0") + LOGIN),
    code: 200,
    message: /^PostgreSQL connect response: OK$/,
  },
  {
    name: "sends a byte at a time",
    behaviour: afterData(dripping(LOGIN, 0)),
    code: 200,
    message: /^PostgreSQL connect response: OK$/,
  },
  ...([
    ["stays silent after the login", silent],
    ["closes after the login", closing],
    ["resets after the login", resetting],
    ["closes on the quit message", afterData(closing)],
    ["resets on the quit message", afterData(resetting)],
    ["refuses on the quit message", answering(REFUSAL)],
    ["sends zeros after the login", flooding("\0")],
  ] as const).map(([name, then]) => ({
    name,
    behaviour: answering(LOGIN, then),
    code: 200,
    message: /^PostgreSQL connect response: OK$/,
  })),
];

for (const { name, behaviour, code = 503, message = OUT_OF_REACH } of servers) {
  Deno.test(`postgresChecker() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await check(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    assertMatch(verdict.message, message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

for (const more of [READY, REFUSAL, LET_IN, message("D", "\x7f\xff"), "E\0\0\0\x04"]) {
  Deno.test(`postgresChecker() quits after a login that is followed by ${JSON.stringify(more)}`, async () => {
    await using server = await FaultyServer.start(answering(LOGIN + more));
    assertVerdict(await check(requestTo(server.port), longDeadline()), UP);
    await until("it has quit", () => server.received.endsWith(message("X", "")));
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("postgresChecker() closes the connection to a server that sends endless settings", async () => {
  await using server = await FaultyServer.start(
    sending(LET_IN, flooding(message("S", "a\0b\0"))),
  );
  const { code, message: why } = await check(requestTo(server.port), AbortSignal.timeout(20_000));
  assertEquals([code, TIMED_OUT.test(why)], [503, false], why);
  await until("no connection is open", async () => await server.connected() === 0);
});

/** Where the random bytes begin, and the codes that are right for them. */
const payloads: readonly [
  name: string,
  codes: readonly number[],
  behaviourFor: (bytes: string) => Behaviour,
][] = [
  ["random bytes", [503], (bytes) => sending(bytes, closing)],
  ["a login of random bytes", [503], (bytes) => answering(message("R", "\0\0\0" + bytes), closing)],
  ["a refusal of random bytes", [500, 503], (bytes) => {
    return answering(message("E", bytes.replaceAll("\x01", "\0")), closing);
  }],
  ["a refusal of random bytes that ends", [500, 503], (bytes) => {
    return answering(message("E", `${bytes}\0\0`), closing);
  }],
  ["settings of random bytes", [503], (bytes) => answering(LET_IN + message("S", bytes), closing)],
  ["a key of random bytes", [503], (bytes) => answering(LET_IN + message("K", bytes), closing)],
  ["random bytes after the login", [503], (bytes) => answering(LET_IN + bytes, closing)],
  ["a challenge of random bytes", [503], (bytes) => {
    return answering(SCRAM, answering(message("R", int32(11) + bytes), closing));
  }],
];

for (const [name, codes, behaviourFor] of payloads) {
  Deno.test(`postgresChecker() survives ${name}, 100 random ones`, async () => {
    const next = randomBytes(20_150_706);
    let bytes = "";
    await using server = await FaultyServer.start((socket) => behaviourFor(bytes)(socket));
    for (let turn = 0; turn < 100; turn++) {
      bytes = next(1 + next(1).charCodeAt(0) * (turn % 10));
      const { code, message } = await check(requestTo(server.port), longDeadline());
      assert(codes.includes(code), `${turn}: ${code} ${message} of ${JSON.stringify(bytes)}`);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

serverTest("postgresChecker() logs in, or returns the refusal", POSTGRES_PROGRAMS, async () => {
  await using db = await Postgres.start(`
    host all      open  all trust
    host all      plain all password
    host all      old   all md5
    host all      gone  all reject
    host all      ticket all gss
    host all      all   all scram-sha-256
  `);
  await db.query(`
    CREATE ROLE checker LOGIN PASSWORD '${USER.password}';
    CREATE ROLE open LOGIN;
    CREATE ROLE plain LOGIN PASSWORD 'secret';
    CREATE ROLE gone LOGIN;
    CREATE ROLE ticket LOGIN;
    CREATE ROLE nologin;
    SET password_encryption = md5;
    CREATE ROLE old LOGIN PASSWORD 'secret';
  `);
  for (const name of ["checker", "shop", "plain", "old", "gone", "nologin"]) {
    await db.query(`CREATE DATABASE ${name}`);
  }
  const denied = (user: string) => `password authentication failed for user "${user}"`;
  const { password } = USER;
  const cases: readonly [
    options: Partial<PostgresCheckOptions>,
    refusal: string | RegExp | null,
  ][] = [
    [{}, null],
    [{ database: "shop" }, null],
    [{ database: "none" }, 'database "none" does not exist'],
    [{ password: "wrong" }, denied("checker")],
    [{ username: "nobody" }, denied("nobody")],
    [{ username: "nologin" }, denied("nologin")],
    [{ username: "open", password: null, database: "shop" }, null],
    [{ username: "open", password: null }, 'database "open" does not exist'],
    [{ username: "open", password, database: "shop" }, null],
    [{ username: "plain", password: "secret" }, null],
    [{ username: "plain", password: "wrong" }, denied("plain")],
    [{ username: "plain", password: null }, "empty password returned by client"],
    [{ username: "old", password: "secret" }, null],
    [{ username: "old", password: "wrong" }, denied("old")],
    [{ username: "gone" }, /^pg_hba.conf rejects connection for host "127.0.0.1", user "gone"/],
  ];
  for (const [options, refusal] of cases) {
    const { code, message } = await postgresChecker({ ...USER, ...options })(
      requestTo(db.port),
      longDeadline(),
    );
    assertEquals(code, refusal === null ? 200 : 500, message);
    if (refusal === null) assertEquals(message, UP.message);
    else if (typeof refusal === "string") assertEquals(message, `PostgreSQL says ${refusal}`);
    else assertMatch(message.replace("PostgreSQL says ", ""), refusal);
  }
  for (
    const [options, why] of [
      [{ password: null }, /password must be a non-empty string$/],
      [
        { username: "ticket" },
        /: the server asks for a login by GSSAPI \(Kerberos\), which hacheck/,
      ],
    ] as const
  ) {
    const checker = postgresChecker({ ...USER, ...options });
    const { code, message } = await checker(requestTo(db.port), longDeadline());
    assertEquals(code, 503);
    assertMatch(message, why);
  }
});

serverTest("postgresChecker() leaves no connection in PostgreSQL", POSTGRES_PROGRAMS, async () => {
  await using db = await Postgres.start("host all all all trust", ["log_disconnections=on"]);
  const checker = postgresChecker({ username: "postgres", password: null, database: null });
  for (let turn = 0; turn < 20; turn++) {
    const verdicts = await Promise.all(
      Array.from({ length: 10 }, () => checker(requestTo(db.port), longDeadline())),
    );
    for (const verdict of verdicts) assertVerdict(verdict, UP);
  }
  assertEquals(await connectionsTo(db.port), 0);
  await until("PostgreSQL has one session", async () => {
    const count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    return await db.query(count) === "1";
  });
  await until("PostgreSQL has logged them all", () => db.log.split("host=127.0.0.1").length > 200);
  assert(!db.log.includes("unexpected EOF"), db.log);
  assert(!db.log.includes("could not receive data"), db.log);
});

serverTest(
  "postgresChecker() returns the refusal of a full PostgreSQL",
  POSTGRES_PROGRAMS,
  async () => {
    await using db = await Postgres.start("host all all all trust", [
      "max_connections=4",
      "superuser_reserved_connections=3",
    ]);
    await db.query("CREATE ROLE checker LOGIN");
    await db.query("CREATE DATABASE checker");
    const session = db.query("SELECT pg_sleep(600)").catch(() => {});
    await until("there is no room", async () => {
      const { code, message } = await check(requestTo(db.port), longDeadline());
      return code === 500 && /^PostgreSQL says .*(reserved|too many clients)/.test(message);
    });
    await db.stop();
    await session;
  },
);

testAbsence(
  "postgresChecker()",
  check,
  /^PostgreSQL check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "stops within a message": answering(LET_IN.slice(0, 7)),
    "does not accept the login": answering(LET_IN),
    "does not respond to a password": answering(message("R", int32(3))),
    "sends a byte a second": afterData(dripping(LOGIN, 1000)),
  },
);

testFaults("postgresChecker()", check, () => [503]);
