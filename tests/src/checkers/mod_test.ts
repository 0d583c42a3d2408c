import type { Verdict } from "../../../src/checks/check.ts";
import { protocols } from "../../../src/checkers/mod.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ClosedPort, FAULTS, FaultyServer, FullPort } from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";
import { ampleTime, requestTo } from "./checker_contract.ts";

const LOGIN = { username: "checker", password: "secret" };

const PROTOCOLS = protocols({
  http: { serviceNameHeader: null },
  https: { serviceNameHeader: null, trusted: null },
  mysql: LOGIN,
  postgres: { ...LOGIN, database: null },
  redis: LOGIN,
  sentinel: { ...LOGIN, username: null },
});

/**
 * How long a check may take, and after how long its verdict must have come on a busy machine: before a server
 * that sends a byte a second has sent all it has.
 */
const [DEADLINE_MS, PATIENCE_MS] = [700, 30_000];

Deno.test("protocols() has every protocol", () => {
  assertEquals([...PROTOCOLS.keys()].sort(), [
    "grpc",
    "haproxy",
    "http",
    "https",
    "mysql",
    "postgres",
    "redis",
    "redis-info",
    "sentinel",
    "sentinel-info",
    "smtp",
    "tcp",
  ]);
});

Deno.test("protocols() tells what a name header shapes", () => {
  const named = protocols({
    http: { serviceNameHeader: "X-Name" },
    https: { serviceNameHeader: "X-Name", trusted: null },
    mysql: LOGIN,
    postgres: { ...LOGIN, database: null },
    redis: LOGIN,
    sentinel: LOGIN,
  });
  for (const name of ["http", "https"]) {
    assertEquals(PROTOCOLS.get(name)!.varyOn, ["path", "headers"]);
    assertEquals(named.get(name)!.varyOn, ["path", "headers", "service"]);
  }
});

/** What a verdict may be of a server that does a thing. */
function codesOf(protocol: string, fault: string): readonly number[] {
  if (protocol !== "tcp") return [503];
  // To have been accepted is all that it asks for; a reset may be quicker than the look at it.
  return fault === "resets the connection" ? [200, 503] : [200];
}

for (const [fault, behaviour] of Object.entries(FAULTS)) {
  Deno.test(`every protocol answers in time on a server that ${fault}`, async () => {
    await Promise.all(Array.from(PROTOCOLS, async ([name, { check }]) => {
      await using server = await FaultyServer.start(behaviour);
      // To load what others need may take longer than that, and tcp waits for nothing.
      const deadline = name === "tcp" ? ampleTime() : AbortSignal.timeout(DEADLINE_MS);
      let verdict: Verdict | undefined;
      const checking = check(requestTo(server.port, { protocol: name }), deadline)
        .then((found) => verdict = found);
      await until(`${name} has a verdict`, () => verdict !== undefined, PATIENCE_MS);
      const { code, message } = await checking;
      assert(codesOf(name, fault).includes(code), `${name}: ${code} ${message}`);
      assert(message !== "", `${name} says nothing`);
      await until(`${name} has no connection open`, async () => await server.connected() === 0);
    }));
  });
}

Deno.test("every protocol is down where nobody listens", async () => {
  using closed = await ClosedPort.open();
  for (const [name, { check }] of PROTOCOLS) {
    const { code, message } = await check(requestTo(closed.port, { protocol: name }), ampleTime());
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/refused/i.test(message), `${name}: ${message}`);
  }
});

Deno.test("every protocol is down in time where nobody accepts", async () => {
  using full = await FullPort.open();
  await Promise.all(Array.from(PROTOCOLS, async ([name, { check }]) => {
    const { code, message } = await check(
      requestTo(full.port, { protocol: name }),
      AbortSignal.timeout(DEADLINE_MS),
    );
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/timed out/.test(message), `${name}: ${message}`);
  }));
});

Deno.test("no protocol connects when its time is over before", async () => {
  await using server = await FaultyServer.start(() => {});
  for (const [name, { check }] of PROTOCOLS) {
    const { code, message } = await check(
      requestTo(server.port, { protocol: name }),
      AbortSignal.abort(),
    );
    assertEquals(code, 503, `${name}: ${message}`);
    assert(/timed out/.test(message), `${name}: ${message}`);
  }
  assertEquals(server.accepted, 0);
});
