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

/** What may be thrown. */
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 1 }),
  fc.constantFrom(undefined, NaN, 5n, Symbol("x"), new Error("x"), Object.create(null), () => {}),
);

/** What a checker may come to: a verdict, some nonsense, or a fault of its own. */
const outcome: fc.Arbitrary<() => Promise<Verdict>> = fc.oneof(
  fc.oneof(fc.integer({ min: -5, max: 1200 }), fc.double()).map((code) => () =>
    Promise.resolve({ code, message: "m" })
  ),
  anything.filter((value) => typeof value !== "object" || value === null)
    .map((value) => () => Promise.resolve(value as unknown as Verdict)),
  anything.map((error) => () => Promise.reject(error)),
  anything.map((error) => () => {
    throw error;
  }),
);

Deno.test("Whatever a checker comes to, it is up only by its own word, and by none while it is marked down", () => {
  const spool = new SpoolIndex();
  const mark = () =>
    spool.set("web", { mode: "down", reason: "maint", expiration: null, creation: null });
  const counters = newCounters();
  let told = 0;
  let check: () => Promise<Verdict>;
  const pipeline = new Pipeline({
    spool,
    protocols: new Map([["test", { varyOn: [], check: () => check() }]]),
    cacheTime: 0,
    timeout: 60,
    maxClients: 1,
    log: { error: () => told++ } as unknown as Log,
    counters,
  });
  return holds(
    fc.asyncProperty(
      outcome,
      fc.boolean(),
      fc.boolean(),
      async (outcome, isMarked, isMarkedMeanwhile) => {
        spool.delete("web");
        if (isMarked) mark();
        counters.errors.checks = 0;
        told = 0;
        let said: unknown;
        let isFault = !isMarked;
        check = async () => {
          if (isMarkedMeanwhile) mark();
          const verdict = await outcome();
          said = (verdict as Verdict | undefined | null)?.code;
          isFault = typeof (verdict as Verdict | undefined | null)?.message !== "string";
          return verdict;
        };
        const { code, message } = await pipeline.check(REQUEST, false, "127.0.0.1");
        assertEquals(
          [counters.errors.checks, told, pipeline.inFlight],
          isFault ? [1, 1, 0] : [0, 0, 0],
        );
        if (isMarked || isMarkedMeanwhile) {
          return assertEquals([code, message], [503, "Service web in down state: maint"]);
        }
        assert(REGISTERED.has(code) && code >= 200);
        if (code < 400) assertEquals(code, said);
        if (isFault) assertEquals([code, message], [503, "Internal error in the test check"]);
      },
    ),
    3000,
  );
});
