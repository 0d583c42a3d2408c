/**
 * The forms that hacheck is shipped in, and the form under test.
 *
 * The environment variable `HACHECK_FORM` selects it: `source` (the default, for development), `installed`
 * (the scripts of `deno task install`), `package` (the same from the Debian package) or `compiled` (needs
 * the base program of `deno compile`). A form is built once for each state of the sources.
 *
 * @module
 */

import { bundled } from "../../deploy/_bundle.ts";
import { PROGRAMS, PROJECT } from "../../deploy/_programs.ts";
import { DEFAULT_SPOOL_ROOT } from "../../src/spool/store.ts";
import { hactlFlags, minimalDaemonFlags } from "../../src/daemon/permissions.ts";

const FORMS = ["source", "installed", "package", "compiled"] as const;

/** A form of the programs. */
export type Form = typeof FORMS[number];

/** The form under test. */
export const FORM: Form = formOf(Deno.env.get("HACHECK_FORM") || "source");

/** The folder of the form under test. */
const BUILT: string = FORM === "source" ? PROJECT : await buildForm(FORM);

/** Whether that form is bundled. */
export const IS_BUNDLED: boolean = FORM === "installed" || FORM === "package";

/** The folder, with a slash at its end, of `src` and `deno.json`. Compiled programs contain them instead. */
export const HOME: string = {
  source: PROJECT,
  installed: `${BUILT}/lib/hacheck/`,
  package: `${BUILT}/usr/lib/hacheck/`,
  compiled: `${BUILT}/`,
}[FORM];

/**
 * Finds the first module of a program in the form under test. For compiled programs it is that of the sources.
 *
 * @param name The program's name.
 * @returns The module's URL.
 */
export function moduleOf(name: string): string {
  const { entry } = PROGRAMS.find((program) => program.name === name)!;
  return new URL(IS_BUNDLED ? HOME + bundled(entry) : PROJECT + entry, "file:///").href;
}

/** How a program runs. */
export interface Launch {
  /** The spool. By default it is that of the installed program. */
  readonly spool?: string;
  /** Arguments for Deno, such as permissions, beyond those that the program is installed with. */
  readonly grants?: readonly string[];
  /** All permissions, in place of those that the program is installed with. */
  readonly allGrants?: readonly string[];
}

/**
 * Makes the command that runs a program in the form under test, adapted as an operator would do it: the
 * sources with the documented permissions, a script with its last line changed.
 *
 * @param name The name of a program, or an older name of hactl.
 * @param launch How the program runs.
 * @returns The command and its first arguments.
 */
export function commandOf(name: string, launch: Launch = {}): string[] {
  if (FORM === "compiled") return [`${BUILT}/${name}`];
  const { spool = DEFAULT_SPOOL_ROOT, grants = [], allGrants } = launch;
  if (FORM !== "source") return ["/bin/sh", "-c", scriptOf(name, spool, grants, allGrants), name];
  const { entry, aliases } = PROGRAMS.find((program) =>
    program.name === name || name in program.aliases
  )!;
  const all = allGrants ?? (name === "hacheck" ? minimalDaemonFlags(spool) : hactlFlags(spool));
  const first = name in aliases ? aliases[name]! : [];
  return [Deno.execPath(), "run", ...all, ...grants, `${PROJECT}${entry}`, ...first];
}

/** Reads the script of a program, and replaces spool, permissions and deno by those of a test. */
function scriptOf(
  name: string,
  spool: string,
  grants: readonly string[],
  allGrants: readonly string[] | undefined,
): string {
  let script = Deno.readTextFileSync(
    FORM === "package" ? `${BUILT}/usr/bin/${name}` : `${BUILT}/bin/${name}`,
  );
  if (FORM === "package") script = script.replaceAll("/usr/lib/hacheck", HOME.slice(0, -1));
  if (allGrants !== undefined) {
    script = script.replace(
      /^exec deno run .*$/m,
      (line) => line.replaceAll(/ '?--(?:no-prompt|allow-\w+(?:=[^' ]*)?)'?(?= )/g, ""),
    );
  }
  // With --quiet, Deno does not print the debugger's address.
  if (grants.some((grant) => grant.startsWith("--inspect"))) {
    script = script.replace(/^(exec deno run .*?) --quiet /m, "$1 ");
  }
  const options = [...allGrants ?? [], ...grants]
    .map((option) => `'${option.replaceAll("'", "'\\''")}' `);
  const denoFolder = Deno.execPath().replace(/\/deno$/, "");
  return script
    .replaceAll(DEFAULT_SPOOL_ROOT, () => spool)
    .replace(/^exec deno run /m, (start) => start + options.join(""))
    .replace(/^PATH=.*$/m, (line) => `${line}\nPATH='${denoFolder}':$PATH`);
}

