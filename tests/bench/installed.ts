import { run, TempFolder } from "../support/programs.ts";

const INSTALL = new URL("../../deploy/install.ts", import.meta.url).pathname;

/** The entry modules of the installed programs. Disposing removes the installation. */
export interface Installed extends Disposable {
  /** The daemon's entry module. */
  readonly hacheck: string;
  /** hactl's entry module. */
  readonly hactl: string;
}

/** Installs the programs into a temporary folder. */
export async function installed(): Promise<Installed> {
  const folder = new TempFolder();
  const permissions = ["--allow-run", "--allow-read", "--allow-write"];
  const args = ["run", "--no-prompt", ...permissions, INSTALL, folder.path];
  const { code, stderr } = await run(Deno.execPath(), args);
  if (code !== 0) throw new Error(`cannot install: ${stderr}`);
  const home = folder.file("lib/hacheck/src");
  return {
    hacheck: `${home}/start_hacheck.js`,
    hactl: `${home}/start_hactl.js`,
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}
