import { modulesIn } from "../../deploy/_bundle.ts";
import { PROGRAMS, PROJECT } from "../../deploy/_programs.ts";
import { assert, assertEquals } from "../assert.ts";
import { run, TempFolder } from "../programs.ts";

/** The `using` and `await using` declarations of a module, by the syntax tree. */
function usingIn(name: string, code: string): string[] {
  const found: string[] = [];
  const plugin: Deno.lint.Plugin = {
    name: "using",
    rules: {
      find: {
        create: () => ({
          VariableDeclaration({ kind, declarations }) {
            if (kind !== "using" && kind !== "await using") return;
            for (const { id } of declarations) {
              found.push(`${kind} ${id.type === "Identifier" ? id.name : id.type}`);
            }
          },
        }),
      },
    },
  };
  Deno.lint.runPlugin(plugin, name, code);
  return found;
}

/** The modules of the project that a program consists of. */
async function sourcesOf(entries: readonly string[]): Promise<Set<string>> {
  const paths = new Set<string>();
  for (const entry of entries) {
    const { code, stdout, stderr } = await run(Deno.execPath(), [
      ...["info", "--json", "--config", `${PROJECT}deno.json`, `${PROJECT}${entry}`],
    ]);
    assertEquals(code, 0, stderr);
    const { modules } = JSON.parse(stdout) as { modules: { specifier: string; local?: string }[] };
    for (const { specifier, local } of modules) {
      if (specifier.startsWith(`file://${PROJECT}`) && /\.[jt]s$/.test(specifier)) {
        paths.add(local!);
      }
    }
  }
  return paths;
}

Deno.test("what is installed keeps every using of the sources", async () => {
  using folder = new TempFolder();
  const permissions = ["--allow-run", "--allow-read", "--allow-write"];
  const args = ["run", "--no-prompt", ...permissions, `${PROJECT}deploy/install.ts`, folder.path];
  const { code, stderr } = await run(Deno.execPath(), args);
  assertEquals(code, 0, stderr);

  const built = folder.file("lib/hacheck/src");
  const ofHactl = await modulesIn(`${built}/cli`);
  const ofDaemon = (await modulesIn(built)).filter((path) => !ofHactl.includes(path));
  for (const { name, entry, workers } of PROGRAMS) {
    const wanted: string[] = [];
    for (const path of await sourcesOf([entry, ...workers])) {
      wanted.push(...usingIn(path, Deno.readTextFileSync(path)));
    }
    // A library that is bundled may have some of its own.
    const missing = (name === "hactl" ? ofHactl : ofDaemon)
      .flatMap((path) => usingIn(path, Deno.readTextFileSync(path)))
      .reduce((left, found) => {
        const at = left.indexOf(found);
        return at < 0 ? left : left.toSpliced(at, 1);
      }, wanted);
    assert(wanted.length >= 5, `${name}: ${wanted.join()}`);
    assertEquals(missing, [], name);
  }
});
