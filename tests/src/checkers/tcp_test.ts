import { checkTcp } from "../../../src/checkers/tcp.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { ClosedPort, connectionsTo, FaultyServer, FullPort, silent } from "../../servers/faulty.ts";
import { ampleTime, requestTo, testFaults } from "./checker_contract.ts";

Deno.test("checkTcp() is up where somebody accepts", async () => {
  await using server = await FaultyServer.start(silent);
  const { code, message } = await checkTcp(requestTo(server.port), ampleTime());
  assertEquals(code, 200);
  assertMatch(message, /^Connected in \d+\.\d\ds$/);
});

Deno.test("checkTcp() is down where nobody listens", async () => {
  using closed = await ClosedPort.open();
  const { code, message } = await checkTcp(requestTo(closed.port), ampleTime());
  assertEquals(code, 503);
  assertMatch(message, /^Unexpected error .*refused.* after \d+\.\d\ds$/);
});

Deno.test("checkTcp() is down where connecting takes too long", async () => {
  using full = await FullPort.open();
  const before = await connectionsTo(full.port);
  const { code, message } = await checkTcp(requestTo(full.port), AbortSignal.timeout(300));
  assertEquals(code, 503);
  // Not when the system itself would have given up.
  assertMatch(message, /^Connection timed out after \d\.\d\ds$/);
  // Those that fill the port may have been given up meanwhile.
  const after = await connectionsTo(full.port);
  assert(after <= before, `${after} after ${before}`);
});

Deno.test("checkTcp() is down where its time is over before it begins", async () => {
  await using server = await FaultyServer.start(silent);
  const { code, message } = await checkTcp(requestTo(server.port), AbortSignal.abort());
  assertEquals(code, 503);
  assertMatch(message, /^Connection timed out after \d+\.\d\ds$/);
  assertEquals(server.accepted, 0);
});

testFaults(
  "checkTcp()",
  checkTcp,
  // To have been accepted is all that it asks for; a reset may be quicker than the look at it.
  (fault) => fault === "resets the connection" ? [200, 503] : [200],
  60_000,
);
