import { redisChecker } from "../../../src/checkers/redis.ts";
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
import { Redis, REDIS_PROGRAMS, Sentinel, SENTINEL_PROGRAMS } from "../../servers/redis.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const NO_LOGIN = { username: null, password: null };
const check = redisChecker(NO_LOGIN);

const UP = { code: 200, message: "Sent PING, got back +PONG" };
const WHY = /^Redis check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: (.+)$/;
const TIMED_OUT = /^Redis check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/;

/** Encodes a command. */
function command(...words: readonly string[]): string {
  return `*${words.length}\r\n${
    words.map((word) => `$${new TextEncoder().encode(word).length}\r\n${word}\r\n`).join("")
  }`;
}

const PING = command("PING");

serverTest("redisChecker() pings Redis", REDIS_PROGRAMS, async () => {
  await using redis = await Redis.start();
  for (let done = 0; done < 200; done += 20) {
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, () => check(requestTo(redis.port), longDeadline())),
    );
    for (const verdict of verdicts) assertVerdict(verdict, UP);
  }
  assertEquals(await connectionsTo(redis.port), 0);
  await until("Redis has one client", async () => {
    return (await redis.command("info", "clients")).includes("connected_clients:1\r\n");
  });
  // A password for a Redis without one is an error of the configuration, and reported.
  const { code, message } = await redisChecker({ username: null, password: "secret" })(
    requestTo(redis.port),
    longDeadline(),
  );
  assertEquals(code, 500);
  assertMatch(message, /^Sent AUTH, got back -ERR AUTH <password> called without any password/);
});

const PASSWORD = 'pa"ss $3\\r\\n wörd';

serverTest("redisChecker() logs in to Redis, or returns its refusal", REDIS_PROGRAMS, async () => {
  await using redis = await Redis.start(`
    requirepass "${PASSWORD.replace(/["\\]/g, "\\$&")}"
    user checker on >secret +ping
    user mute on >secret +info
    user away off >secret +ping
  `);
  const wrong =
    "Sent AUTH, got back -WRONGPASS invalid username-password pair or user is disabled.";
  for (
    const [username, password, code, message] of [
      [null, PASSWORD, 200, UP.message],
      ["default", PASSWORD, 200, UP.message],
      ["checker", "secret", 200, UP.message],
      [null, null, 500, "Sent PING, got back -NOAUTH Authentication required."],
      ["checker", null, 500, "Sent PING, got back -NOAUTH Authentication required."],
      [null, "wrong", 500, wrong],
      [null, "", 500, wrong],
      ["checker", "wrong", 500, wrong],
      ["checker", PASSWORD, 500, wrong],
      ["nobody", "secret", 500, wrong],
      ["away", "secret", 500, wrong],
      [
        "mute",
        "secret",
        500,
        "Sent PING, got back -NOPERM this user has no permissions to run the 'ping' command",
      ],
    ] as const
  ) {
    assertVerdict(
      await redisChecker({ username, password })(requestTo(redis.port), longDeadline()),
      { code, message, ...code === 200 ? {} : { reason: "login" } },
      `${username} ${password}`,
    );
  }
});

serverTest("redisChecker() pings a replica", REDIS_PROGRAMS, async () => {
  await using master = await Redis.start();
  await using replica = await Redis.start(`replicaof 127.0.0.1 ${master.port}`);
  await until("the replica is up to date", async () => {
    return (await replica.command("info", "replication")).includes("master_link_status:up");
  });
  assertVerdict(await check(requestTo(replica.port), longDeadline()), UP);
  await replica.command("config", "set", "replica-serve-stale-data", "no");
  assertVerdict(await check(requestTo(replica.port), longDeadline()), UP);
  await master.stop();
  await until("the replica has lost its master", async () => {
    return (await check(requestTo(replica.port), longDeadline())).code === 500;
  });
  const { message } = await check(requestTo(replica.port), longDeadline());
  assertMatch(message, /^Sent PING, got back -MASTERDOWN /);
});

