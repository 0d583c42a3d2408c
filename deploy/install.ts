/**
 * Installs hacheck and hactl, and hactl's older names, as scripts that run this checkout with Deno.
 *
 *     install.ts FOLDER
 *
 * They go to `FOLDER/bin`.
 *
 * @module
 */

import { deno, PROGRAMS, PROJECT } from "./_programs.ts";

const [folder] = Deno.args;
if (folder === undefined) {
  console.error("Cannot install: expected the folder to install to, such as /usr/local");
  Deno.exit(2);
}
for (const { name, entry, flags, aliases } of PROGRAMS) {
  for (const [alias, args] of Object.entries({ [name]: [], ...aliases })) {
    // The script gets a copy of deno.json to itself, which no lock file has been written for.
    const where = ["--root", folder, "--name", alias, "--config", "deno.json", "--frozen=false"];
    const script = [...flags(PROJECT), entry, ...args.length > 0 ? ["--", ...args] : []];
    await deno(["install", "--global", "--force", ...where, ...script], `Cannot install ${alias}`);
  }
}
