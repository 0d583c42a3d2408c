import config from "../../../deno.json" with { type: "json" };
import {
  absolute,
  DAEMON_NEEDS,
  daemonFlags,
  HACTL_FILE_FLAGS,
  hactlFlags,
  hactlGrants,
  installedFlag,
  LOCKED_ADDRESSES,
  minimalDaemonFlags,
} from "../../../src/daemon/permissions.ts";
import { assertEquals } from "../../support/assert.ts";
import { itemsOf } from "../../support/docs.ts";

/** The flags that a task gives to `deno run`. */
function taskFlags(task: { command: string }): string[] {
  const [, flags = ""] = /deno run (.*?) \S+\.ts/.exec(task.command) ?? [];
  return flags.split(" ").filter((flag) => flag !== "--watch")
    .map((flag) => flag.replace(/^'(.*)'$/, "$1"));
}

Deno.test("the tasks in deno.json grant the permissions of the plan", () => {
  const { tasks } = config;
  assertEquals(taskFlags(tasks.start), daemonFlags({ project: "" }));
  assertEquals(
    taskFlags(tasks["start:locked"]),
    daemonFlags({ project: "", addresses: LOCKED_ADDRESSES }),
  );
  assertEquals(taskFlags(tasks.dev), minimalDaemonFlags(".spool"));
  assertEquals(taskFlags(tasks.hactl), hactlFlags(".spool"));
});

Deno.test("docs/security.md names exactly the permissions of the plan, with their reasons", () => {
  assertEquals(
    itemsOf("security.md", "The daemon needs:"),
    [...Map.groupBy(DAEMON_NEEDS, (need) => `\`${installedFlag(need)}\`: ${need.why}`)]
      .map(([grant, needs]) => {
        const features = needs.map(({ feature }) => feature === null ? "always" : `\`${feature}\``);
        return `${features.join(", ")}: ${grant}`;
      }),
  );
  assertEquals(
    itemsOf("security.md", "hactl needs:"),
    hactlGrants().map(({ flag, why }) => `\`${flag}\`: ${why}`),
  );
  assertEquals(
    itemsOf("security.md", "and only where it is used:"),
    Object.entries(HACTL_FILE_FLAGS).map(([name, why]) =>
      `\`--${name} FILE\`: \`--allow-read=FILE\`: ${why}`
    ),
  );
});

Deno.test("absolute() resolves dots, surplus slashes and relative paths", () => {
  for (
    const [path, expected] of [
      ["/", "/"],
      ["/..", "/"],
      ["/var//spool/./hacheck/", "/var/spool/hacheck"],
      ["/var/spool/../log/.hidden/...", "/var/log/.hidden/..."],
      ["/a b/%2e%2e/\\..\\c?#", "/a b/%2e%2e/\\..\\c?#"],
      [".", Deno.cwd()],
      ["./a/../b", `${Deno.cwd()}/b`],
    ] as const
  ) {
    assertEquals(absolute(path), expected);
  }
});
