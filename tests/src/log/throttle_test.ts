import { LogThrottle, THROTTLE_MS } from "../../../src/log/throttle.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("LogThrottle.once() logs the first event, then one per THROTTLE_MS with a count", () => {
  let now = 0;
  const lines: string[] = [];
  const throttle = new LogThrottle(() => now);
  const log = () => throttle.once((others) => lines.push(`a crash${others}`));
  for (let times = 0; times < 5; times++) log();
  assertEquals(lines, ["a crash"]);
  now = THROTTLE_MS - 1;
  log();
  assertEquals(lines, ["a crash"]);
  now = THROTTLE_MS;
  log();
  log();
  now = 2 * THROTTLE_MS;
  log();
  now = 3 * THROTTLE_MS;
  log();
  assertEquals(lines, [
    "a crash",
    "a crash (and 5 more since the last such line)",
    "a crash (and 1 more since the last such line)",
    "a crash",
  ]);
});
