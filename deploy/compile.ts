/**
 * Builds hacheck and hactl: programs of one file, with their permissions inside.
 *
 *     compile.ts [FOLDER]
 *
 * They go to `dist`, or to the folder that is named.
 *
 * `deno compile` fetches its base program from Deno's site, unless `DENORT_BIN` names one.
 *
 * @module
 */

import { daemonGrants, flagsOf, type Grant, hactlGrants } from "../src/permissions.ts";

/** What is built: the program's name, its first module and what it may do. */
const PROGRAMS: readonly { name: string; entry: string; grants: readonly Grant[] }[] = [
  { name: "hacheck", entry: "main.ts", grants: daemonGrants() },
  { name: "hactl", entry: "cli/hactl.ts", grants: hactlGrants() },
];

const folder = Deno.args[0] ?? "dist";
for (const { name, entry, grants } of PROGRAMS) {
  // Without --exclude-unused-npm, hactl would carry the daemon's MySQL client.
  const args = [
    "compile",
    "--exclude-unused-npm",
    ...flagsOf(grants),
    "--output",
    `${folder}/${name}`,
    entry,
  ];
  const { code } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  if (code !== 0) {
    console.error(
      `Cannot build ${folder}/${name}: set DENORT_BIN to the denort program of this Deno's release ` +
        "if it cannot be fetched",
    );
    Deno.exit(1);
  }
}
