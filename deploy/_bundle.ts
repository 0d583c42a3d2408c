import config from "../deno.json" with { type: "json" };
import { deno } from "./_programs.ts";

/**
 * What is bundled by itself. These are CommonJS, and code that is bundled with such starts Deno's Node
 * layer whether it needs it or not: a third more memory and twice the time to start.
 */
const APART = ["mysql2", "pg"] as const;

/** Where programs find what was bundled, from the folder on. */
const CODE = "src";

/**
 * Bundles the programs: a file for each, with all that it needs, which starts in two thirds of the time of
 * the sources.
 *
 * @param folder The folder that is to hold them, as an absolute path. It then looks like the project's:
 * a `deno.json`, and the code in `src`.
 * @param entries The programs' first modules, and those of their workers, from the project's folder on.
 */
export async function bundle(folder: string, entries: readonly string[]): Promise<void> {
  const code = `${folder}/${CODE}`;
  const externals = APART.flatMap((name) => ["--external", name]);
  await deno(
    [
      "bundle",
      "--quiet",
      "--minify",
      ...externals,
      "--outdir",
      code,
      ...entries,
    ],
    `Cannot bundle ${entries.join(", ")}`,
  );
  for (const name of APART) {
    const entry = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(entry, `export { default } from "${config.imports[name]}";\n`);
    await deno(
      ["bundle", "--quiet", "--minify", "--output", `${code}/${name}.js`, entry],
      `Cannot bundle ${name}`,
    );
    await Deno.remove(entry);
  }
  const imports = Object.fromEntries(APART.map((name) => [name, `file://${code}/${name}.js`]));
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    `${JSON.stringify({ unstable: config.unstable, imports }, null, 2)}\n`,
  );
}

/**
 * Where a module is after it was bundled.
 *
 * @param entry Its path from the project's folder on.
 * @returns Its path from the bundle's folder on.
 */
export function bundled(entry: string): string {
  return `${CODE}/${entry.replace(/\.ts$/, ".js")}`;
}
