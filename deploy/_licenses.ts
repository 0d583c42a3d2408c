import { PROGRAMS, PROJECT } from "./_programs.ts";

/** An npm package, as `deno info --json` reports it. */
export interface Library {
  readonly name: string;
  readonly version: string;
  /** The ids of the packages that it needs. */
  readonly dependencies: readonly string[];
  /** Its folder in Deno's cache. */
  readonly localPath: string;
}

/** The npm packages of the project, by their ids in `deno.lock`. */
export interface Libraries {
  readonly all: Readonly<Record<string, Library>>;
  /** The ids of those that are built into the programs. */
  readonly builtIn: ReadonlySet<string>;
}

/** The names of files with a license. */
const LICENSE = /^(?:licen[cs]e|copying|notice)(?:[.-]\w+)*$/i;

/**
 * Finds the npm packages of the project.
 *
 * @returns The packages.
 */
export async function findLibraries(): Promise<Libraries> {
  let all: Readonly<Record<string, Library>> = {};
  const builtIn = new Set<string>();
  const add = (id: string) => {
    const { name, dependencies } = all[id]!;
    // Types are not built into a program.
    if (name.startsWith("@types/") || builtIn.has(id)) return;
    builtIn.add(id);
    dependencies.forEach(add);
  };
  for (const { entry } of PROGRAMS) {
    const args = ["info", "--json", entry];
    const options = { args, cwd: PROJECT, stderr: "inherit" } as const;
    const { stdout } = await new Deno.Command(Deno.execPath(), options).output();
    const info = JSON.parse(new TextDecoder().decode(stdout)) as {
      readonly modules: readonly { readonly npmPackage?: string }[];
      readonly npmPackages: Readonly<Record<string, Library>>;
    };
    all = info.npmPackages;
    for (const { npmPackage } of info.modules) if (npmPackage !== undefined) add(npmPackage);
  }
  return { all, builtIn };
}

/**
 * Collects the licenses of hacheck and of the libraries that are built into it.
 *
 * @param terms Further terms, which come after the license of hacheck.
 * @param shortened Shortens the license of a library.
 * @returns A text with all of them, sorted by the names of the libraries.
 * @throws {Error} If a library has no license.
 */
export async function copyrightText(
  terms = "",
  shortened: (license: string) => string = (license) => license,
): Promise<string> {
  const { all, builtIn } = await findLibraries();
  const parts = [...builtIn].map((id) => all[id]!).map((library) => {
    const title = `${library.name} ${library.version}`;
    return `${title}\n${"-".repeat(title.length)}\n\n${shortened(licenseText(library))}\n`;
  });
  return `hacheck\n=======\n\n${Deno.readTextFileSync(`${PROJECT}LICENSE`)}\n${terms}` +
    "Libraries that are built into it\n================================\n\n" +
    parts.sort().join("\n");
}

function licenseText(library: Library): string {
  const { localPath } = library;
  const names = [...Deno.readDirSync(localPath)].filter(({ isFile, name }) =>
    isFile && LICENSE.test(name)
  ).map(({ name }) => name).sort();
  if (names.length > 0) {
    return names.map((name) => Deno.readTextFileSync(`${localPath}/${name}`).trim()).join("\n\n");
  }
  const { author } = manifest(library);
  const by = typeof author === "string" ? author : author?.name;
  return `${licenseName(library)}${by === undefined ? "" : `, by ${by}`}`;
}

/**
 * Reads the license that a library names in its package.json.
 *
 * @param library The library.
 * @returns An SPDX expression, such as `MIT`.
 * @throws {Error} If it names none.
 */
export function licenseName(library: Library): string {
  const { license } = manifest(library);
  if (license !== undefined) return license;
  throw new Error(`${library.localPath}/package.json: expected a field "license"`);
}

function manifest(
  { localPath }: Library,
): { readonly license?: string; readonly author?: string | { readonly name: string } } {
  return JSON.parse(Deno.readTextFileSync(`${localPath}/package.json`));
}
