import { parseCsv } from "../../../src/std/csv.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("parseCsv() names values by the columns of the first row", () => {
  assertEquals(parseCsv('a,b\n1,"x, ""y"""\n2,\n'), [{ a: "1", b: 'x, "y"' }, { a: "2", b: "" }]);
  assertEquals(parseCsv("a,b\n"), []);
  assertThrows(() => parseCsv("a,b\n1\n"), Error);
});
