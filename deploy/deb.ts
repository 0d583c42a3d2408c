/**
 * Builds the Debian package.
 *
 *     deb.ts [--scripts] [FOLDER]
 *
 * It goes to `dist`, or to the folder that is named. It holds the compiled programs, for the architecture
 * of this machine. With `--scripts`, or where the base program of `deno compile` cannot be had, it holds
 * scripts that run with the deno of the host, for every architecture.
 *
 * Built twice from the same files it is the same, to the byte: nothing in it is younger than
 * `SOURCE_DATE_EPOCH`, or than its changelog. How it is compressed is up to dpkg-deb, and to what that is
 * told by `DPKG_DEB_COMPRESSOR_TYPE`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { COMPLETIONS } from "../cli/completions.ts";
import config from "../deno.json" with { type: "json" };
import { licensesOf } from "./_licenses.ts";
import { PROGRAMS, PROJECT } from "./_programs.ts";
import { installScripts } from "./_scripts.ts";

/** What a host gets beside the programs: where it is there, and in the project. */
const FILES: Readonly<Record<string, string>> = {
  "etc/hacheck/hacheck.yaml": "deploy/hacheck.yaml",
  "etc/logrotate.d/hacheck": "deploy/hacheck.logrotate",
  "usr/lib/sysusers.d/hacheck.conf": "deploy/hacheck.sysusers.conf",
  "usr/lib/tmpfiles.d/hacheck.conf": "deploy/hacheck.tmpfiles.conf",
  "usr/share/doc/hacheck/README.md": "README.md",
  ...filesIn("docs", "usr/share/doc/hacheck/docs"),
  "usr/share/doc/hacheck/changelog.Debian.gz": "deploy/deb/changelog",
  "usr/share/doc/hacheck/examples/grafana-dashboard.json": "deploy/grafana-dashboard.json",
  "usr/share/doc/hacheck/examples/hacheck.sysctl.conf": "deploy/hacheck.sysctl.conf",
  "usr/share/doc/hacheck/examples/prometheus-alerts.yml": "deploy/prometheus-alerts.yml",
  ...filesIn("deploy/haproxy", "usr/share/doc/hacheck/examples/haproxy"),
  "usr/share/man/man1/hactl.1.gz": "deploy/man/hactl.1",
  "usr/share/man/man8/hacheck.8.gz": "deploy/man/hacheck.8",
};

/** Maps the files of a folder of the project, without its subfolders, to a folder on the host. */
function filesIn(folder: string, target: string): Record<string, string> {
  const files = [...Deno.readDirSync(`${PROJECT}${folder}`)].filter(({ isFile }) => isFile);
  return Object.fromEntries(
    files.map(({ name }) => [`${target}/${name}`, `${folder}/${name}`]),
  );
}

/** Where shells look for what completes a command line, by the name of the command. */
const COMPLETED: Readonly<Record<keyof typeof COMPLETIONS, (name: string) => string>> = {
  bash: (name) => `usr/share/bash-completion/completions/${name}`,
  zsh: (name) => `usr/share/zsh/vendor-completions/_${name}`,
  fish: (name) => `usr/share/fish/vendor_completions.d/${name}.fish`,
};

/** hactl's older names, which are told of and completed as hactl is. */
const OLDER_NAMES = PROGRAMS.flatMap(({ aliases }) => Object.keys(aliases));

/** What dpkg runs. */
const MAINTAINER_SCRIPTS = ["postinst", "prerm", "postrm"] as const;

/** How the programs are packed. */
interface Form {
  /** For which architecture. */
  readonly architecture: string;
  /** What else the host needs, or had better have, as fields of the package. */
  readonly relations: readonly string[];
  /** Terms that hold for what is packed beside those of its libraries. */
  readonly terms: string;
  /** What lintian is told to overlook: paths in the project. */
  readonly overrides: readonly string[];
}

/** The users and folders of a host are made by these, of which some hosts have them without systemd. */
const MAKERS = [
  "systemd | systemd-standalone-sysusers | systemd-sysusers",
  "systemd | systemd-standalone-tmpfiles | systemd-tmpfiles",
].join(", ");

const SCRIPTS: Form = {
  architecture: "all",
  // Debian has no deno to depend on. Who packs one is given it; else the scripts say what they lack.
  relations: [`Depends: ${MAKERS}`, "Recommends: deno"],
  terms: "",
  overrides: ["deploy/deb/lintian-overrides"],
};

