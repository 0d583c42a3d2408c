/**
 * Compiles hacheck and hactl, each to one file that includes its permissions.
 *
 *     compile.ts [FOLDER [--places FOLDER]]
 *
 * The programs go to FOLDER, or to `dist`. With `--places`, their permissions have that folder instead of those
 * of spool, configuration and logs: for tests.
 *
 * `deno compile` fetches its base program from Deno's site, unless `DENORT_BIN` names one.
 *
 * @module
 */

import { deno, PROGRAMS } from "./_programs.ts";

/** The folders in permissions. */
const PLACES = /\/(?:var\/spool|var\/log|etc)\/hacheck[\w.]*/g;

const [folder = "dist", option, places] = Deno.args;
if (option !== undefined && (option !== "--places" || places === undefined)) {
  console.error("Usage: compile.ts [FOLDER [--places FOLDER]]");
  Deno.exit(2);
}
for (const { name, entry, workers, flags } of PROGRAMS) {
  const output = `${folder}/${name}`;
  const included = workers.flatMap((worker) => ["--include", worker]);
  await deno(
    // Without --exclude-unused-npm, hactl would include the daemon's MySQL client.
    [
      ...["compile", "--exclude-unused-npm", ...included],
      ...flags(null).map((flag) => flag.replaceAll(PLACES, (place) => places ?? place)),
      ...["--output", output, entry],
    ],
    `Cannot build ${output}: if Deno's base program cannot be fetched, set DENORT_BIN to the denort of this release`,
  );
}
