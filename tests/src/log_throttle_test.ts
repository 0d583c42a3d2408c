import { LogThrottle, THROTTLE_MS } from "../../src/log_throttle.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("LogThrottle tells the first time at once, and then how often it did not", () => {
  let now = 0;
  const lines: string[] = [];
  const seldom = new LogThrottle(() => now);
  const tell = () => seldom.once((others) => lines.push(`a fall${others}`));
  for (let times = 0; times < 5; times++) tell();
  assertEquals(lines, ["a fall"]);
  now = THROTTLE_MS - 1;
  tell();
  assertEquals(lines, ["a fall"]);
  now = THROTTLE_MS;
  tell();
  tell();
  now = 2 * THROTTLE_MS;
  tell();
  now = 3 * THROTTLE_MS;
  tell();
  assertEquals(lines, [
    "a fall",
    "a fall (and 5 more since the last such line)",
    "a fall (and 1 more since the last such line)",
    "a fall",
  ]);
});