serverTest("redisChecker() times out on a stopped Redis", REDIS_PROGRAMS, async () => {
  await using redis = await Redis.start();
  redis.kill("SIGSTOP");
  const { code, message } = await check(requestTo(redis.port), AbortSignal.timeout(300));
  assertEquals(code, 503);
  assertMatch(message, TIMED_OUT);
  redis.kill("SIGCONT");
  assertVerdict(await check(requestTo(redis.port), longDeadline()), UP);
});

serverTest("redisChecker() pings a Sentinel", SENTINEL_PROGRAMS, async () => {
  await using redis = await Redis.start();
  {
    await using sentinel = await Sentinel.start(redis);
    assertVerdict(await check(requestTo(sentinel.port), longDeadline()), UP);
  }
  await using sentinel = await Sentinel.start(redis, { own: "secret" });
  const login = redisChecker({ username: null, password: "secret" });
  assertVerdict(await login(requestTo(sentinel.port), longDeadline()), UP);
  assertVerdict(await check(requestTo(sentinel.port), longDeadline()), {
    code: 500,
    message: "Sent PING, got back -NOAUTH Authentication required.",
    reason: "login",
  });
});

for (
  const [name, username, password, sent] of [
    ["no login", null, null, PING],
    ["a password", null, "wörd", command("AUTH", "wörd") + PING],
    ["an empty password", null, "", command("AUTH", "") + PING],
    ["a user", "me", "a b\r\n", command("AUTH", "me", "a b\r\n") + PING],
    // Without a password there is no login.
    ["a user without a password", "me", null, PING],
  ] as const
) {
  Deno.test(`redisChecker() sends the commands for ${name}`, async () => {
    await using server = await FaultyServer.start(
      password === null
        ? afterData(sending("+PONG\r\n"), PING)
        : afterData(sending("+OK\r\n", afterData(sending("+PONG\r\n"), PING))),
    );
    const checker = redisChecker({ username, password });
    assertVerdict(await checker(requestTo(server.port), longDeadline()), UP);
    assertEquals(
      new TextDecoder().decode(Uint8Array.from(server.received, (char) => char.charCodeAt(0))),
      sent,
    );
  });
}

/** A server that sends a reply after the first data. */
function answering(content: string, then?: Behaviour): Behaviour {
  return afterData(sending(content, then));
}

