import config from "../deno.json" with { type: "json" };
import { deno } from "./_programs.ts";

/**
 * What is bundled by itself, and for which platform. These are CommonJS, and code that is bundled with such
 * starts Deno's Node layer whether it needs it or not: a third more memory and twice the time to start. That
 * of prom-client does not need it, and does not start it when it is bundled as for a browser: 2 MiB and 3 ms
 * instead of 10 MiB and 40 ms, when the metrics are first asked for.
 */
const APART = { mysql2: "deno", pg: "deno", "prom-client": "browser" } as const;

/** Where programs find what was bundled, from the folder on. */
const CODE = "src";

/**
 * Bundles the programs, each in pieces: what it seldom uses is not read at each start. So the daemon starts in
 * two thirds of the time of the sources, and 4 ms sooner than from one file.
 *
 * What was bundled before is replaced once all is there. A program that runs has its pieces in memory.
 *
 * @param folder The folder that is to hold them, as an absolute path. It then looks like the project's,
 * wherever it is moved to: a `deno.json`, and the code in `src`.
 * @param programs The first module of each, and of its workers below it, from the project's folder on.
 */
export async function bundle(
  folder: string,
  programs: readonly (readonly [entry: string, ...workers: string[]])[],
): Promise<void> {
  const code = `${folder}/${CODE}.new`;
  await removeAll(code);
  const apart = Object.keys(APART) as (keyof typeof APART)[];
  const externals = apart.flatMap((name) => ["--external", name]);
  for (const entries of programs) {
    const [entry] = entries;
    // Files are put where they were below the folder of the first.
    const pieces = `${code}/${entry.slice(0, Math.max(0, entry.lastIndexOf("/")))}`;
    await deno(
      [
        ...["bundle", "--quiet", "--minify", "--code-splitting", ...externals],
        ...["--outdir", pieces, ...entries],
      ],
      `Cannot bundle ${entry}`,
    );
  }
  for (const name of apart) {
    const entry = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(entry, `export { default } from "${config.imports[name]}";\n`);
    await deno(
      [
        ...["bundle", "--quiet", "--minify", "--platform", APART[name]],
        ...["--output", `${code}/${name}.js`, entry],
      ],
      `Cannot bundle ${name}`,
    );
    await Deno.remove(entry);
  }
  await removeAll(`${folder}/${CODE}`);
  await Deno.rename(code, `${folder}/${CODE}`);
  const imports = Object.fromEntries(apart.map((name) => [name, `./${CODE}/${name}.js`]));
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    `${JSON.stringify({ unstable: config.unstable, imports }, null, 2)}\n`,
  );
}

/** Removes a folder with all that is in it, if it is there. */
async function removeAll(folder: string): Promise<void> {
  try {
    await Deno.remove(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
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
