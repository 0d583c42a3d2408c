import { PROJECT } from "./_programs.ts";

/** The output of `deno info --json`. */
interface Graph {
  readonly modules: readonly { readonly npmPackage?: string }[];
  readonly npmPackages: Readonly<Record<string, NpmPackage>>;
}

interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly dependencies: readonly string[];
  readonly localPath: string;
}

/** The names of files with a license. */
const LICENSE = /^(?:licen[cs]e|copying|notice)(?:[.-]\w+)*$/i;

/**
 * Reads the licenses of the libraries that are built into programs.
 *
 * @param entries The first modules of the programs, as paths in the project.
 * @returns The license of each library by its name and version, sorted by name.
 * @throws {Error} If a library has none.
 */
export async function licensesOf(entries: readonly string[]): Promise<Record<string, string>> {
  const packages = new Map<string, NpmPackage>();
  for (const entry of entries) {
    const { modules, npmPackages } = await graphOf(entry);
    const add = (id: string) => {
      const found = npmPackages[id]!;
      const { name, dependencies } = found;
      // Types are not built into a program.
      if (name.startsWith("@types/") || packages.has(name)) return;
      packages.set(name, found);
      dependencies.forEach(add);
    };
    for (const { npmPackage } of modules) if (npmPackage !== undefined) add(npmPackage);
  }
  return Object.fromEntries(
    [...packages.values()]
      .map((found) => [`${found.name} ${found.version}`, licenseOf(found)] as const)
      .toSorted(([a], [b]) => a < b ? -1 : 1),
  );
}

async function graphOf(entry: string): Promise<Graph> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: PROJECT,
    stderr: "inherit",
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

function licenseOf({ name, localPath }: NpmPackage): string {
  const files = [...Deno.readDirSync(localPath)].filter(({ isFile, name }) =>
    isFile && LICENSE.test(name)
  );
  const texts = files.map(({ name }) => name).toSorted()
    .map((name) => Deno.readTextFileSync(`${localPath}/${name}`).trim());
  if (texts.length > 0) return texts.join("\n\n");
  const { license, author } = JSON.parse(Deno.readTextFileSync(`${localPath}/package.json`));
  if (typeof license !== "string") {
    throw new Error(
      `${name} has neither a file with its license nor the field "license" in its package.json`,
    );
  }
  const by = typeof author === "string" ? author : author?.name;
  return `${license}${by === undefined ? "" : `, by ${by}`}`;
}
