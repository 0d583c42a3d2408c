/**
 * Builds the Debian package with debhelper, from `deploy/debian`.
 *
 *     deb.ts [--scripts] [FOLDER]
 *
 * The package goes to FOLDER, or to `dist`. It has the compiled programs, for the architecture of this host.
 * With `--scripts`, or if the programs cannot be compiled, it has scripts that run with the host's deno.
 *
 * The same sources make the same package, byte for byte.
 *
 * @module
 */

import { dirname } from "node:path";
import { COMPLETIONS } from "../cli/completions.ts";
import config from "../deno.json" with { type: "json" };
import { copyrightText } from "./_licenses.ts";
import { PROGRAMS, PROJECT } from "./_programs.ts";
import { installScripts } from "./_scripts.ts";

/** The files of the project that `deploy/debian` names. */
const SOURCES = ["CHANGELOG.md", "README.md", "deploy", "docs"];

/** Where shells look for the completions of hactl. */
const COMPLETION_FILES: Readonly<Record<keyof typeof COMPLETIONS, string>> = {
  bash: "bash-completion/completions/hactl",
  zsh: "zsh/vendor-completions/_hactl",
  fish: "fish/vendor_completions.d/hactl.fish",
};

const DENO_LICENSE =
  "The programs contain the runtime of Deno (https://deno.com), under the MIT license:\n" +
  "Copyright 2018-2026 the Deno authors.\n\n";

/** Thrown if the package cannot be built. */
class BuildError extends Error {
  override name = "BuildError";
}

/** Runs a program that has to succeed, and returns what it printed. */
async function outputOf(cwd: string, program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  console.error(decoder.decode(stdout) + decoder.decode(stderr));
  throw new BuildError(`${program} ${args.join(" ")} failed`);
}

/** Compiles the programs, and returns false if Deno's base program cannot be fetched. */
async function compile(folder: string): Promise<boolean> {
  const args = ["run", "--no-prompt", "--allow-run", "deploy/compile.ts", folder];
  const { success } = await new Deno.Command(Deno.execPath(), { args, cwd: PROJECT }).spawn()
    .status;
  if (!success) {
    if (Deno.env.has("DENORT_BIN")) {
      throw new BuildError("the programs do not compile with the base program in DENORT_BIN");
    }
    console.error(
      "The programs cannot be compiled here: packing scripts that run with the host's deno",
    );
    await Deno.remove(folder, { recursive: true });
    return false;
  }
  // `deno compile` accepts any program as the base program, even of another release.
  for (const { name } of PROGRAMS) {
    const version = await outputOf(PROJECT, `${folder}/${name}`, "--version");
    if (version === `${name} ${config.version}\n`) continue;
    throw new BuildError(
      `${name} was compiled and does not run: DENORT_BIN must name the denort of Deno ${Deno.version.deno}`,
    );
  }
  return true;
}

/** Replaces a license that every Debian has by its path. */
function withoutCommon(license: string): string {
  return /^\s*Apache License\s+Version 2\.0/.test(license)
    ? "Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0"
    : license;
}

/** Prepares a source package in a folder, and builds it. The package is then beside the folder. */
async function build(tree: string, asScripts: boolean): Promise<void> {
  const usr = `${tree}/stage/usr`;
  await Deno.mkdir(`${usr}/bin`, { recursive: true });
  // Copies get new times, which dpkg-deb replaces by that of the changelog: it leaves older ones as they are.
  await outputOf(PROJECT, "cp", "-R", ...SOURCES, tree);
  await Deno.rename(`${tree}/deploy/debian`, `${tree}/debian`);
  const changelog = await Deno.readTextFile(`${tree}/debian/changelog`);
  const [, version] = /^hacheck \((.*)-\d+\)/.exec(changelog) ?? [];
  if (version !== config.version) {
    throw new BuildError(
      `deno.json has version ${config.version}, and deploy/debian/changelog has ${version}`,
    );
  }
  const isCompiled = !asScripts && await compile(`${usr}/bin`);
  if (isCompiled) {
    const control = await Deno.readTextFile(`${tree}/debian/control`);
    const compiled = control.replace("Architecture: all\n", "Architecture: any\n")
      .replace("Recommends: deno\n", "");
    await Deno.writeTextFile(`${tree}/debian/control`, compiled);
  } else {
    await installScripts(usr, "/usr");
  }
  const copyright = await copyrightText(isCompiled ? DENO_LICENSE : "", withoutCommon);
  await Deno.writeTextFile(`${tree}/debian/copyright`, copyright);
  for (const shell of Object.keys(COMPLETION_FILES) as (keyof typeof COMPLETIONS)[]) {
    const path = `${usr}/share/${COMPLETION_FILES[shell]}`;
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, COMPLETIONS[shell]);
  }
  // -d: it would ask for a compiler, which nothing here needs.
  await outputOf(tree, "dpkg-buildpackage", "--build=binary", "-us", "-uc", "-d");
}

const asScripts = Deno.args.includes("--scripts");
const [folder = `${PROJECT}dist`, ...others] = Deno.args.filter((arg) => arg !== "--scripts");
if (others.length > 0 || folder.startsWith("-")) {
  console.error("Usage: deb.ts [--scripts] [FOLDER]");
  Deno.exit(2);
}
const temporary = await Deno.makeTempDir();
try {
  await build(`${temporary}/hacheck`, asScripts);
  await Deno.mkdir(folder, { recursive: true });
  for (const { name } of Deno.readDirSync(temporary)) {
    if (name.endsWith(".deb")) await Deno.copyFile(`${temporary}/${name}`, `${folder}/${name}`);
  }
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`Cannot build the package: ${error.message}`);
  Deno.exitCode = 1;
} finally {
  await Deno.remove(temporary, { recursive: true });
}
