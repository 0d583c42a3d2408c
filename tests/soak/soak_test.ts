import { assert, assertEquals } from "../support/assert.ts";
import { soak } from "./soak.ts";

Deno.test("20 seconds of mixed load: every answer is right, and nothing grows", async () => {
  const report = await soak({ seconds: 20, seed: 1 });
  assertEquals(report.wrong, []);
  for (const kind of ["up by the service", "down by the service", "down by an operator"]) {
    assert((report.answers.get(kind) ?? 0) > 0, kind);
  }
});
