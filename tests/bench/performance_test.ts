import { assertEquals } from "../support/assert.ts";
import { page } from "../support/docs.ts";
import { ROWS } from "./rows.ts";

Deno.test("docs/performance.md has the figures of each row of the benchmark", () => {
  const [, block] = page("performance.md").split(/<!-- (?:end of )?bench -->/);
  const names = [...block!.matchAll(/^\| `([\w-]+)`/gm)].map(([, name]) => name);
  assertEquals(names, ROWS.map(({ name }) => name));
});
