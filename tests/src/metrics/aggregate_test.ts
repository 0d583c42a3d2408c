import { sumCounters } from "../../../src/metrics/aggregate.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("sumCounters() keeps services whose names are those of Object.prototype", () => {
  const counts = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, { "10.0.0.1": 1 }]));
  const names = ["__proto__", "constructor", "toString", "web"];
  assertEquals(
    Object.entries(sumCounters([counts(["web"]), counts(names), counts(names)])).sort(),
    names.map((name) => [name, { "10.0.0.1": name === "web" ? 3 : 2 }]),
  );
});
