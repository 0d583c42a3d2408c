import { redisInfoChecker, sentinelInfoChecker } from "../../../src/checkers/redis_info.ts";
import type { Verdict } from "../../../src/checks/check.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterData,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
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
const check = redisInfoChecker(NO_LOGIN);

const NO_MATCH = {
  code: 500,
  message: "No matching field found",
  reason: "unhealthy",
} as const;

function matching(field: string, value: string): Verdict {
  return { code: 200, message: `Match found: field ${field}, value ${value}` };
}

/** Returns the fields of a server that is up. */
async function fieldsOf(port: number, path = "/"): Promise<Record<string, unknown>> {
  const { code, message } = await check(requestTo(port, { path }), longDeadline());
  assertEquals(code, 200, message);
  return JSON.parse(message);
}

serverTest(
  "redisInfoChecker() returns the fields of a Redis, or compares them",
  REDIS_PROGRAMS,
  async () => {
    await using redis = await Redis.start();
    await redis.command("set", "a", "b");
    for (
      const path of ["/", "/anything", "/?role=slave", "/matches?role=slave", "/match/?role=slave"]
    ) {
      const fields = await fieldsOf(redis.port, path);
      assertEquals(fields["role"], "master");
      assertEquals(fields["tcp_port"], String(redis.port));
      // A value can have colons.
      assertMatch(String(fields["executable"]), /^\/.*redis/);
      assertEquals(fields["db0"], "keys=1,expires=0,avg_ttl=0");
      assert(Object.keys(fields).every((name) => /^\w+$/.test(name)), JSON.stringify(fields));
    }
    for (
      const [query, verdict] of [
        ["role=master", matching("role", "master")],
        ["role=slave&role=master", matching("role", "master")],
        ["role=slave&redis_mode=standalone", matching("redis_mode", "standalone")],
        // It names the first that matches.
        ["redis_mode=standalone&role=master", matching("redis_mode", "standalone")],
        ["db0=keys%3D1%2Cexpires%3D0%2Cavg_ttl%3D0", matching("db0", "keys=1,expires=0,avg_ttl=0")],
        ["role=slave", NO_MATCH],
        ["role=Master", NO_MATCH],
        ["role=mast", NO_MATCH],
        ["role=", NO_MATCH],
        ["role", NO_MATCH],
        ["Role=master", NO_MATCH],
        ["nothing=", NO_MATCH],
        ["master=role", NO_MATCH],
      ] as const
    ) {
      const request = requestTo(redis.port, { path: `/match?${query}` });
      assertVerdict(await check(request, longDeadline()), verdict, query);
    }
    for (const path of ["/match", "/match?", "/match?&&"]) {
      assertEquals((await fieldsOf(redis.port, path))["role"], "master");
    }
    assertEquals(await connectionsTo(redis.port), 0);
  },
);

serverTest(
  "redisInfoChecker() distinguishes a replica from its master",
  REDIS_PROGRAMS,
  async () => {
    await using master = await Redis.start();
    await using replica = await Redis.start(`replicaof 127.0.0.1 ${master.port}`);
    const ask = (query: string) =>
      check(requestTo(replica.port, { path: `/match?${query}` }), longDeadline());
    await until("the replica is up to date", async () => {
      return (await ask("master_link_status=up")).code === 200;
    });
    assertVerdict(await ask("role=master"), NO_MATCH);
    assertVerdict(await ask("role=slave"), matching("role", "slave"));
    assertVerdict(await ask("role=master&role=slave"), matching("role", "slave"));
    await replica.command("replicaof", "no", "one");
    assertVerdict(await ask("role=master"), matching("role", "master"));
  },
);

serverTest(
  "redisInfoChecker() logs in to Redis, or returns its refusal",
  REDIS_PROGRAMS,
  async () => {
    await using redis = await Redis.start("requirepass secret\nuser checker on >other +info");
    const noAuth = "Sent INFO, got back -NOAUTH Authentication required.";
    const wrong =
      "Sent AUTH, got back -WRONGPASS invalid username-password pair or user is disabled.";
    for (const path of ["/", "/match?role=master"]) {
      for (
        const [username, password, message] of [
          [null, "secret", null],
          ["checker", "other", null],
          [null, null, noAuth],
          [null, "wrong", wrong],
          ["checker", "secret", wrong],
        ] as const
      ) {
        const checker = redisInfoChecker({ username, password });
        const verdict = await checker(requestTo(redis.port, { path }), longDeadline());
        assertEquals(verdict.code, message === null ? 200 : 500, verdict.message);
        if (message !== null) assertEquals(verdict.message, message);
      }
    }
  },
);

