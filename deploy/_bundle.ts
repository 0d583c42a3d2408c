import config from "../deno.json" with { type: "json" };
import { deno } from "./_programs.ts";

/**
 * What is bundled by itself, and for which platform. These are CommonJS, and code that is bundled with such
 * starts Deno's Node layer whether it needs it or not: a third more memory and twice the time to start. That
 * of prom-client does not need it, and does not start it when it is bundled as for a browser: 2 MiB and 3 ms
 * instead of 10 MiB and 40 ms, when the metrics are first asked for.
 */
const APART = { mysql2: "deno", pg: "deno", "prom-client": "browser" } as const;

/**
 * What is bundled in pieces, of which those that are seldom used are not read at each start. A program
 * that is not keeps what it imports late in its one file, and starts the later for it.
 */
const IN_PIECES: readonly string[] = ["cli/hactl.ts"];

/** Where programs find what was bundled, from the folder on. */
const CODE = "src";

/**
 * Bundles the programs: a file for each, or a few, with all that it needs, which starts in two thirds of the time of
 * the sources.
 *
 * @param folder The folder that is to hold them, as an absolute path. It then looks like the project's,
 * wherever it is moved to: a `deno.json`, and the code in `src`.
 * @param entries The programs' first modules, and those of their workers, from the project's folder on.
 */
export async function bundle(folder: string, entries: readonly string[]): Promise<void> {
  const code = `${folder}/${CODE}`;
  const apart = Object.keys(APART) as (keyof typeof APART)[];
  const externals = apart.flatMap((name) => ["--external", name]);
  const whole = entries.filter((entry) => !IN_PIECES.includes(entry));
  await deno(
    ["bundle", "--quiet", "--minify", ...externals, "--outdir", code, ...whole],
    `Cannot bundle ${whole.join(", ")}`,
  );
  for (const entry of entries.filter((entry) => IN_PIECES.includes(entry))) {
    const pieces = `${code}/${entry.slice(0, entry.lastIndexOf("/"))}`;
    // Their names tell what is in them: those of what was bundled before would stay.
    await Deno.remove(pieces, { recursive: true }).catch(() => {});
    await deno(
      ["bundle", "--quiet", "--minify", "--code-splitting", "--outdir", pieces, entry],
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
  const imports = Object.fromEntries(apart.map((name) => [name, `./${CODE}/${name}.js`]));
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
