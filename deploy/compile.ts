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

import { deno, PROGRAMS } from "./_programs.ts";

const [folder = "dist"] = Deno.args;
for (const { name, entry, workers, flags } of PROGRAMS) {
  const output = `${folder}/${name}`;
  const included = workers.flatMap((worker) => ["--include", worker]);
  await deno(
    // Without --exclude-unused-npm, hactl would carry the daemon's MySQL client.
    [
      ...["compile", "--exclude-unused-npm", ...included],
      ...[...flags(null), "--output", output, entry],
    ],
    `Cannot build ${output}: if Deno's base program cannot be fetched, set DENORT_BIN to the denort of this release`,
  );
}
