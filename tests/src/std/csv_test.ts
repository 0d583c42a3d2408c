import { parseCsv } from "../../../src/std/csv.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { run, TempFolder } from "../../support/programs.ts";

Deno.test("parseCsv() names values by the columns of the first row", () => {
  assertEquals(parseCsv('a,b\n1,"x, ""y"""\n2,\n'), [{ a: "1", b: 'x, "y"' }, { a: "2", b: "" }]);
  assertEquals(parseCsv("a,b\n"), []);
  assertThrows(() => parseCsv("a,b\n1\n"), Error);
});

/**
 * How `jsr:@std/csv` declares what is used of it: two overloads, the second one generic. `npm:deno-std`
 * has no types, so that nothing else would tell whether the program type-checks with the real ones.
 */
const DECLARATIONS = `
export interface ParseOptions {
  separator?: string;
  comment?: string;
  trimLeadingSpace?: boolean;
  lazyQuotes?: boolean;
  fieldsPerRecord?: number;
  skipFirstRow?: boolean;
  columns?: readonly string[];
}
type Row<C extends string> = string extends C ? Record<string, string | undefined>
  : Record<C, string>;
export type ParseResult<O, T> = T extends O & { columns: readonly (infer C extends string)[] }
  ? Row<C>[]
  : T extends O & { skipFirstRow: true } ? Record<string, string | undefined>[]
  : T extends O & { columns?: undefined; skipFirstRow?: false | undefined } ? string[][]
  : Record<string, string | undefined>[] | string[][];
export declare function parse(input: string): string[][];
export declare function parse<const T extends ParseOptions>(
  input: string,
  options: T,
): ParseResult<ParseOptions, T>;
`;

Deno.test("the daemon type-checks with the types of jsr:@std/csv", async () => {
  using folder = new TempFolder();
  const root = new URL("../../../", import.meta.url);
  const { imports, compilerOptions } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", root)),
  );
  const stub = folder.write("csv.d.ts", DECLARATIONS);
  const config = folder.write(
    "deno.json",
    JSON.stringify({
      compilerOptions,
      imports: { ...imports, "@std/csv/parse": `file://${stub}` },
      nodeModulesDir: "none",
    }),
  );
  const checker = new URL("src/checkers/mod.ts", root).pathname;
  const { code, stderr } = await run(Deno.execPath(), [
    ...["check", "--no-lock", "--config", config, checker],
  ], { NO_COLOR: "1" });
  assertEquals(code, 0, stderr);
});
