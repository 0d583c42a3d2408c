import config from "../deno.json" with { type: "json" };
import { relative } from "node:path";
import { deno, PROJECT } from "./_programs.ts";

/**
 * Packages that are bundled on their own. They are CommonJS, and code that is bundled with CommonJS starts
 * Deno's Node layer: a third more memory and twice the time to start.
 */
const APART = ["mysql2", "pg"] as const;

/** Where programs find what was bundled, from the folder on. */
const CODE = "src";

/**
 * Bundles the programs, each in pieces, so that a start does not read what is seldom used.
 *
 * Never with `--minify`: Deno 2.9.6 inlines a `using` variable that is read once, and then nothing disposes
 * of its value. tests/deploy/using_test.ts compares each `using` of the sources with what was built.
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
  const externals = APART.flatMap((name) => ["--external", name]);
  for (const entries of programs) {
    const [entry] = entries;
    // Files are put where they were below the folder of the first.
    const pieces = `${code}/${entry.slice(0, Math.max(0, entry.lastIndexOf("/")))}`;
    await deno(
      [
        ...["bundle", "--quiet", "--code-splitting", ...externals],
        ...["--outdir", pieces, ...entries],
      ],
      `Cannot bundle ${entry}`,
    );
  }
  for (const name of APART) {
    const entry = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(entry, `export { default } from "${config.imports[name]}";\n`);
    await deno(
      ["bundle", "--quiet", "--output", `${code}/${name}.js`, entry],
      `Cannot bundle ${name}`,
    );
    await Deno.remove(entry);
    await replaceIn(`${code}/${name}.js`, relative(PROJECT, entry), name);
  }
  const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(info.stdout)) as { npmCache: string };
  for (const module of await modulesIn(code)) {
    await replaceIn(module, `${relative(PROJECT, npmCache)}/`, "npm/");
  }
  await removeAll(`${folder}/${CODE}`);
  await Deno.rename(code, `${folder}/${CODE}`);
  const imports = Object.fromEntries(APART.map((name) => [name, `./${CODE}/${name}.js`]));
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    `${JSON.stringify({ unstable: config.unstable, imports }, null, 2)}\n`,
  );
}

/**
 * The modules in a folder and in those below it.
 *
 * @param folder The folder's path.
 * @returns Their paths.
 */
export async function modulesIn(folder: string): Promise<string[]> {
  const modules: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) modules.push(...await modulesIn(`${folder}/${name}`));
    else if (name.endsWith(".js")) modules.push(`${folder}/${name}`);
  }
  return modules;
}

/** The bundler names each source by its path, which differs from one build host to the next. */
async function replaceIn(file: string, path: string, replacement: string): Promise<void> {
  const text = await Deno.readTextFile(file);
  if (text.includes(path)) await Deno.writeTextFile(file, text.replaceAll(path, replacement));
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