function formOf(name: string): Form {
  const form = FORMS.find((form) => form === name);
  if (form === undefined) {
    throw new Error(`HACHECK_FORM: expected ${FORMS.join(", ")}: found ${name}`);
  }
  return form;
}

/**
 * Builds a form, unless it exists for these sources. Test files that run in parallel share it.
 *
 * @param form The form.
 * @returns Its folder.
 */
export async function buildForm(form: Exclude<Form, "source">): Promise<string> {
  const parent = `${PROJECT}dist/forms`;
  await Deno.mkdir(parent, { recursive: true });
  const folder = `${parent}/${form}-${await fingerprint()}`;
  using lock = await Deno.open(`${parent}/lock`, { write: true, create: true });
  await lock.lock(true);
  if (!exists(`${folder}/.complete`)) {
    await removeOld(parent);
    await Deno.mkdir(folder, { recursive: true });
    await build(form, folder);
    await Deno.writeTextFile(`${folder}/.complete`, "");
  }
  await lock.unlock();
  return folder;
}

async function build(form: Form, folder: string): Promise<void> {
  const permissions = ["--allow-run", "--allow-read", "--allow-write", "--allow-env"];
  const deno = (script: string, ...args: readonly string[]) =>
    mustRun(Deno.execPath(), "run", "--no-prompt", ...permissions, PROJECT + script, ...args);
  if (form === "installed") {
    await deno("deploy/install.ts", folder);
  } else if (form === "package") {
    await deno("deploy/deb.ts", "--scripts", folder);
    const [name] = [...Deno.readDirSync(folder)].map(({ name }) => name)
      .filter((name) => name.endsWith(".deb"));
    await mustRun("dpkg-deb", "--extract", `${folder}/${name}`, folder);
  } else {
    // Compiled programs contain their permissions: these must include the tests' folder.
    await deno("deploy/compile.ts", folder, "--places", temporary());
    for (const { name, aliases } of PROGRAMS) {
      for (const alias of Object.keys(aliases)) await Deno.symlink(name, `${folder}/${alias}`);
    }
    await mustRun(`${folder}/hacheck`, "--version");
  }
}

/** The folder of temporary files. */
function temporary(): string {
  return Deno.env.get("TMPDIR")?.replace(/\/$/, "") || "/tmp";
}

async function mustRun(program: string, ...args: readonly string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  if (success) return;
  const output = new TextDecoder().decode(new Uint8Array([...stdout, ...stderr]));
  throw new Error(`cannot build a form of hacheck: ${program} failed: ${output}`);
}

/** Computes a hash of the sources. */
async function fingerprint(): Promise<string> {
  const paths = [".deno-version", "deno.json", "deno.lock", "main.ts"];
  paths.push("CHANGELOG.md", "LICENSE", "README.md");
  for (const folder of ["src", "cli", "deploy", "docs"]) paths.push(...filesBelow(folder));
  const contents = [Deno.execPath(), Deno.version.deno];
  for (const path of paths.sort()) contents.push(path, await Deno.readTextFile(PROJECT + path));
  const bytes = new TextEncoder().encode(contents.join("\0"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(PROJECT + folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Removes forms that were built more than a day ago. */
async function removeOld(parent: string): Promise<void> {
  const yesterday = Date.now() - 24 * 3_600_000;
  for await (const { name, isDirectory } of Deno.readDir(parent)) {
    const path = `${parent}/${name}`;
    if (isDirectory && (await Deno.stat(path)).mtime!.getTime() < yesterday) {
      await Deno.remove(path, { recursive: true });
    }
  }
}
