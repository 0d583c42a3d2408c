/**
 * The tests that hold for every checker.
 *
 * @module
 */

import type { Checker, CheckRequest, Verdict } from "../../../src/checks/check.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import {
  type Behaviour,
  ClosedPort,
  FAULTS,
  FaultyServer,
  FullPort,
  silent,
} from "../../servers/faulty.ts";
import { until } from "../../servers/mod.ts";

/**
 * Makes a request to check a service on 127.0.0.1.
 *
 * @param port Its port.
 * @param more Other parts of the request.
 */
export function requestTo(port: number, more: Partial<CheckRequest> = {}): CheckRequest {
  return {
    protocol: "any",
    service: "web",
    host: "127.0.0.1",
    port,
    path: "/",
    headers: [],
    ...more,
  };
}

/** Compares the code, the message and the reason of a verdict. Its phases depend on the machine. */
export function assertVerdict(
  { code, message, reason }: Verdict,
  expected: Pick<Verdict, "code" | "message" | "reason">,
  hint?: string,
): void {
  assertEquals({ code, message, ...reason === undefined ? {} : { reason } }, expected, hint);
}

/** A deadline that is too late for a test. */
export function longDeadline(): AbortSignal {
  return AbortSignal.timeout(60_000);
}

/** Checks with a deadline that is cancelled when the check ends. A connection that is still open stays open. */
async function checkWithin(milliseconds: number, check: Checker, port: number): Promise<Verdict> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error("deadline exceeded")), milliseconds);
  try {
    return await check(requestTo(port), deadline.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** How many checks run before the connections are counted, and how many of them at once. */
const CHECKS = { total: 200, atOnce: 20 };

/**
 * Registers tests that a checker returns a verdict whatever the service does wrong, and closes all connections.
 *
 * @param name The checker's name.
 * @param check The checker.
 * @param codesOf Returns the codes that are right for one of {@linkcode FAULTS}, by its name.
 * @param timeoutMs The timeout of a check, in milliseconds.
 */
export function testFaults(
  name: string,
  check: Checker,
  codesOf: (fault: string) => readonly number[],
  timeoutMs = 100,
): void {
  for (const [fault, behaviour] of Object.entries(FAULTS)) {
    Deno.test(`${name} closes all connections to a server that ${fault}`, async () => {
      await using server = await FaultyServer.start(behaviour);
      for (let done = 0; done < CHECKS.total; done += CHECKS.atOnce) {
        const verdicts = await Promise.all(
          Array.from(
            { length: CHECKS.atOnce },
            () => checkWithin(timeoutMs, check, server.port),
          ),
        );
        for (const { code } of verdicts) assert(codesOf(fault).includes(code), `code ${code}`);
      }
      await until("no connection is open", async () => await server.connected() === 0);
    });
  }

  Deno.test(`${name} closes all connections to a closed port`, async () => {
    using closed = await ClosedPort.open();
    for (let done = 0; done < CHECKS.total; done++) {
      assertEquals((await check(requestTo(closed.port), longDeadline())).code, 503);
    }
  });
}

/**
 * Registers tests of a checker whose service is missing or slow.
 *
 * @param name The checker's name.
 * @param check The checker.
 * @param refused The message for a closed port.
 * @param timedOut The message after the deadline.
 * @param slow Services that do not respond in time, by what they do.
 */
export function testAbsence(
  name: string,
  check: Checker,
  refused: RegExp,
  timedOut: RegExp,
  slow: Readonly<Record<string, Behaviour>>,
): void {
  const down = ({ code, message }: Verdict, why: RegExp) => {
    assertEquals(code, 503);
    assertMatch(message, why);
  };

  Deno.test(`${name} reports a refused connection with its address`, async () => {
    using closed = await ClosedPort.open();
    const verdict = await check(requestTo(closed.port), longDeadline());
    down(verdict, refused);
    // The message shows the target.
    assertStringIncludes(verdict.message, `127.0.0.1:${closed.port}`);
  });

  for (const [what, behaviour] of Object.entries(slow)) {
    Deno.test(`${name} times out on a service that ${what}`, async () => {
      await using server = await FaultyServer.start(behaviour);
      down(await check(requestTo(server.port), AbortSignal.timeout(300)), timedOut);
      await until("no connection is open", async () => await server.connected() === 0);
    });
  }

  Deno.test(`${name} times out while it connects`, async () => {
    using full = await FullPort.open();
    down(await check(requestTo(full.port), AbortSignal.timeout(300)), timedOut);
  });

  Deno.test(`${name} does not connect after its deadline`, async () => {
    await using server = await FaultyServer.start(silent);
    down(await check(requestTo(server.port), AbortSignal.abort()), timedOut);
    assertEquals(server.accepted, 0);
  });
}
