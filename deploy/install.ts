/**
 * Installs hacheck and hactl, and hactl's older names, as scripts that run with the Deno of the host.
 *
 *     install.ts FOLDER
 *
 * The scripts go to `FOLDER/bin`, and what they run to `FOLDER/lib/hacheck`.
 *
 * @module
 */

import { bundle, bundled } from "./_bundle.ts";
import { deno, PROGRAMS } from "./_programs.ts";

const [folder] = Deno.args;
if (folder === undefined) {
  console.error("Cannot install: expected the folder to install to, such as /usr/local");
  Deno.exit(2);
}
await Deno.mkdir(`${folder}/lib/hacheck`, { recursive: true });
const home = await Deno.realPath(`${folder}/lib/hacheck`);
await bundle(home, PROGRAMS.flatMap(({ entry, workers }) => [entry, ...workers]));
for (const { name, entry, flags, aliases } of PROGRAMS) {
  for (const [alias, args] of Object.entries({ [name]: [], ...aliases })) {
    const where = ["--root", folder, "--name", alias, "--config", `${home}/deno.json`, "--no-lock"];
    const script = [...flags(`${home}/`), `${home}/${bundled(entry)}`];
    await deno(
      [
        ...["install", "--quiet", "--global", "--force", ...where, ...script],
        ...args.length > 0 ? ["--", ...args] : [],
      ],
      `Cannot install ${alias}`,
    );
  }
}
