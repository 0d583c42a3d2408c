import { ALL_UNVERIFIED } from "../../../src/net/tls_clients.ts";
import type { Verdict } from "../../../src/checks/check.ts";
import { protocols } from "../../../src/checkers/mod.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ClosedPort, FAULTS, FaultyServer, FullPort } from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

const LOGIN = { username: "checker", password: "secret" };

const PROTOCOLS = protocols({
  http: { serviceNameHeader: null },
  smtp: {},
  tls: ALL_UNVERIFIED,
  sendProxy: {},
  ldap: { username: null, password: null },
  mysql: LOGIN,
  postgres: { ...LOGIN, database: null },
  redis: LOGIN,
  sentinel: { ...LOGIN, username: null },
});

/** The protocols that connect by TCP. That by UDP has tests of its own. */
const BY_TCP = [...PROTOCOLS].filter(([name]) => name !== "dns");

/**
 * The deadline of a check, and the time until its verdict on a busy machine. A server that sends a byte a second takes
 * longer than that.
 */
const [DEADLINE_MS, VERDICT_TIMEOUT_MS] = [700, 30_000];

Deno.test("protocols() returns every protocol", () => {
  assertEquals([...PROTOCOLS.keys()].sort(), [
    "dns",
    "grpc",
    "grpcs",
    "h2",
    "h2c",
    "haproxy",
    "http",
    "https",
    "ldap",
    "memcached",
    "mysql",
    "postgres",
    "redis",
    "redis-info",
    "rediss",
    "rediss-info",
    "sentinel",
    "sentinel-info",
    "sentinels",
    "sentinels-info",
    "smtp",
    "smtps",
    "tcp",
  ]);
});

Deno.test("protocols() varies HTTP on the service if a header contains its name", () => {
  const named = protocols({
    http: { serviceNameHeader: "X-Name" },
    smtp: {},
    tls: ALL_UNVERIFIED,
    sendProxy: {},
    ldap: { username: null, password: null },
    mysql: LOGIN,
    postgres: { ...LOGIN, database: null },
    redis: LOGIN,
    sentinel: LOGIN,
  });
  for (const name of ["http", "https", "h2", "h2c"]) {
    assertEquals(PROTOCOLS.get(name)!.varyOn, ["path", "headers"]);
    assertEquals(named.get(name)!.varyOn, ["path", "headers", "service"]);
  }
});

/** The codes that are right for a fault. */
function codesOf(protocol: string, fault: string): readonly number[] {
  if (protocol !== "tcp") return [503];
  // A connection that is accepted is up; a reset may come first.
  return fault === "resets the connection" ? [200, 503] : [200];
}

for (const [fault, behaviour] of Object.entries(FAULTS)) {
  Deno.test(`every protocol returns a verdict in time for a server that ${fault}`, async () => {
    await Promise.all(Array.from(BY_TCP, async ([name, { check }]) => {
      await using server = await FaultyServer.start(behaviour);
      // Loading modules for others may take longer than that.
      const deadline = name === "tcp" ? longDeadline() : AbortSignal.timeout(DEADLINE_MS);
      let verdict: Verdict | undefined;
      const checking = check(requestTo(server.port, { protocol: name }), deadline)
        .then((found) => verdict = found);
      await until(`${name} has a verdict`, () => verdict !== undefined, VERDICT_TIMEOUT_MS);
      const { code, message } = await checking;
      assert(codesOf(name, fault).includes(code), `${name}: ${code} ${message}`);
      assert(message !== "", `${name} has no message`);
      await until(`${name} has no connection open`, async () => await server.connected() === 0);
    }));
  });
}

Deno.test("every protocol is down for a closed port", async () => {
  using closed = await ClosedPort.open();
  for (const [name, { check }] of BY_TCP) {
    const { code, message } = await check(
      requestTo(closed.port, { protocol: name }),
      longDeadline(),
    );
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/refused/i.test(message), `${name}: ${message}`);
  }
});

Deno.test("every protocol is down in time if the port does not respond", async () => {
  using full = await FullPort.open();
  await Promise.all(Array.from(BY_TCP, async ([name, { check }]) => {
    const { code, message } = await check(
      requestTo(full.port, { protocol: name }),
      AbortSignal.timeout(DEADLINE_MS),
    );
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/timed out/.test(message), `${name}: ${message}`);
  }));
});

Deno.test("no protocol connects after its deadline", async () => {
  await using server = await FaultyServer.start(() => {});
  for (const [name, { check }] of BY_TCP) {
    const { code, message } = await check(
      requestTo(server.port, { protocol: name }),
      AbortSignal.abort(),
    );
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/timed out/.test(message), `${name}: ${message}`);
  }
  assertEquals(server.accepted, 0);
});
