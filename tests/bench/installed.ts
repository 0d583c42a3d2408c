import { run, TempFolder } from "../support/programs.ts";

const INSTALL = new URL("../../deploy/install.ts", import.meta.url).pathname;

/** The programs' first modules, as they are installed, for as long as they are. */
export interface Installed extends Disposable {
  /** The daemon's. */
  readonly hacheck: string;
  /** hactl's. */
  readonly hactl: string;
}

/** Installs the programs. */
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