serverTest(
  "sentinelInfoChecker() returns the fields of a Sentinel, and its master",
  SENTINEL_PROGRAMS,
  async () => {
    await using redis = await Redis.start();
    await using sentinel = await Sentinel.start(redis, { own: "secret" });
    const checker = sentinelInfoChecker({ username: null, password: "secret" });
    const ask = (path: string) => checker(requestTo(sentinel.port, { path }), longDeadline());
    const { code, message } = await ask("/");
    assertEquals(code, 200);
    const fields = JSON.parse(message);
    assertEquals(fields["redis_mode"], "sentinel");
    const watched = `name=main,status=ok,address=127.0.0.1:${redis.port},slaves=0,sentinels=1`;
    assertEquals(fields["master0"], watched);
    const address = `127.0.0.1:${redis.port}`;
    assertEquals(fields["redis_master"], address);
    assertVerdict(await ask(`/match?redis_master=${address}`), matching("redis_master", address));
    assertVerdict(await ask("/match?redis_master=127.0.0.1:1"), NO_MATCH);
    assertVerdict(await ask("/match?sentinel_masters=1"), matching("sentinel_masters", "1"));
    assertVerdict(await ask("/match?sentinel_masters=2"), NO_MATCH);
    assertVerdict(
      await ask(`/match?${new URLSearchParams({ master0: watched })}`),
      matching("master0", watched),
    );
    assertEquals((await check(requestTo(sentinel.port), longDeadline())).code, 500);
    await redis.stop();
    await until("the Sentinel knows that the master is down", async () => {
      return JSON.parse((await ask("/")).message)["master0"].includes("status=odown");
    });
  },
);

/** Encodes a bulk string. */
function bulk(content: string): string {
  return `$${new TextEncoder().encode(content).length}\r\n${content}\r\n`;
}

/** The contents of replies, and their fields. */
const infos: readonly [info: string, fields: Record<string, string>][] = [
  ["", {}],
  ["# Server\r\na:1\r\n\r\n# Other\r\nb:2\r\n", { a: "1", b: "2" }],
  ["a:1\nb:2", { a: "1", b: "2" }],
  ["a:\r\nb:x:y:z\r\n", { a: "", b: "x:y:z" }],
  ["no colon\r\n:no name\r\n#a:1\r\na: 1 \r\n", { a: " 1 " }],
  ["a:1\r\na:2\r\n", { a: "2" }],
  ['a:"quoted" \\ \t\r\n', { a: '"quoted" \\ \t' }],
  ["__proto__:1\r\nconstructor:2\r\n", JSON.parse('{"__proto__":"1","constructor":"2"}')],
];

Deno.test("sentinelInfoChecker() adds the address of the first master", async () => {
  for (
    const [info, master] of [
      [
        "master0:name=a,status=ok,address=10.0.0.1:6379,slaves=1\r\nmaster1:name=b,address=10.0.0.2:1\r\n",
        "10.0.0.1:6379",
      ],
      ["master0:name=a,status=odown,address=fd00::1:6379,slaves=0,sentinels=1\r\n", "fd00::1:6379"],
      ["master0:name=a,status=ok,address=db.example:6379\r\n", "db.example:6379"],
      ["master0:address=10.0.0.1:6379\r\n", "10.0.0.1:6379"],
      ["master1:name=b,address=10.0.0.2:1\r\n", undefined],
      ["master0:name=a,status=ok\r\n", undefined],
      ["sentinel_masters:0\r\n", undefined],
    ] as const
  ) {
    await using server = await FaultyServer.start(afterData(sending(bulk(info))));
    const { message } = await sentinelInfoChecker(NO_LOGIN)(requestTo(server.port), longDeadline());
    assertEquals(JSON.parse(message)["redis_master"], master, info);
  }
});

for (const [info, fields] of infos) {
  Deno.test(`redisInfoChecker() reads ${JSON.stringify(info)}`, async () => {
    await using server = await FaultyServer.start(afterData(sending(bulk(info))));
    assertEquals(await fieldsOf(server.port), fields);
  });
}

Deno.test("redisInfoChecker() matches no field that is missing", async () => {
  await using server = await FaultyServer.start(afterData(sending(bulk("a:1\r\n"))));
  for (const query of ["toString=function", "__proto__=", "constructor=", "length=1", "="]) {
    const request = requestTo(server.port, { path: `/match?${query}` });
    assertVerdict(await check(request, longDeadline()), NO_MATCH, query);
  }
});

