import { denoMismatch, TESTED_DENO } from "../../../src/runtime/deno_release.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { HOME, moduleOf } from "../../support/forms.ts";
import { run, TempFolder } from "../../support/programs.ts";

const PROJECT = new URL("../../..", import.meta.url);

Deno.test("denoMismatch() accepts patch releases of the tested minor release only", () => {
  const [major, minor, patch] = TESTED_DENO.split(".").map(Number) as [number, number, number];
  assertEquals(denoMismatch(TESTED_DENO), null);
  assertEquals(denoMismatch(`${major}.${minor}.${patch + 1}`), null);
  const others = [`${major}.${minor - 1}.9`, `${major}.${minor}0.0`, `${major + 1}.${minor}.0`];
  for (const found of others) {
    assertEquals(
      denoMismatch(found),
      `expected Deno ${major}.${minor}.x (tested with ${TESTED_DENO}): found Deno ${found}`,
    );
  }
});

Deno.test("hacheck and hactl reject another minor release of Deno in one line", async () => {
  using folder = new TempFolder();
  const preload = folder.write(
    "other_release.js",
    'Object.defineProperty(Deno, "version", { value: { ...Deno.version, deno: "2.8.1" } });\n',
  );
  for (const name of ["hacheck", "hactl"]) {
    const options = ["run", "--no-prompt", "--config", `${HOME}deno.json`, `--preload=${preload}`];
    const { code, stdout, stderr } = await run(
      Deno.execPath(),
      [...options, moduleOf(name), "--version"],
      { NO_COLOR: "1" },
    );
    assertEquals({ code, stdout, stderr }, {
      code: 1,
      stdout: "",
      stderr: `${name}: ${denoMismatch("2.8.1")}\n`,
    });
  }
});

Deno.test("the release of Deno in .deno-version is the one that the tests and the pages name", () => {
  assertEquals(Deno.version.deno, TESTED_DENO);
  const pages = ["README.md", "CONTRIBUTING.md", "docs/install.md", "docs/deno.md"];
  for (const page of pages) {
    const text = Deno.readTextFileSync(new URL(page, PROJECT));
    const named = [...text.matchAll(/(?:\bdeno@|\bDeno )(\d+\.\d+\.\d+)/g)].map(([, it]) => it);
    assert(named.length > 0, page);
    assertEquals(new Set(named), new Set([TESTED_DENO]), page);
  }
});
