import { STATUS_TEXT } from "../../src/std/http_status.ts";
import fc from "fast-check";
import { newCounters } from "../../src/metrics/counters.ts";
import type { CheckRequest, Verdict } from "../../src/checks/check.ts";
import type { Log } from "../../src/log/log.ts";
import { Pipeline } from "../../src/checks/pipeline.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { holds } from "./property.ts";

const REQUEST: CheckRequest = {
  protocol: "test",
  service: "web",
  host: "127.0.0.1",
  port: 8080,
  path: "/",
  headers: [],
};

const REGISTERED = new Set(Object.keys(STATUS_TEXT as Record<string, string>).map(Number));

/** Values that code may throw. */
const thrown = fc.oneof(
  fc.jsonValue({ maxDepth: 1 }),
  fc.constantFrom(undefined, NaN, 5n, Symbol("x"), new Error("x"), Object.create(null), () => {}),
);

/** The outcome of a checker: a verdict, another value or an error. */
const outcome: fc.Arbitrary<() => Promise<Verdict>> = fc.oneof(
  fc.oneof(fc.integer({ min: -5, max: 1200 }), fc.double()).map((code) => () =>
    Promise.resolve({ code, message: "m" })
  ),
  thrown.filter((value) => typeof value !== "object" || value === null)
    .map((value) => () => Promise.resolve(value as unknown as Verdict)),
  thrown.map((error) => () => Promise.reject(error)),
  thrown.map((error) => () => {
    throw error;
  }),
);

Deno.test("Pipeline.check() returns up only for a verdict of the checker, and never during a downtime", () => {
  const spool = new SpoolIndex();
  const setDown = () =>
    spool.set("web", { mode: "down", reason: "maint", expiration: null, creation: null });
  const counters = newCounters();
  let logged = 0;
  let check: () => Promise<Verdict>;
  const pipeline = new Pipeline({
    spool,
    protocols: new Map([["test", { varyOn: [], check: () => check() }]]),
    cacheTime: 0,
    timeout: 60,
    maxClients: 1,
    log: { error: () => logged++ } as unknown as Log,
    counters,
  });
  return holds(
    fc.asyncProperty(
      outcome,
      fc.boolean(),
      fc.boolean(),
      async (outcome, isDown, isDownLater) => {
        spool.delete("web");
        if (isDown) setDown();
        counters.errors.checks = 0;
        logged = 0;
        let checkerCode: unknown;
        let isInternalError = !isDown;
        check = async () => {
          if (isDownLater) setDown();
          const verdict = await outcome();
          checkerCode = (verdict as Verdict | undefined | null)?.code;
          isInternalError = typeof (verdict as Verdict | undefined | null)?.message !== "string";
          return verdict;
        };
        const { code, message } = await pipeline.check(REQUEST, false, "127.0.0.1");
        assertEquals(
          [counters.errors.checks, logged, pipeline.inFlight],
          isInternalError ? [1, 1, 0] : [0, 0, 0],
        );
        if (isDown || isDownLater) {
          return assertEquals([code, message], [503, "Service web in down state: maint"]);
        }
        assert(REGISTERED.has(code) && code >= 200);
        if (code < 400) assertEquals(code, checkerCode);
        if (isInternalError) {
          assertEquals([code, message], [
            503,
            "Internal error in the test check of 127.0.0.1:8080",
          ]);
        }
      },
    ),
    3000,
  );
});
