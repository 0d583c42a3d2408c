/**
 * What the tests of all checkers share.
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
 * @param more What else the request says.
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

/** A deadline that no check comes near unless it waits for it. */
export function ampleTime(): AbortSignal {
  return AbortSignal.timeout(60_000);
}

/** Checks with a deadline that never comes if the check ends before: what is left open then stays so. */
async function checkWithin(milliseconds: number, check: Checker, port: number): Promise<Verdict> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error("the time is over")), milliseconds);
  try {
    return await check(requestTo(port), deadline.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** How often a server is checked before its connections are counted, and how many times at once. */
const CHECKS = { total: 200, atOnce: 20 };

/**
 * Registers the tests that hold for every checker: a verdict whatever the service does wrong, and
 * nothing left open.
 *
 * @param name The checker's name.
 * @param check The checker.
 * @param codesOf The codes that a check of one of {@linkcode FAULTS} may end with, by the fault's name.
 * @param patience How many milliseconds a check is given.
 */
export function testFaults(
  name: string,
  check: Checker,
  codesOf: (fault: string) => readonly number[],
  patience = 100,
): void {
  for (const [fault, behaviour] of Object.entries(FAULTS)) {
    Deno.test(`${name} leaves nothing open at a server that ${fault}`, async () => {
      await using server = await FaultyServer.start(behaviour);
      for (let done = 0; done < CHECKS.total; done += CHECKS.atOnce) {
        const verdicts = await Promise.all(
          Array.from(
            { length: CHECKS.atOnce },
            () => checkWithin(patience, check, server.port),
          ),
        );
        for (const { code } of verdicts) assert(codesOf(fault).includes(code), `code ${code}`);
      }
      await until("no connection is open", async () => await server.connected() === 0);
    });
  }

  Deno.test(`${name} leaves nothing open at a port where nobody listens`, async () => {
    using closed = await ClosedPort.open();
    for (let done = 0; done < CHECKS.total; done++) {
      assertEquals((await check(requestTo(closed.port), ampleTime())).code, 503);
    }
  });
}

/**
 * Registers the tests that hold for every checker whose service is not there, or takes more time than it has.
 *
 * @param name The checker's name.
 * @param check The checker.
 * @param refused What it says where nobody listens.
 * @param timedOut What it says when its time is over.
 * @param slow Services that it waits for in vain, by what they do.
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

  Deno.test(`${name} says why a service is down where nobody listens`, async () => {
    using closed = await ClosedPort.open();
    const verdict = await check(requestTo(closed.port), ampleTime());
    down(verdict, refused);
    // Whoever reads this at night sees where the check went.
    assertStringIncludes(verdict.message, `127.0.0.1:${closed.port}`);
  });

  for (const [what, behaviour] of Object.entries(slow)) {
    Deno.test(`${name} gives up when its time is over on a service that ${what}`, async () => {
      await using server = await FaultyServer.start(behaviour);
      down(await check(requestTo(server.port), AbortSignal.timeout(300)), timedOut);
      await until("no connection is open", async () => await server.connected() === 0);
    });
  }

  Deno.test(`${name} gives up when its time is over while it connects`, async () => {
    using full = await FullPort.open();
    down(await check(requestTo(full.port), AbortSignal.timeout(300)), timedOut);
  });

  Deno.test(`${name} does not connect when its time is over before`, async () => {
    await using server = await FaultyServer.start(silent);
    down(await check(requestTo(server.port), AbortSignal.abort()), timedOut);
    assertEquals(server.accepted, 0);
  });
}
