/**
 * Installs hacheck, hactl and hactl's older names as scripts that run with the host's deno.
 *
 *     install.ts FOLDER [PREFIX]
 *
 * The scripts go to `FOLDER/bin`, and the code to `FOLDER/lib/hacheck`. PREFIX is the path that FOLDER will have
 * on the host, if that is another.
 *
 * @module
 */

import { installScripts } from "./_scripts.ts";

const [folder, prefix] = Deno.args;
if (folder === undefined) {
  console.error("Cannot install: expected the folder to install to, such as /usr/local");
  Deno.exit(2);
}
await Deno.mkdir(folder, { recursive: true });
await installScripts(await Deno.realPath(folder), prefix);
