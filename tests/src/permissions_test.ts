import config from "../../deno.json" with { type: "json" };
import { daemonGrants, FEATURE_GRANTS, flagsOf, hactlGrants } from "../../src/permissions.ts";
import { assertEquals, assertStringIncludes } from "../assert.ts";

/** The flags that a task gives to `deno run`. */
function taskFlags(task: { command: string }): string[] {
  const [, flags = ""] = /deno run (.*?) \S+\.ts/.exec(task.command) ?? [];
  return flags.split(" ").filter((flag) => flag !== "--watch");
}

Deno.test("the tasks run the programs with the permissions that are written down", () => {
  assertEquals(taskFlags(config.tasks.start), flagsOf(daemonGrants()));
  assertEquals(taskFlags(config.tasks.dev), flagsOf(daemonGrants(".spool")));
  assertEquals(taskFlags(config.tasks.hactl), flagsOf(hactlGrants(".spool")));
});

Deno.test("the README names every permission, with its reason", () => {
  const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
  const rows = readme.replaceAll(/ +/g, " ");
  for (const { flag, why } of [...daemonGrants(), ...hactlGrants()]) {
    assertStringIncludes(rows, `| \`${flag}\` | ${why} |`);
  }
  for (const { feature, flag, why } of FEATURE_GRANTS) {
    assertStringIncludes(rows, `| ${feature} | \`${flag}\` | ${why} |`);
  }
});