Deno.test("redisInfoChecker() reads a reply a byte at a time", async () => {
  await using server = await FaultyServer.start(
    afterData(dripping(bulk("role:master\r\nb:2\r\n"), 0)),
  );
  assertEquals(await fieldsOf(server.port), { role: "master", b: "2" });
  assertEquals(server.received, "*1\r\n$4\r\nINFO\r\n");
});

Deno.test("redisInfoChecker() reads a MiB, and returns the fields that fit", async () => {
  const long = "x".repeat(1024 * 1024);
  await using server = await FaultyServer.start(
    afterData(sending(bulk(`a:1\r\nlong:${long}\r\nrole:master\r\n`))),
  );
  assertEquals(await fieldsOf(server.port), { a: "1", role: "master" });
  const path = `/match?long=${long}`;
  const { code } = await check(requestTo(server.port, { path }), longDeadline());
  assertEquals(code, 200);
});

for (
  const [reply, code, message] of [
    ["+OK\r\n", 500, /^Sent INFO, got back \+OK$/],
    ["-ERR unknown command\r\n", 500, /^Sent INFO, got back -ERR unknown command$/],
    ["$-1\r\n", 503, /: expected a reply of Redis, found another protocol$/],
    ["$4194305\r\nx", 503, /: expected a reply of Redis, found another protocol$/],
    ["*0\r\n", 503, /: expected a reply of Redis, found another protocol$/],
    ["\x15\x03\x01\0\x02\x02\x46", 503, /: expected Redis, found a TLS server$/],
    [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      503,
      /: expected a reply of Redis, found another protocol$/,
    ],
    ["$100\r\nrole:master\r\n", 503, /: the connection was closed after 13 of 100 bytes$/],
  ] as const
) {
  Deno.test(`redisInfoChecker() returns ${code} for the reply ${JSON.stringify(reply)}`, async () => {
    await using server = await FaultyServer.start(afterData(sending(reply, closing)));
    for (const path of ["/", "/match?role=master"]) {
      const verdict = await check(requestTo(server.port, { path }), longDeadline());
      assertEquals(verdict.code, code, verdict.message);
      assertMatch(verdict.message, message);
    }
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test("redisInfoChecker() rejects an endless reply", async () => {
  await using server = await FaultyServer.start(flooding("+role:master"));
  const { code, message } = await check(requestTo(server.port), longDeadline());
  assertEquals(code, 503);
  assertMatch(message, /: a line is longer than 4194304 bytes$/);
});

testAbsence(
  "redisInfoChecker()",
  check,
  /^Redis check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*refused/,
  /^Redis check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/,
  {
    "sends nothing": silent,
  },
);

testFaults("redisInfoChecker()", check, () => [503]);

serverTest("redisInfoChecker() matches the state of a Redis Cluster", REDIS_PROGRAMS, async () => {
  await using node = await Redis.start("cluster-enabled yes\ncluster-require-full-coverage yes");
  await using alone = await Redis.start();
  const verdictOf = async (port: number, query: string) => {
    const request = requestTo(port, { path: `/match?${query}` });
    const { code, message } = await redisInfoChecker(NO_LOGIN)(request, longDeadline());
    return [code, message];
  };
  const noMatch = [500, "No matching field found"];
  // Without its slots, a cluster serves nothing.
  assertEquals(await verdictOf(node.port, "cluster_state=ok"), noMatch);
  await node.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  await until("the cluster has all slots", async () => {
    return (await node.command("CLUSTER", "INFO")).includes("cluster_state:ok");
  });
  const isOk = [200, "Match found: field cluster_state, value ok"];
  assertEquals(await verdictOf(node.port, "cluster_state=ok"), isOk);
  assertEquals(await verdictOf(node.port, "role=slave&cluster_state=ok"), isOk);
  assertEquals(await verdictOf(node.port, "cluster_state=fail"), noMatch);
  await node.command("CLUSTER", "DELSLOTS", "5");
  await until("the cluster lacks a slot", async () => {
    return (await node.command("CLUSTER", "INFO")).includes("cluster_state:fail");
  });
  assertEquals(await verdictOf(node.port, "cluster_state=ok"), noMatch);
  // A Redis that is in no cluster has no state of one.
  assertEquals(await verdictOf(alone.port, "cluster_state=ok"), noMatch);
  assertEquals(await verdictOf(alone.port, "cluster_enabled=0"), [
    200,
    "Match found: field cluster_enabled, value 0",
  ]);
  await until("no connection is open", async () => await connectionsTo(node.port) === 0);
});
