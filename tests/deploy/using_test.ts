import { modulesIn } from "../../deploy/_bundle.ts";
import { PROGRAMS, PROJECT } from "../../deploy/_programs.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { run, TempFolder } from "../support/programs.ts";

/** A `using` or `await using` declaration. */
interface Using {
  /** The declaration, such as `using file`. */
  readonly declared: string;
  /** The top-level function or class around it. */
  readonly within: string;
}

/** A node of a syntax tree. */
interface Node {
  readonly type: string;
  readonly parent: Node | null;
  readonly id?: { readonly name: string } | null;
}

/** Finds the name of the top-level function or class around a node. */
function outermost(node: Node): string {
  let name = "";
  for (let at: Node | null = node; at !== null; at = at.parent) {
    const isNamed = at.type === "FunctionDeclaration" || at.type === "ClassDeclaration";
    if (isNamed) name = at.id?.name ?? name;
  }
  return name;
}

/** Finds the `using` declarations of a module. */
function usingIn(path: string): Using[] {
  const found: Using[] = [];
  const plugin: Deno.lint.Plugin = {
    name: "using",
    rules: {
      find: {
        create: () => ({
          VariableDeclaration(node) {
            if (node.kind !== "using" && node.kind !== "await using") return;
            for (const { id } of node.declarations) {
              const name = id.type === "Identifier" ? id.name : id.type;
              found.push({
                declared: `${node.kind} ${name}`,
                within: outermost(node as unknown as Node),
              });
            }
          },
        }),
      },
    },
  };
  Deno.lint.runPlugin(plugin, path, Deno.readTextFileSync(path));
  return found;
}

/** Finds the modules of a program in the project. */
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

Deno.test("the installed code has every using declaration of the sources", async () => {
  using folder = new TempFolder();
  const permissions = ["--allow-run", "--allow-read", "--allow-write"];
  const args = ["run", "--no-prompt", ...permissions, `${PROJECT}deploy/install.ts`, folder.path];
  const { code, stderr } = await run(Deno.execPath(), args);
  assertEquals(code, 0, stderr);

  const built = folder.file("lib/hacheck/src");
  const ofHactl = await modulesIn(`${built}/cli`);
  const ofDaemon = (await modulesIn(built)).filter((path) => !ofHactl.includes(path));
  const all = new Map<string, Using>();
  const kept = new Set<string>();
  for (const { name, entry, workers } of PROGRAMS) {
    const pieces = name === "hactl" ? ofHactl : ofDaemon;
    const text = pieces.map((path) => Deno.readTextFileSync(path)).join("\n");
    const left = pieces.flatMap((path) => usingIn(path).map(({ declared }) => declared));
    const lost: string[] = [];
    for (const path of await sourcesOf([entry, ...workers])) {
      for (const [i, one] of usingIn(path).entries()) {
        all.set(`${path} ${i}`, one);
        // The bundler drops unused functions, and appends numbers to duplicate names.
        const isIn = new RegExp(String.raw`\b(?:function|class|var) ${one.within}\d*\b`).test(text);
        if (!isIn) continue;
        kept.add(`${path} ${i}`);
        const at = left.indexOf(one.declared);
        if (at < 0) lost.push(`${path}: ${one.declared} in ${one.within}`);
        else left.splice(at, 1);
      }
    }
    assertEquals(lost, [], name);
  }
  assert(all.size >= 15, [...all.keys()].join("\n"));
  assertEquals([...all.keys()].filter((key) => !kept.has(key)), [], "in no program");
});
