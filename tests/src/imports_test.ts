import { TempFolder } from "../support/programs.ts";
import { assert, assertEquals } from "../support/assert.ts";

const PROJECT = new URL("../../", import.meta.url);

/** The floors, from the ground up. A module imports from its own room and from lower floors only. */
const FLOORS: readonly (readonly string[])[] = [
  ["deno.json", ".deno-version"],
  ["src/std", "src/text", "src/runtime"],
  ["src/flags.ts", "src/metrics"],
  ["src/log"],
  ["src/net"],
  ["src/spool", "src/fleet"],
  ["src/config.ts", "src/checks"],
  ["src/checkers"],
  ["src/server"],
  ["src/page"],
  ["src/daemon"],
  ["main.ts"],
  ["cli"],
  ["deploy"],
];

/** Rooms that hactl does not load, so that it starts at once. */
const DAEMON_ONLY = [
  "main.ts",
  "src/server",
  "src/page",
  "src/daemon",
  "src/checkers",
  "src/log",
];

interface Dependency {
  readonly code?: { readonly specifier?: string };
  readonly type?: { readonly specifier?: string };
}

/** The project's modules and what each imports, types included. */
async function importGraph(): Promise<Map<string, string[]>> {
  using folder = new TempFolder();
  const modules = ["main.ts", "src", "cli", "deploy"].flatMap(modulesIn);
  const entry = folder.file("all.ts");
  Deno.writeTextFileSync(
    entry,
    modules.map((path) => `import ${JSON.stringify(new URL(path, PROJECT).href)};\n`).join(""),
  );
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--config", new URL("deno.json", PROJECT).pathname, entry],
  }).output();
  const info = JSON.parse(new TextDecoder().decode(stdout)) as {
    readonly modules: readonly { specifier: string; dependencies?: readonly Dependency[] }[];
  };
  const local = (specifier: string | undefined) =>
    specifier?.startsWith(PROJECT.href) ? [specifier.slice(PROJECT.href.length)] : [];
  return new Map(
    info.modules.flatMap(({ specifier, dependencies = [] }) =>
      local(specifier).map((path) => {
        const imported = dependencies.flatMap(({ code, type }) => [
          ...local(code?.specifier),
          ...local(type?.specifier),
        ]);
        return [path, imported] as const;
      })
    ),
  );
}

function modulesIn(path: string): string[] {
  if (path.endsWith(".ts")) return [path];
  return [...Deno.readDirSync(new URL(path, PROJECT))].flatMap(({ name, isDirectory }) =>
    isDirectory || name.endsWith(".ts") ? modulesIn(`${path}/${name}`) : []
  );
}

/** A cycle that a module is part of, or undefined. */
function cycleFrom(start: string, graph: ReadonlyMap<string, string[]>): string[] | undefined {
  const seen = new Set<string>();
  const visit = (path: string, way: readonly string[]): string[] | undefined => {
    for (const next of graph.get(path) ?? []) {
      if (next === start) return [...way, path, start];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = visit(next, [...way, path]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return visit(start, []);
}

function roomOf(path: string): string {
  const rooms = FLOORS.flat().filter((room) => path === room || path.startsWith(`${room}/`));
  assert(rooms.length === 1, `${path} belongs to no room of FLOORS`);
  return rooms[0]!;
}

Deno.test("no module imports itself through others, type imports included", async () => {
  const graph = await importGraph();
  assert(graph.size > 100);
  const cycles = [...graph.keys()].flatMap((path) => {
    const cycle = cycleFrom(path, graph);
    return cycle === undefined ? [] : [cycle.join(" -> ")];
  });
  assertEquals(cycles, []);
});

Deno.test("modules import from lower floors only", async () => {
  const graph = await importGraph();
  const floorOf = (room: string) => FLOORS.findIndex((rooms) => rooms.includes(room));
  const wrong = new Map<string, string>();
  for (const [path, imports] of graph) {
    for (const imported of imports) {
      const [from, to] = [roomOf(path), roomOf(imported)];
      const isUpward = from !== to && floorOf(to) > floorOf(from);
      const isSlow = from === "cli" && DAEMON_ONLY.includes(to);
      if (isUpward || isSlow) wrong.set(`${from} -> ${to}`, `${path} imports ${imported}`);
    }
  }
  assertEquals([...wrong], []);
});
