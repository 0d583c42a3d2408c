/**
 * The forms that hacheck is shipped in, and the one under test.
 *
 * The environment variable `HACHECK_FORM` selects it: `source` (the default, for development), `installed`
 * (the scripts of `deno task install`), `package` (the same from the Debian package) or `compiled` (needs
 * the base program of `deno compile`). It is built once for each state of the sources.
 *
 * @module
 */

import { bundled } from "../../deploy/_bundle.ts";
import { PROGRAMS, PROJECT } from "../../deploy/_programs.ts";
import { DEFAULT_SPOOL_ROOT } from "../../src/spool/store.ts";
import { daemonGrants, flagsOf, hactlGrants } from "../../src/daemon/permissions.ts";

/** What a test can run. */
const FORMS = ["source", "installed", "package", "compiled"] as const;

/** A form of the programs. */
export type Form = typeof FORMS[number];

/** The form under test. */
export const FORM: Form = formOf(Deno.env.get("HACHECK_FORM") || "source");

/** Where that form is built. The sources are not built. */
const BUILT: string = FORM === "source" ? PROJECT : await built();

/**
 * The folder with a slash at its end that holds the code under test: `src` and `deno.json`. What is compiled
 * carries its code inside.
 */
export const HOME: string = {
  source: PROJECT,
  installed: `${BUILT}/lib/hacheck/`,
  package: `${BUILT}/usr/lib/hacheck/`,
  compiled: `${BUILT}/`,
}[FORM];

/**
 * The first module of a program in the form under test. What is compiled shows none: that of the sources.
 *
 * @param name The program's name.
 * @returns Its URL.
 */
export function moduleOf(name: string): string {
  const { entry } = PROGRAMS.find((program) => program.name === name)!;
  const isBundled = FORM === "installed" || FORM === "package";
  return new URL(isBundled ? HOME + bundled(entry) : PROJECT + entry, "file:///").href;
}

/** How a program is to run. */
export interface Launch {
  /** Its spool, which replaces the one that the program is installed for. */
  readonly spool?: string;
  /** Permissions and other arguments for Deno beyond those that it is installed with. */
  readonly grants?: readonly string[];
  /** All permissions, in place of those that it is installed with. */
  readonly allGrants?: readonly string[];
}

/**
 * The command that runs a program in the form under test, as an operator would adapt it: the sources with the
 * permissions that the README names, a script with its last line changed.
 *
 * @param name The name it is called by: that of a program, or an older name of hactl.
 * @param launch How it is to run.
 * @returns The command and its first arguments.
 */
export function commandOf(name: string, launch: Launch = {}): string[] {
  if (FORM === "compiled") return [`${BUILT}/${name}`];
  const { spool = DEFAULT_SPOOL_ROOT, grants = [], allGrants } = launch;
  if (FORM !== "source") return ["/bin/sh", "-c", scriptOf(name, spool, grants, allGrants), name];
  const { entry, aliases } = PROGRAMS.find((program) =>
    program.name === name || name in program.aliases
  )!;
  const all = allGrants ?? flagsOf(name === "hacheck" ? daemonGrants(spool) : hactlGrants(spool));
  const first = name in aliases ? aliases[name]! : [];
  return [Deno.execPath(), "run", ...all, ...grants, `${PROJECT}${entry}`, ...first];
}

/** The script of a program with the spool, the permissions and the deno of a test. */
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
  // An operator who debugs it wants to be told where.
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

/** Builds the form under test, unless that was done for these sources. Tests of many processes may ask at once. */
async function built(): Promise<string> {
  const parent = `${PROJECT}dist/forms`;
  await Deno.mkdir(parent, { recursive: true });
  const folder = `${parent}/${FORM}-${await fingerprint()}`;
  using lock = await Deno.open(`${parent}/lock`, { write: true, create: true });
  await lock.lock(true);
  if (!exists(`${folder}/.complete`)) {
    await removeOld(parent);
    await Deno.mkdir(folder, { recursive: true });
    await build(folder);
    await Deno.writeTextFile(`${folder}/.complete`, "");
  }
  await lock.unlock();
  return folder;
}

async function build(folder: string): Promise<void> {
  const permissions = ["--allow-run", "--allow-read", "--allow-write", "--allow-env"];
  const deno = (script: string, ...args: readonly string[]) =>
    mustRun(Deno.execPath(), "run", "--no-prompt", ...permissions, PROJECT + script, ...args);
  if (FORM === "installed") {
    await deno("deploy/install.ts", folder);
  } else if (FORM === "package") {
    await deno("deploy/deb.ts", "--scripts", folder);
    const [name] = [...Deno.readDirSync(folder)].map(({ name }) => name)
      .filter((name) => name.endsWith(".deb"));
    await mustRun("dpkg-deb", "--extract", `${folder}/${name}`, folder);
  } else {
    // Permissions are inside, so that they name the folder in which tests keep their files.
    await deno("deploy/compile.ts", folder, "--places", temporary());
    for (const { name, aliases } of PROGRAMS) {
      for (const alias of Object.keys(aliases)) await Deno.symlink(name, `${folder}/${alias}`);
    }
    await mustRun(`${folder}/hacheck`, "--version");
  }
}

/** The folder in which temporary files are made. */
function temporary(): string {
  return Deno.env.get("TMPDIR")?.replace(/\/$/, "") || "/tmp";
}

async function mustRun(program: string, ...args: readonly string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  if (success) return;
  const output = new TextDecoder().decode(new Uint8Array([...stdout, ...stderr]));
  throw new Error(`cannot build hacheck for HACHECK_FORM=${FORM}: ${program} failed: ${output}`);
}

/** Tells one state of what is built from another. */
async function fingerprint(): Promise<string> {
  const paths = [".deno-version", "deno.json", "deno.lock", "main.ts", "README.md", "LICENSE"];
  for (const folder of ["src", "cli", "deploy", "docs"]) paths.push(...filesBelow(folder));
  const contents = [FORM, Deno.execPath(), Deno.version.deno];
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

/** Removes forms of sources that nobody has tested since yesterday. */
async function removeOld(parent: string): Promise<void> {
  const yesterday = Date.now() - 24 * 3_600_000;
  for await (const { name, isDirectory } of Deno.readDir(parent)) {
    const path = `${parent}/${name}`;
    if (isDirectory && (await Deno.stat(path)).mtime!.getTime() < yesterday) {
      await Deno.remove(path, { recursive: true });
    }
  }
}
