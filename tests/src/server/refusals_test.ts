import { newCounters } from "../../../src/metrics/counters.ts";
import { THROTTLE_MS } from "../../../src/log/throttle.ts";
import { Refusals } from "../../../src/server/refusals.ts";
import { assertEquals } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";

Deno.test("Refusals.report() counts each refusal, and logs each kind at a limited rate", () => {
  const recorded = new RecordedLog();
  let now = 0;
  const refusals = new Refusals(recorded.log, undefined, () => now);
  for (let i = 0; i < 1000; i++) refusals.report("targets", `10.0.0.${i}`, "no");
  refusals.report("clients", "10.0.0.1", "never");
  now = THROTTLE_MS - 1;
  refusals.report("targets", "10.0.0.1", "no");
  assertEquals(recorded.lines, ["WARNING refused 10.0.0.0: no", "WARNING refused 10.0.0.1: never"]);
  now = THROTTLE_MS;
  refusals.report("targets", "10.0.0.2", "still not");
  refusals.report("targets", "10.0.0.3", "still not");
  now = 2 * THROTTLE_MS;
  refusals.report("clients", "10.0.0.4", "never");
  assertEquals(recorded.lines.slice(2), [
    "WARNING refused 10.0.0.2: still not (and 1000 more since the last such line)",
    "WARNING refused 10.0.0.4: never",
  ]);
  assertEquals(refusals.counters, { ...newCounters().refused, targets: 1003, clients: 2 });
});
