import config from "../deno.json" with { type: "json" };
import { findLibraries, type Library, licenseName } from "./_licenses.ts";
import { PROJECT } from "./_programs.ts";

/** The package URL of a library, which also identifies it within the document. */
function purl({ name, version }: Library): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/**
 * Writes a software bill of materials (SBOM): hacheck, and each package in `deno.lock`. Packages that only the
 * tests use have the scope `excluded`.
 *
 * @param version The version of hacheck.
 * @param time The time of the document.
 * @returns A document in CycloneDX 1.5 JSON.
 * @throws {Error} If a package has no license.
 */
export async function sbom(version: string, time: Date): Promise<string> {
  const { all, builtIn } = await findLibraries();
  const lock = JSON.parse(Deno.readTextFileSync(`${PROJECT}deno.lock`)) as {
    readonly npm: Readonly<Record<string, { readonly integrity: string }>>;
    readonly specifiers: Readonly<Record<string, string>>;
  };
  const components = Object.entries(lock.npm).map(([id, { integrity }]) => {
    const library = all[id]!;
    const [algorithm, hash] = integrity.split("-") as [string, string];
    return {
      type: "library",
      "bom-ref": purl(library),
      name: library.name,
      version: library.version,
      scope: builtIn.has(id) ? "required" : "excluded",
      hashes: [{
        alg: algorithm.replace("sha", "SHA-"),
        content: Uint8Array.fromBase64(hash).toHex(),
      }],
      licenses: [{ expression: licenseName(library) }],
      purl: purl(library),
    };
  });
  const product = `hacheck@${version}`;
  // A key of `specifiers` is `npm:pg@8.23.1`; an id may have a suffix of peer dependencies.
  const direct = Object.entries(lock.specifiers).map(([specifier, version]) =>
    specifier.replace(/^npm:/, "").replace(/@[^@]*$/, `@${version}`)
  );
  const dependsOn = (ids: readonly string[]) => ids.map((id) => purl(all[id]!)).sort();
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      timestamp: time.toISOString(),
      component: {
        type: "application",
        "bom-ref": product,
        name: "hacheck",
        version,
        licenses: [{ expression: config.license }],
      },
    },
    components,
    dependencies: [
      { ref: product, dependsOn: dependsOn(direct) },
      ...Object.keys(lock.npm).map((id) => ({
        ref: purl(all[id]!),
        dependsOn: dependsOn(all[id]!.dependencies),
      })),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
