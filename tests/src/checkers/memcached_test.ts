import { checkMemcached } from "../../../src/checkers/memcached.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { Memcached, MEMCACHED_PROGRAMS } from "../../servers/memcached.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { longDeadline, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

serverTest("checkMemcached() returns the version of memcached", MEMCACHED_PROGRAMS, async () => {
  await using server = await Memcached.start();
  for (let turn = 0; turn < 20; turn++) {
    const { code, message } = await checkMemcached(requestTo(server.port), longDeadline());
    assertEquals(code, 200, message);
    assertMatch(message, /^Sent version, got back VERSION \d+\.\d+\.\d+$/);
  }
  await until("no connection is open", async () => await connectionsTo(server.port) === 0);
  // No check is counted as a command of an item.
  assertEquals(await server.counter("cmd_get"), 0);
  assertEquals(server.log, "");
  await server.stop();
  const { code, reason } = await checkMemcached(requestTo(server.port), longDeadline());
  assertEquals([code, reason], [503, "refused"]);
});

serverTest("checkMemcached() is 500 for a memcached that is full", MEMCACHED_PROGRAMS, async () => {
  await using server = await Memcached.start("-c", "64", "-t", "1", "-o", "maxconns_fast");
  await using connections = new AsyncDisposableStack();
  const open = () => Deno.connect({ hostname: "127.0.0.1", port: server.port });
  for (let i = 0; i < 80; i++) connections.use(await open());
  // It counts a connection some time after it has accepted it.
  await until("it is full", async () => {
    const { code, message, reason } = await checkMemcached(
      requestTo(server.port),
      longDeadline(),
    );
    if (code === 200) return false;
    assertEquals([code, reason], [500, "unhealthy"], message);
    assertEquals(message, "Sent version, got back ERROR Too many open connections");
    return true;
  });
});

serverTest(
  "checkMemcached() times out on a memcached of the binary protocol",
  MEMCACHED_PROGRAMS,
  async () => {
    await using server = await Memcached.start("-B", "binary");
    const verdict = await checkMemcached(requestTo(server.port), AbortSignal.timeout(300));
    assertEquals([verdict.code, verdict.reason], [503, "response_timeout"], verdict.message);
  },
);

/** Servers and the verdicts for them. */
const SERVERS: readonly [name: string, behaviour: Behaviour, code: number, message: RegExp][] = [
  [
    "is out of memory",
    sending("SERVER_ERROR out of memory\r\n"),
    500,
    /SERVER_ERROR out of memory$/,
  ],
  ["is another server", sending("220 mail.example ESMTP\r\n"), 503, /found another protocol$/],
  [
    "sends a byte at a time",
    afterData(dripping("VERSION 1.6.18\r\n", 1)),
    200,
    /VERSION 1\.6\.18$/,
  ],
  [
    "closes within its reply",
    afterData(sending("VERSION 1", closing)),
    503,
    /closed within a line$/,
  ],
  ["sends an endless line", flooding("VERSION x"), 503, /a line is longer than 1024 bytes$/],
];

for (const [name, behaviour, expected, pattern] of SERVERS) {
  Deno.test(`checkMemcached() returns ${expected} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const { code, message } = await checkMemcached(requestTo(server.port), longDeadline());
    assertEquals(code, expected, message);
    assertMatch(message, pattern);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

testAbsence(
  "checkMemcached()",
  checkMemcached,
  /^memcached check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: Connection refused/,
  /^memcached check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: /,
  {
    "accepts and sends nothing": silent,
    "sends a byte a second": dripping("VERSION 1.6.18\r\n", 1000),
  },
);
testFaults("checkMemcached()", checkMemcached, () => [503]);
