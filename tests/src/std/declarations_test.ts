/**
 * `npm:deno-std` has no types. These tests hold the types that src/std gives it to the declarations of
 * `jsr:@std`, so that the program type-checks with either.
 *
 * @module
 */

import { assertEquals } from "../../support/assert.ts";
import { run, TempFolder } from "../../support/programs.ts";

const ROOT = new URL("../../../", import.meta.url);

/** The only modules that may import `@std`. */
const RE_EXPORTS = [
  ...[...Deno.readDirSync(new URL("src/std/", ROOT))].map(({ name }) => `src/std/${name}`),
  "tests/support/assert.ts",
  "tests/support/yaml.ts",
];

/** How `jsr:@std` declares what the program uses, by the names in deno.json. */
const DECLARATIONS: Readonly<Record<string, string>> = {
  "@std/assert": `
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;
export declare function assert(expr: unknown, msg?: string): asserts expr;
export declare function assertEquals<T>(actual: T, expected: T, msg?: string): void;
export declare function assertMatch(actual: string, expected: RegExp, msg?: string): void;
export declare function assertStringIncludes(actual: string, expected: string, msg?: string): void;
export declare function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
export declare function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export declare function assertThrows(fn: () => unknown, msg?: string): unknown;
export declare function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
`,
  "@std/async/pool": `
export declare function pooledMap<T, R>(
  poolLimit: number,
  array: Iterable<T> | AsyncIterable<T>,
  iteratorFn: (data: T) => Promise<R>,
): AsyncIterableIterator<R>;
`,
  // Abridged: the types that the real one infers for flags are assignable to `unknown`, as these are.
  "@std/cli/parse-args": `
type Names = string | undefined;
interface ParseOptions<B extends boolean | Names, S extends Names, C extends Names> {
  boolean?: B | ReadonlyArray<Extract<B, string>>;
  string?: S | ReadonlyArray<Extract<S, string>>;
  collect?: C | ReadonlyArray<Extract<C, string>>;
}
export declare function parseArgs<
  B extends boolean | Names = undefined,
  S extends Names = undefined,
  C extends Names = undefined,
>(
  args: string[],
  options?: ParseOptions<B, S, C>,
): Record<string, unknown> & { _: Array<string | number> };
`,
  "@std/crypto/timing-safe-equal": `
type Bytes = ArrayBufferView | ArrayBufferLike | DataView;
export declare function timingSafeEqual(a: Bytes, b: Bytes): boolean;
`,
  "@std/csv/parse": `
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
`,
  "@std/fmt/colors": ["bold", "dim", "green", "red", "yellow"]
    .map((name) => `export declare function ${name}(str: string): string;\n`).join(""),
  "@std/http/negotiation": `
export declare function accepts(request: Pick<Request, "headers">): string[];
export declare function accepts(
  request: Pick<Request, "headers">,
  ...types: string[]
): string | undefined;
`,
  "@std/http/status": `
export declare const STATUS_TEXT: { readonly 200: "OK"; readonly 404: "Not Found" };
`,
  "@std/yaml": `
export interface ParseOptions { allowDuplicateKeys?: boolean }
export interface StringifyOptions { indent?: number }
export declare function parse(content: string, options?: ParseOptions): unknown;
export declare function stringify(data: unknown, options?: StringifyOptions): string;
`,
};

Deno.test("src/std type-checks with the declarations of jsr:@std", async () => {
  using folder = new TempFolder();
  const { imports, compilerOptions } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", ROOT)),
  );
  const names = Object.keys(imports).filter((name) => name.startsWith("@std/"));
  assertEquals(names.sort(), Object.keys(DECLARATIONS).sort());
  const declared = Object.entries(DECLARATIONS).map(([name, declarations], i) => {
    return [name, `file://${folder.write(`${i}.d.ts`, declarations)}`];
  });
  const config = folder.write(
    "deno.json",
    JSON.stringify({
      compilerOptions,
      imports: { ...imports, ...Object.fromEntries(declared) },
      nodeModulesDir: "none",
    }),
  );
  const files = RE_EXPORTS.map((path) => new URL(path, ROOT).pathname);
  const { code, stderr } = await run(Deno.execPath(), [
    ...["check", "--no-lock", "--config", config, ...files],
  ], { NO_COLOR: "1" });
  assertEquals(code, 0, stderr);
});

Deno.test("@std is imported through src/std alone", () => {
  const modules = ["src", "cli", "tests", "deploy"].flatMap(modulesBelow);
  const importing = modules.filter((path) => {
    return /^(?:import|export) [^;]*"@std\//m.test(Deno.readTextFileSync(new URL(path, ROOT)));
  });
  assertEquals(importing.sort(), RE_EXPORTS.toSorted());
});

function modulesBelow(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? modulesBelow(path) : path.endsWith(".ts") ? [path] : [];
  });
}
