import { assert, assertEquals } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { soak } from "./soak.ts";

Deno.test("under mixed load each response is right, and memory and descriptors do not grow", async () => {
  const report = await soak({ seconds: caseCount(20, 8), seed: 1 });
  assertEquals(report.wrong, []);
  for (const kind of ["up by the service", "down by the service", "down by an operator"]) {
    assert((report.answers.get(kind) ?? 0) > 0, kind);
  }
});