/** Servers and the verdicts for them. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  /** The reply in the message, or the cause of the failure. */
  why?: string | RegExp;
}[] = [
  {
    name: "replies a byte at a time",
    behaviour: afterData(dripping("+PONG\r\n", 0)),
    code: 200,
    why: "+PONG",
  },
  {
    name: "replies and closes",
    behaviour: answering("+PONG\r\n", closing),
    code: 200,
    why: "+PONG",
  },
  {
    name: "sends endless replies",
    behaviour: answering("+PONG\r\n", flooding("+PONG\r\n")),
    code: 200,
    why: "+PONG",
  },
  {
    name: "is loading",
    behaviour: answering("-LOADING Redis is loading the dataset in memory\r\n"),
    code: 500,
    why: "-LOADING Redis is loading the dataset in memory",
  },
  {
    name: "has too many clients",
    behaviour: sending("-ERR max number of clients reached\r\n"),
    code: 500,
    why: "-ERR max number of clients reached",
  },
  { name: "sends another reply", behaviour: answering("+PANG\r\n"), code: 500, why: "+PANG" },
  { name: "replies in lower case", behaviour: answering("+pong\r\n"), code: 500, why: "+pong" },
  { name: "sends a longer reply", behaviour: answering("+PONG 1\r\n"), code: 500, why: "+PONG 1" },
  { name: "replies with a number", behaviour: answering(":1\r\n"), code: 500, why: ":1" },
  {
    name: "replies with a bulk string",
    behaviour: answering("$4\r\nPONG\r\n"),
    code: 500,
    why: "$PONG",
  },
  {
    name: "replies with a bulk string, a byte at a time",
    behaviour: afterData(dripping("$6\r\nPO\r\nNG\r\n", 0)),
    code: 500,
    why: "$PO\r\nNG",
  },
  { name: "replies with an empty string", behaviour: answering("$0\r\n\r\n"), code: 500, why: "$" },
  {
    name: "replies with a long error",
    behaviour: answering(`-ERR ${"x".repeat(1000)}\r\n`),
    code: 500,
    why: `-ERR ${"x".repeat(195)}`,
  },
  {
    name: "replies with a MiB",
    behaviour: answering(`$1048576\r\n${"x".repeat(1024 * 1024)}\r\n`),
    code: 500,
    why: `$${"x".repeat(199)}`,
  },
  ...[
    "$-1\r\n",
    "$-2\r\n",
    "$4194305\r\n",
    "$99999999999999999999\r\n",
    "$1e3\r\n",
    "$ 4\r\n",
    "$\r\n",
    "*1\r\n$4\r\nPONG\r\n",
    "*-1\r\n",
    "_\r\n",
    "\r\n",
    "PONG\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "220 mail.example ESMTP\r\n",
  ].map((reply) => ({
    name: `replies with ${JSON.stringify(reply)}`,
    behaviour: answering(reply),
    why: /^expected a reply of Redis, found another protocol$/,
  })),
  { name: "closes at once", behaviour: closing },
  { name: "resets the connection", behaviour: resetting },
  {
    name: "receives data and closes",
    behaviour: afterData(closing),
    why: /^the connection was closed without a response; a server that expects TLS does that/,
  },
  {
    name: "receives data and resets",
    behaviour: afterData(resetting),
    why: /reset.*; a server that expects TLS/,
  },
  {
    name: "closes within its response",
    behaviour: answering("+PON", closing),
    why: /^the connection was closed within a line$/,
  },
  {
    name: "closes within a bulk string",
    behaviour: answering("$4\r\nPO", closing),
    why: /^the connection was closed after 2 of 4 bytes$/,
  },
  {
    name: "closes after a bulk string",
    behaviour: answering("$4\r\nPONG", closing),
    why: /^the connection was closed after 0 of 2 bytes$/,
  },
  {
    name: "replies with an endless line",
    behaviour: flooding("+PONG"),
    why: /^a line is longer than 4194304 bytes$/,
  },
  {
    name: "sends endless zeros",
    behaviour: flooding("\0"),
    why: /^a line is longer than 4194304 bytes$/,
  },
];

for (const { name, behaviour, code = 503, why = /./ } of servers) {
  Deno.test(`redisChecker() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await check(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    if (typeof why === "string") assertEquals(verdict.message, `Sent PING, got back ${why}`);
    else assertMatch(WHY.exec(verdict.message)?.[1] ?? "", why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("redisChecker() survives 100 random responses", async () => {
  const next = randomBytes(20_150_706);
  let bytes = "";
  await using server = await FaultyServer.start((socket) => answering(bytes, closing)(socket));
  for (let turn = 0; turn < 100; turn++) {
    const first = ["", "+", "-", ":", "$", "$5\r\n", "*", "%"][turn % 8];
    bytes = first + next(next(1).charCodeAt(0) * (turn % 10));
    const { code, message } = await check(requestTo(server.port), longDeadline());
    assert(code === 500 || code === 503, `${turn}: ${code} ${message} ${JSON.stringify(bytes)}`);
  }
});

testAbsence(
  "redisChecker()",
  check,
  /^Redis check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "stops within its response": answering("+PON"),
    "stops within a bulk string": answering("$4\r\nPO"),
    "sends a byte a second": afterData(dripping("+PONG\r\n", 1000)),
  },
);

testFaults("redisChecker()", check, () => [503]);
