/**
 * Writes the manual pages hactl(1) and hacheck(8).
 *
 *     man.ts [FOLDER]
 *
 * They go to `dist`, or to the folder that is named.
 *
 * @module
 */

import { hacheckPage, hactlPage } from "./_man.ts";
import { PROJECT } from "./_programs.ts";

const [folder = "dist"] = Deno.args;
const date = new Date().toISOString().slice(0, 10);
const readme = await Deno.readTextFile(`${PROJECT}README.md`);
const configuration = await Deno.readTextFile(`${PROJECT}docs/configuration.md`);
await Deno.mkdir(folder, { recursive: true });
await Deno.writeTextFile(`${folder}/hactl.1`, hactlPage(date));
await Deno.writeTextFile(`${folder}/hacheck.8`, hacheckPage(readme, configuration, date));
