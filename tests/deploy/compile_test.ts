import { daemonFlags, hactlFlags } from "../../src/daemon/permissions.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { run, TempFolder } from "../support/programs.ts";

const COMPILE = new URL("../../deploy/compile.ts", import.meta.url).pathname;

/**
 * Builds both programs. Where Deno's base program cannot be had the deno executable stands in: then
 * what is built holds all that it should, but does not run.
 */
async function compile(folder: string): Promise<"complete" | "stand-in"> {
  const args = ["run", "--no-prompt", "--allow-run", COMPILE, folder];
  if ((await run(Deno.execPath(), args)).code === 0) return "complete";
  const { code, stderr } = await run(Deno.execPath(), args, { DENORT_BIN: Deno.execPath() });
  assertEquals(code, 0, stderr);
  return "stand-in";
}

/** The permissions that a compiled program carries, as it lists them at its end. */
function permissionsIn(program: string): Record<string, string[] | null> {
  const [, json] = /"permissions":(\{.*?\})/.exec(program) ?? [];
  assert(json !== undefined, "a compiled program lists its permissions");
  return JSON.parse(json);
}

/** The same, as flags say it. */
function permissionsOf(flags: readonly string[]): Record<string, string[]> {
  const lists = flags.flatMap((flag) => {
    const [, kind, list] = /^--allow-(\w+)(?:=(.*))?$/.exec(flag) ?? [];
    return kind === undefined ? [] : [[`allow_${kind}`, list?.split(",") ?? []]];
  });
  return Object.fromEntries(lists);
}

Deno.test("the compiled programs hold their modules and their permissions, and run where they can", async (t) => {
  using folder = new TempFolder();
  const built = await compile(folder.path);

  const programs = [
    { name: "hacheck", flags: daemonFlags({ project: null }), isDaemon: true },
    { name: "hactl", flags: hactlFlags(), isDaemon: false },
  ];
  for (const { name, flags, isDaemon } of programs) {
    await t.step(`${name} may do what its flags say, and carries no more than it needs`, () => {
      const bytes = Deno.readFileSync(folder.file(name));
      const program = new TextDecoder("latin1").decode(bytes);
      for (const word of ["PROTOCOL_CONNECTION_LOST", "hacheck_event_loop_deaths_total"]) {
        assertEquals([word, program.includes(word)], [word, isDaemon]);
      }
      for (const ofPage of ['new EventSource("/events")', 'id="downtimes"', "--drain-ground"]) {
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
