import { Tally } from "../../../src/metrics/tally.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("a tally counts answers by their status, and leaves out what was never answered", () => {
  const tally = new Tally();
  assertEquals(tally.responses(), {});
  tally.countResponse(503);
  for (let i = 0; i < 3; i++) tally.countResponse(200);
  assertEquals(tally.responses(), { "200": 3, "503": 1 });
});

Deno.test("a tally passes over what is no status, and does not grow by it", () => {
  const tally = new Tally();
  for (const code of [600, 1e9, -1, 200.5, NaN]) tally.countResponse(code);
  assertEquals(tally.responses(), {});
});
