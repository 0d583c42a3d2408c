import { Seldom, SILENCE_MS } from "../../src/log_throttle.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("Seldom tells the first time at once, and then how often it did not", () => {
  let now = 0;
  const lines: string[] = [];
  const seldom = new Seldom(() => now);
  const tell = () => seldom.tell((others) => lines.push(`a fall${others}`));
  for (let times = 0; times < 5; times++) tell();
  assertEquals(lines, ["a fall"]);
  now = SILENCE_MS - 1;
  tell();
  assertEquals(lines, ["a fall"]);
  now = SILENCE_MS;
  tell();
  tell();
  now = 2 * SILENCE_MS;
  tell();
  now = 3 * SILENCE_MS;
  tell();
  assertEquals(lines, [
    "a fall",
    "a fall (and 5 more since this was last told)",
    "a fall (and 1 more since this was last told)",
    "a fall",
  ]);
});
