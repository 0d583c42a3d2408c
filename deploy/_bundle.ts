import config from "../deno.json" with { type: "json" };
import { denoMismatch, TESTED_DENO } from "../src/runtime/deno_release.ts";
import { relative } from "node:path";
import { deno, type Program, PROJECT } from "./_programs.ts";

/**
 * Packages that are bundled apart. They are CommonJS, and a bundle with CommonJS in it loads Deno's Node layer
 * at the start. Deno reads every module at the start whose specifier is a literal, so these are resolved at run time.
 */
const APART = ["mysql2", "pg"] as const;

/** The folder of the bundled code. */
const CODE = "src";

/**
 * Bundles programs, each in several files, so that a start reads only what it needs.
 *
 * A running program is not disturbed: the folder of the code is replaced as a whole.
 *
 * @param folder The folder to bundle to, as an absolute path. It gets a `deno.json`, and the code in `src`.
 * @param programs The programs.
 */
export async function bundle(folder: string, programs: readonly Program[]): Promise<void> {
  const code = `${folder}/${CODE}.new`;
  await removeAll(code);
  const externals = APART.flatMap((name) => ["--external", name]);
  for (const program of programs) {
    const { entry, workers } = program;
    // Each file keeps its place relative to the entry.
    const outdir = `${code}/${entry.slice(0, Math.max(0, entry.lastIndexOf("/")))}`;
    // Not --minify, which loses `using` declarations: see docs/deno.md.
    const options = ["--quiet", "--code-splitting", ...externals, "--outdir", outdir];
    await deno(["bundle", ...options, entry, ...workers], `Cannot bundle ${entry}`);
    await Deno.writeTextFile(`${code}/${startFile(program)}`, startModule(program));
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
    for (const name of APART) {
      await replaceIn(module, `import("${name}")`, `import(import.meta.resolve("${name}"))`);
    }
  }
  const present = `${folder}/${CODE}`;
  const old = `${folder}/${CODE}.old`;
  await removeAll(old);
  // A running daemon may load a database client at any time: the code is missing only between these two.
  await Deno.rename(present, old).catch(ignoreMissing);
  await Deno.rename(code, present);
  await removeAll(old);
  const imports = Object.fromEntries(APART.map((name) => [name, `./${CODE}/${name}.js`]));
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    `${JSON.stringify({ unstable: config.unstable, imports }, null, 2)}\n`,
  );
}

/**
 * Writes the module that starts a program. It checks the release of Deno before it loads the program, which
 * may use syntax that another release cannot parse.
 */
function startModule({ name, entry }: Program): string {
  const minor = TESTED_DENO.replace(/\d+$/, "");
  const message = JSON.stringify(`${name}: ${denoMismatch("")}`);
  return `if (!Deno.version.deno.startsWith("${minor}")) {
  console.error(${message} + Deno.version.deno);
  Deno.exit(1);
}
const { main } = await import("./${entry.replace(/\.ts$/, ".js")}");
Deno.exit(await main(Deno.args, "${name}"));
`;
}

function startFile({ name }: Program): string {
  return `start_${name}.js`;
}

/**
 * Finds the modules in a folder and its subfolders.
 *
 * @param folder The folder's path.
 * @returns The paths of the modules.
 */
export async function modulesIn(folder: string): Promise<string[]> {
  const modules: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) modules.push(...await modulesIn(`${folder}/${name}`));
    else if (name.endsWith(".js")) modules.push(`${folder}/${name}`);
  }
  return modules;
}

/** Replaces a path of the build host, by which the bundler names a source. */
async function replaceIn(file: string, path: string, replacement: string): Promise<void> {
  const text = await Deno.readTextFile(file);
  if (text.includes(path)) await Deno.writeTextFile(file, text.replaceAll(path, replacement));
}

/** Removes a folder, if it exists. */
async function removeAll(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/**
 * Finds a module in the folder of a bundle.
 *
 * @param entry The module's path in the project.
 * @returns Its path in the folder.
 */
export function bundled(entry: string): string {
  return `${CODE}/${entry.replace(/\.ts$/, ".js")}`;
}

/**
 * Finds the module that starts a program, in the folder of a bundle.
 *
 * @param program The program.
 * @returns The module's path in the folder.
 */
export function started(program: Program): string {
  return `${CODE}/${startFile(program)}`;
}
