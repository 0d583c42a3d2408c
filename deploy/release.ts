/**
 * Releases a version, up to the push.
 *
 *     release.ts [--dry-run] VERSION
 *
 * It sets the version, builds the files to publish in `dist/release-VERSION`, commits and tags. If a step fails,
 * the sources are as before. With `--dry-run`, it only checks and prints what it would do.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { copyrightText } from "./_licenses.ts";
import { PROJECT } from "./_programs.ts";
import { sbom } from "./_sbom.ts";

const CHANGELOG = "CHANGELOG.md";
const DEBIAN_CHANGELOG = "deploy/debian/changelog";
const UNRELEASED = "\n## [Unreleased]\n";

/** Thrown if a version cannot be released. */
class ReleaseError extends Error {
  override name = "ReleaseError";
}

/** Runs a program that has to succeed, and returns its output. */
async function outputOf(program: string, ...args: readonly string[]): Promise<string> {
  const command = new Deno.Command(program, { args: [...args], cwd: PROJECT, stderr: "inherit" });
  const { success, stdout } = await command.output();
  if (!success) throw new ReleaseError(`${program} ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout).trimEnd();
}

/** Checks that a version is newer than the current one. */
function checkVersion(version: string): void {
  if (!/^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}$/.test(version)) {
    throw new ReleaseError(
      `bad version: expected MAJOR.MINOR.PATCH, such as 1.2.0: received ${JSON.stringify(version)}`,
    );
  }
  const [given, current] = [version, config.version].map((one) => one.split(".").map(Number));
  const differing = given!.findIndex((number, i) => number !== current![i]);
  if (differing < 0 || given![differing]! < current![differing]!) {
    throw new ReleaseError(
      `bad version: expected one above ${config.version}: received ${version}`,
    );
  }
}

/** Checks the repository: nothing uncommitted, and no such tag. */
async function checkRepository(tag: string): Promise<void> {
  const changed = await outputOf("git", "status", "--porcelain");
  if (changed !== "") {
    throw new ReleaseError(`expected no uncommitted changes: git status reports\n${changed}`);
  }
  if (await outputOf("git", "tag", "--list", tag) !== "") {
    throw new ReleaseError(`expected no tag ${tag}: it exists`);
  }
}

/** Makes the new content of each file with a version. */
function changedFiles(version: string, time: Date): Record<string, string> {
  const [changelog, debianChangelog, denoJson, control] = [
    CHANGELOG,
    DEBIAN_CHANGELOG,
    "deno.json",
    "deploy/debian/control",
  ].map((path) => Deno.readTextFileSync(PROJECT + path)) as [string, string, string, string];
  const [, changes] = changelog.split(UNRELEASED);
  if (changes === undefined) throw new ReleaseError(`${CHANGELOG}: found no ## [Unreleased]`);
  if (!/^- /m.test(changes.split("\n## [")[0]!)) {
    throw new ReleaseError(`${CHANGELOG}: expected changes below ## [Unreleased]: found none`);
  }
  const [, maintainer] = /^Maintainer: (.*)$/m.exec(control)!;
  return {
    [CHANGELOG]: changelog.replace(
      UNRELEASED,
      `${UNRELEASED}\n## [${version}] - ${time.toISOString().slice(0, 10)}\n`,
    ),
    [DEBIAN_CHANGELOG]: `hacheck (${version}-1) unstable; urgency=medium

  * Release ${version}: see /usr/share/doc/hacheck/changelog.gz.

 -- ${maintainer}  ${time.toUTCString().replace("GMT", "+0000")}

${debianChangelog}`,
    "deno.json": denoJson.replace(/"version": ".*"/, `"version": "${version}"`),
  };
}

/** Lists the files below a folder, as paths from there. */
function filesBelow(folder: string, path = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${path}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(folder, `${path}${name}/`) : [path + name]
  ).sort();
}

/** Archives the scripts and their code, to be unpacked in `/usr/local`. */
async function buildArchive(archive: string, stage: string, time: Date): Promise<void> {
  await outputOf(Deno.execPath(), "task", "--quiet", "install", stage, "/usr/local");
  await Deno.mkdir(`${stage}/share/doc/hacheck`, { recursive: true });
  await Deno.writeTextFile(`${stage}/share/doc/hacheck/copyright`, await copyrightText());
  // The same sources make the same archive, byte for byte. It has no folders, whose modes tar would change.
  const options = ["--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
  const mtime = `--mtime=@${Math.floor(time.getTime() / 1000)}`;
  const files = filesBelow(stage);
  await outputOf("tar", "-czf", archive, ...options, mtime, "-C", stage, ...files);
  await Deno.remove(stage, { recursive: true });
}

/** Builds the files to publish. */
async function build(version: string, folder: string, time: Date): Promise<void> {
  // Downloads the packages that only the tests use: the SBOM has their licenses.
  await outputOf(Deno.execPath(), "install", "--quiet");
  await outputOf(Deno.execPath(), "task", "--quiet", "deb", "--scripts", folder);
  if (Deno.env.has("DENORT_BIN")) await outputOf(Deno.execPath(), "task", "--quiet", "deb", folder);
  await buildArchive(`${folder}/hacheck-${version}.tar.gz`, `${folder}/stage`, time);
  await Deno.writeTextFile(`${folder}/hacheck-${version}.cdx.json`, await sbom(version, time));
  const sums = await Promise.all(
    filesBelow(folder).map(async (name) => {
      const bytes = await Deno.readFile(`${folder}/${name}`);
      const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
      return `${sum}  ${name}\n`;
    }),
  );
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, sums.join(""));
}

/** Writes the files, builds, commits and tags. If that fails, it restores the files. */
async function release(version: string, tag: string, folder: string, time: Date): Promise<void> {
  const files = changedFiles(version, time);
  const paths = Object.keys(files);
  await Deno.mkdir(folder, { recursive: true });
  // An earlier try may have left files.
  for (const name of filesBelow(folder)) await Deno.remove(`${folder}/${name}`);
  try {
    for (const path of paths) Deno.writeTextFileSync(PROJECT + path, files[path]!);
    await build(version, folder, time);
    await outputOf("git", "commit", "--quiet", "--message", `release: ${version}`, "--", ...paths);
  } catch (error) {
    await outputOf("git", "checkout", "--quiet", "HEAD", "--", ...paths);
    throw error;
  }
  await outputOf("git", "tag", "--annotate", "--message", `hacheck ${version}`, tag);
}

async function main(args: readonly string[]): Promise<number> {
  const isDryRun = args.includes("--dry-run");
  const [version, ...others] = args.filter((arg) => arg !== "--dry-run");
  if (version === undefined || others.length > 0) {
    console.error("Usage: release.ts [--dry-run] VERSION");
    return 2;
  }
  const tag = `v${version}`;
  const folder = `dist/release-${version}`;
  const time = new Date();
  try {
    checkVersion(version);
    await checkRepository(tag);
    if (isDryRun) {
      const paths = Object.keys(changedFiles(version, time)).join(", ");
      console.log(`Would set the version in ${paths}`);
      console.log(`Would build the package, the archive, the SBOM and SHA256SUMS in ${folder}`);
      console.log(`Would commit "release: ${version}", and tag ${tag}`);
      return 0;
    }
    await release(version, tag, PROJECT + folder, time);
    console.log(
      `Released ${version}. Publish it: git push origin HEAD ${tag}, and the files in ${folder}`,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof ReleaseError)) throw error;
    console.error(`Cannot release ${version}: ${error.message}`);
    return 1;
  }
}

Deno.exit(await main(Deno.args));
