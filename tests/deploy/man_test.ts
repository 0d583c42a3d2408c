import { COMMANDS, FLAGS } from "../../cli/command_spec.ts";
import { hacheckPage } from "../../deploy/_man.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { page } from "../support/docs.ts";
import { run, TempFolder } from "../support/programs.ts";
import { serverTest } from "../servers/mod.ts";

const PAGES = ["hactl.1", "hacheck.8"];

async function write(folder: TempFolder): Promise<void> {
  const man = new URL("../../deploy/man.ts", import.meta.url).pathname;
  const grants = ["--no-prompt", "--allow-read", `--allow-write=${folder.path}`];
  const { code, stderr } = await run(Deno.execPath(), ["run", ...grants, man, folder.path]);
  assertEquals([code, stderr], [0, ""]);
}

serverTest("the manual pages are as man-db and mandoc want them", ["man", "mandoc"], async () => {
  using folder = new TempFolder();
  await write(folder);
  for (const name of PAGES) {
    const path = folder.file(name);
    const lint = await run("mandoc", ["-T", "lint", "-W", "style", path]);
    assertEquals([lint.code, lint.stdout], [0, ""], name);
    // groff's own words.
    const env = { LC_ALL: "C.UTF-8", MANWIDTH: "80", MAN_KEEP_STDERR: "1", MANROFFSEQ: "" };
    const { code, stderr } = await run(
      "man",
      ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", path],
      env,
    );
    assertEquals([code, stderr], [0, ""], name);
  }
});

serverTest("the manual pages tell of every sub-command, flag and key", ["mandoc"], async () => {
  using folder = new TempFolder();
  await write(folder);
  const shown = async (name: string) => {
    const { stdout } = await run("mandoc", ["-T", "ascii", "-O", "width=200", folder.file(name)]);
    // Bold is overstruck.
    // deno-lint-ignore no-control-regex
    return stdout.replaceAll(/.\x08/g, "");
  };
  const hactl = await shown("hactl.1");
  for (const [name, { examples }] of COMMANDS) {
    assertMatch(hactl, new RegExp(`^   hactl ${name}\\b`, "m"));
    for (const [line] of examples) assert(hactl.includes(line), line);
  }
  for (const name of Object.keys(FLAGS)) {
    assertMatch(hactl, new RegExp(`^       (-., )?--${name}( [A-Z_]+)?\\b`, "m"));
  }
  const hacheck = await shown("hacheck.8");
  const keys = [...page("configuration.md").matchAll(/^\| `([\w-]+)`/gm)].map(([, key]) => key!);
  assert(keys.length > 20, String(keys.length));
  for (const key of keys) assertMatch(hacheck, new RegExp(`^       ${key}\\b`, "m"));
});

Deno.test("a README that does not have what hacheck(8) is made of is refused", () => {
  const write = () => hacheckPage("# hacheck\n\nIt.\n\n", "# Keys\n", "2026-12-01");
  const { message } = assertThrows(write, Error);
  assertEquals(message, 'Cannot write hacheck(8): the documentation has no "# Configuration"');
});
