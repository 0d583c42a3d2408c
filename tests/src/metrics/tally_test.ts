import { Tally } from "../../../src/metrics/tally.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("a tally counts answers by their status, and leaves out what was never answered", () => {
  const tally = new Tally();
  assertEquals(tally.answers(), {});
  tally.answered(503);
  for (let i = 0; i < 3; i++) tally.answered(200);
  assertEquals(tally.answers(), { "200": 3, "503": 1 });
});

Deno.test("a tally passes over what is no status, and does not grow by it", () => {
  const tally = new Tally();
  for (const code of [600, 1e9, -1, 200.5, NaN]) tally.answered(code);
  assertEquals(tally.answers(), {});
});
