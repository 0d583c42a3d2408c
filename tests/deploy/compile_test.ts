import { daemonFlags, hactlFlags } from "../../src/daemon/permissions.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { run, TempFolder } from "../support/programs.ts";

const COMPILE = new URL("../../deploy/compile.ts", import.meta.url).pathname;

/**
 * Compiles both programs. If Deno's base program cannot be fetched, the deno executable takes its place: the
 * results then have the right content, but do not run.
 */
async function compile(folder: string): Promise<"complete" | "stand-in"> {
  const args = ["run", "--no-prompt", "--allow-run", COMPILE, folder];
  if ((await run(Deno.execPath(), args)).code === 0) return "complete";
  const { code, stderr } = await run(Deno.execPath(), args, { DENORT_BIN: Deno.execPath() });
  assertEquals(code, 0, stderr);
  return "stand-in";
}

/** Reads the permissions in a compiled program. */
function permissionsIn(program: string): Record<string, string[] | null> {
  const [, json] = /"permissions":(\{.*?\})/.exec(program) ?? [];
  assert(json !== undefined, "the program has permissions");
  return JSON.parse(json);
}

/** Parses permissions from flags, in the same form. */
function permissionsOf(flags: readonly string[]): Record<string, string[]> {
  const lists = flags.flatMap((flag) => {
    const [, kind, list] = /^--allow-(\w+)(?:=(.*))?$/.exec(flag) ?? [];
    return kind === undefined ? [] : [[`allow_${kind}`, list?.split(",") ?? []]];
  });
  return Object.fromEntries(lists);
}

Deno.test("the compiled programs have their modules and permissions inside, and run if Deno's base program is there", async (t) => {
  using folder = new TempFolder();
  const built = await compile(folder.path);

  const programs = [
    { name: "hacheck", flags: daemonFlags({ project: null }), isDaemon: true },
    { name: "hactl", flags: hactlFlags(), isDaemon: false },
  ];
  for (const { name, flags, isDaemon } of programs) {
    await t.step(`${name} has its permissions, and only the modules that it needs`, () => {
      const bytes = Deno.readFileSync(folder.file(name));
      const program = new TextDecoder("latin1").decode(bytes);
      for (const word of ["PROTOCOL_CONNECTION_LOST", "hacheck_event_loops"]) {
        assertEquals([word, program.includes(word)], [word, isDaemon]);
      }
      for (const ofPage of ['new EventSource("/events")', 'id="downtimes"', "--planned-ground"]) {
        assertEquals(program.includes(ofPage), isDaemon, ofPage);
      }
      const permissions = permissionsIn(program);
      const wanted = permissionsOf(flags);
      for (const kind of ["read", "write", "net", "env", "sys", "run", "ffi"]) {
        const key = `allow_${kind}`;
        assertEquals(permissions[key] ?? null, wanted[key] ?? null, key);
      }
    });
  }

  await t.step({
    name: "the programs run" +
      (built === "complete" ? "" : " (needs the base program of deno compile)"),
    ignore: built !== "complete",
    fn: async () => {
      assertEquals(await run(folder.file("hacheck"), ["--version"]), {
        code: 0,
        stdout: `hacheck ${VERSION}\n`,
        stderr: "",
      });
      Deno.symlinkSync(folder.file("hactl"), folder.file("hashowdowned"));
      assertEquals((await run(folder.file("hashowdowned"), [])).code, 0);
    },
  });
});