const COMPILED: Omit<Form, "architecture"> = {
  // What Deno itself is linked with.
  relations: [`Depends: libc6 (>= 2.27), libgcc-s1 (>= 3.3), ${MAKERS}`],
  terms:
    "The programs hold the runtime of Deno (https://deno.com), which is under the MIT license:\n" +
    "Copyright 2018-2026 the Deno authors.\n\n",
  overrides: ["deploy/deb/lintian-overrides", "deploy/deb/lintian-overrides.compiled"],
};

/** Builds the programs and their names, in whatever form can be had. */
async function buildPrograms(root: string, asScripts: boolean): Promise<Form> {
  if (!asScripts && await compile(`${root}/usr/bin`)) {
    await makeSureTheyRun(`${root}/usr/bin`);
    for (const { name, aliases } of PROGRAMS) {
      for (const alias of Object.keys(aliases)) {
        await Deno.symlink(name, `${root}/usr/bin/${alias}`);
      }
    }
    const architecture = (await outputOf("dpkg", "--print-architecture")).trim();
    return { ...COMPILED, architecture };
  }
  await installScripts(`${root}/usr`, "/usr");
  return SCRIPTS;
}

/** Compiles the programs, if the base program of `deno compile` can be had. */
async function compile(folder: string): Promise<boolean> {
  const args = ["run", "--no-prompt", "--allow-run", "deploy/compile.ts", folder];
  const { success } = await new Deno.Command(Deno.execPath(), { args, cwd: PROJECT }).spawn()
    .status;
  if (success) return true;
  // Who names a base program wants it to be used.
  if (Deno.env.has("DENORT_BIN")) {
    throw new BuildError("the programs do not compile with the base program in DENORT_BIN");
  }
  console.error(
    "The programs cannot be compiled here: packing scripts that run with the host's deno",
  );
  await Deno.remove(folder, { recursive: true });
  return false;
}

/** `deno compile` takes any program for its base, be it of another release, or no base at all. */
async function makeSureTheyRun(folder: string): Promise<void> {
  for (const { name } of PROGRAMS) {
    const said = await outputOf(`${folder}/${name}`, "--version");
    if (said === `${name} ${config.version}\n`) continue;
    throw new BuildError(
      `${name} was compiled and does not run: DENORT_BIN must name the denort of Deno ${Deno.version.deno}`,
    );
  }
}

/** Runs a program that has to succeed. */
async function outputOf(program: string, ...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command(program, { args, stderr: "inherit" }).output();
  if (!success) throw new BuildError(`${program} ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout);
}

/** Thrown where the package cannot be built. Its message says why. */
class BuildError extends Error {
  override name = "BuildError";
}

/** Writes a file, and the folders it is in. */
async function write(path: string, content: Uint8Array): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await Deno.writeFile(path, content);
}

function textFile(path: string): string {
  return Deno.readTextFileSync(`${PROJECT}${path}`);
}

const utf8 = new TextEncoder();

/** Writes what goes with the programs. */
async function writeFiles(root: string, form: Form): Promise<void> {
  // By hand, programs go to /usr/local; those of packages do not.
  const unit = textFile("deploy/hacheck.service").replace("=/usr/local/bin/", "=/usr/bin/");
  const shells = Object.keys(COMPLETED) as (keyof typeof COMPLETED)[];
  const texts = {
    ...Object.fromEntries(Object.entries(FILES).map(([path, source]) => [path, textFile(source)])),
    "lib/systemd/system/hacheck.service": unit,
    "usr/share/doc/hacheck/copyright": await copyrightOf(form),
    "usr/share/lintian/overrides/hacheck": form.overrides.map(textFile).join(""),
    ...Object.fromEntries(shells.map((shell) => [COMPLETED[shell]("hactl"), COMPLETIONS[shell]()])),
  };
  for (const [path, text] of Object.entries(texts)) {
    const content = utf8.encode(text);
    await write(
      `${root}/${path}`,
      path.endsWith(".gz") ? gzipSync(content, { level: 9 }) : content,
    );
  }
  for (const alias of OLDER_NAMES) {
    await Deno.symlink("hactl.1.gz", `${root}/usr/share/man/man1/${alias}.1.gz`);
    // They are looked up by the command that is completed, but zsh looks into the file for its names.
    await Deno.symlink("hactl", `${root}/${COMPLETED.bash(alias)}`);
    await Deno.symlink("hactl.fish", `${root}/${COMPLETED.fish(alias)}`);
  }
}

/** Tells whose work is in the package, and under which terms. */
async function copyrightOf({ terms }: Form): Promise<string> {
  const libraries = await licensesOf(PROGRAMS.map(({ entry }) => entry));
  const parts = Object.entries(libraries).map(([library, text]) =>
    `${library}\n${"-".repeat(library.length)}\n\n${withoutCommon(text)}\n`
  );
  return `hacheck\n=======\n\n${textFile("LICENSE")}\n${terms}` +
    `Libraries that are built into it\n================================\n\n${parts.join("\n")}`;
}

/** Terms that every Debian has are named, and not repeated. */
function withoutCommon(terms: string): string {
  return /^\s*Apache License\s+Version 2\.0/.test(terms)
    ? "Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0"
    : terms;
}

/** What is in a folder, by its path from there on, in the order of the paths. */
function* entriesOf(root: string, folder = ""): Generator<[path: string, entry: Deno.DirEntry]> {
  const entries = [...Deno.readDirSync(`${root}/${folder}`)];
  for (const entry of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${folder}${entry.name}`;
    yield [path, entry];
    if (entry.isDirectory) yield* entriesOf(root, `${path}/`);
  }
}

