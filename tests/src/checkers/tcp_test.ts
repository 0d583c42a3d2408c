import { checkTcp } from "../../../src/checkers/tcp.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { ClosedPort, connectionsTo, FaultyServer, FullPort, silent } from "../../servers/faulty.ts";
import { longDeadline, requestTo, testFaults } from "./checker_contract.ts";

Deno.test("checkTcp() returns 200 if the port accepts", async () => {
  await using server = await FaultyServer.start(silent);
  const { code, message } = await checkTcp(requestTo(server.port), longDeadline());
  assertEquals(code, 200);
  assertMatch(message, /^Connected in \d+\.\d\ds$/);
});

Deno.test("checkTcp() returns 503 for a closed port", async () => {
  using closed = await ClosedPort.open();
  const { code, message } = await checkTcp(requestTo(closed.port), longDeadline());
  assertEquals(code, 503);
  assertMatch(message, /^Unexpected error .*refused.* after \d+\.\d\ds$/);
});

Deno.test("checkTcp() returns 503 if connecting takes too long", async () => {
  using full = await FullPort.open();
  const before = await connectionsTo(full.port);
  const { code, message } = await checkTcp(requestTo(full.port), AbortSignal.timeout(300));
  assertEquals(code, 503);
  // Before the system's own timeout.
  assertMatch(message, /^Connection timed out after \d\.\d\ds at 127\.0\.0\.1:\d+$/);
  // Connections that fill the port may have timed out meanwhile.
  const after = await connectionsTo(full.port);
  assert(after <= before, `${after} after ${before}`);
});

Deno.test("checkTcp() does not connect after its deadline", async () => {
  await using server = await FaultyServer.start(silent);
  const { code, message } = await checkTcp(requestTo(server.port), AbortSignal.abort());
  assertEquals(code, 503);
  assertMatch(message, /^Connection timed out after \d+\.\d\ds at 127\.0\.0\.1:\d+$/);
  assertEquals(server.accepted, 0);
});

testFaults(
  "checkTcp()",
  checkTcp,
  // A connection that is accepted is up; a reset may come first.
  (fault) => fault === "resets the connection" ? [200, 503] : [200],
  60_000,
);
