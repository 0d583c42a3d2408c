import config from "../../../deno.json" with { type: "json" };
import {
  DAEMON_NEEDS,
  daemonFlags,
  daemonGrants,
  flagsOf,
  HACTL_FEATURE_GRANTS,
  hactlGrants,
  installedFlag,
  LOCKED_ADDRESSES,
} from "../../../src/daemon/permissions.ts";
import { assertEquals } from "../../support/assert.ts";
import { itemsOf } from "../../support/docs.ts";

/** The flags that a task gives to `deno run`. */
function taskFlags(task: { command: string }): string[] {
  const [, flags = ""] = /deno run (.*?) \S+\.ts/.exec(task.command) ?? [];
  return flags.split(" ").filter((flag) => flag !== "--watch")
    .map((flag) => flag.replace(/^'(.*)'$/, "$1"));
}

Deno.test("the tasks run the programs with the permissions that are written down", () => {
  const { tasks } = config;
  assertEquals(taskFlags(tasks.start), daemonFlags({ project: "" }));
  assertEquals(
    taskFlags(tasks["start:locked"]),
    daemonFlags({ project: "", addresses: LOCKED_ADDRESSES }),
  );
  assertEquals(taskFlags(tasks.dev), flagsOf(daemonGrants(".spool")));
  assertEquals(taskFlags(tasks.hactl), flagsOf(hactlGrants(".spool")));
});

Deno.test("docs/security.md names exactly the permissions that exist, with their reasons", () => {
  assertEquals(
    itemsOf("security.md", "The daemon needs:"),
    DAEMON_NEEDS.map((need) => {
      const feature = need.feature === null ? "always" : `\`${need.feature}\``;
      return `${feature}: \`${installedFlag(need)}\`: ${need.why}`;
    }),
  );
  assertEquals(
    itemsOf("security.md", "hactl needs:"),
    hactlGrants().map(({ flag, why }) => `\`${flag}\`: ${why}`),
  );
  assertEquals(
    itemsOf("security.md", "and only where it is used:"),
    HACTL_FEATURE_GRANTS.map(({ feature, flag, why }) => `${feature}: \`${flag}\`: ${why}`),
  );
});