/** What the changelog says of the package. */
function release(): { version: string; time: number } {
  const [, version, upstream] = /^hacheck \((([\d.]+)-\d+)\)/.exec(
    textFile("deploy/deb/changelog"),
  )!;
  if (upstream !== config.version) {
    throw new BuildError(
      `deno.json has version ${config.version}, and deploy/deb/changelog has ${upstream}`,
    );
  }
  const [, date] = /^ -- .*> {2}(.*)$/m.exec(textFile("deploy/deb/changelog"))!;
  return { version: version!, time: Date.parse(date!) / 1000 };
}

/** Writes what dpkg is to know, and gives all files their modes. */
async function writeControl(root: string, version: string, form: Form): Promise<void> {
  const { architecture, relations } = form;
  const sums: string[] = [];
  let kibibytes = 0;
  for (const [path, { isFile, isSymlink }] of entriesOf(root)) {
    if (!isSymlink) {
      await Deno.chmod(`${root}/${path}`, isFile && !path.startsWith("usr/bin/") ? 0o644 : 0o755);
    }
    // As Debian's policy reckons (section 5.6.20): all but files are one kibibyte.
    kibibytes += isFile ? Math.ceil(Deno.statSync(`${root}/${path}`).size / 1024) : 1;
    if (!isFile) continue;
    const sum = createHash("md5").update(await Deno.readFile(`${root}/${path}`)).digest("hex");
    sums.push(`${sum}  ${path}\n`);
  }
  const conffiles = Object.keys(FILES).filter((path) => path.startsWith("etc/"));
  const fields = [
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    `Installed-Size: ${kibibytes}`,
    ...relations,
  ];
  const control = textFile("deploy/deb/control").replace(/^Section:/m, `${fields.join("\n")}\n$&`);
  await write(`${root}/DEBIAN/control`, utf8.encode(control));
  await write(`${root}/DEBIAN/md5sums`, utf8.encode(sums.join("")));
  await write(
    `${root}/DEBIAN/conffiles`,
    utf8.encode(conffiles.map((path) => `/${path}\n`).join("")),
  );
  for (const name of MAINTAINER_SCRIPTS) {
    await write(`${root}/DEBIAN/${name}`, utf8.encode(textFile(`deploy/deb/${name}`)));
  }
  await Deno.chmod(`${root}/DEBIAN`, 0o755);
  for (const { name } of Deno.readDirSync(`${root}/DEBIAN`)) {
    const isScript = MAINTAINER_SCRIPTS.some((script) => script === name);
    await Deno.chmod(`${root}/DEBIAN/${name}`, isScript ? 0o755 : 0o644);
  }
}

const asScripts = Deno.args.includes("--scripts");
const [folder = `${PROJECT}dist`, ...others] = Deno.args.filter((arg) => arg !== "--scripts");
if (others.length > 0 || folder.startsWith("-")) {
  console.error("Usage: deb.ts [--scripts] [FOLDER]");
  Deno.exit(2);
}
const root = await Deno.makeTempDir();
try {
  const { version, time } = release();
  await Deno.mkdir(`${root}/usr/bin`, { recursive: true });
  const form = await buildPrograms(root, asScripts);
  await writeFiles(root, form);
  await writeControl(root, version, form);
  await Deno.chmod(root, 0o755);
  await Deno.mkdir(folder, { recursive: true });
  const path = `${folder}/hacheck_${version}_${form.architecture}.deb`;
  const epoch = Deno.env.get("SOURCE_DATE_EPOCH") ?? String(time);
  const { success } = await new Deno.Command("dpkg-deb", {
    args: ["--root-owner-group", "--build", root, path],
    env: { SOURCE_DATE_EPOCH: epoch },
  }).spawn().status;
  if (!success) throw new BuildError("dpkg-deb failed");
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`Cannot build the package: ${error.message}`);
  Deno.exitCode = 1;
} finally {
  await Deno.remove(root, { recursive: true });
}
