import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../assert.ts";
import { run, TempFolder } from "../programs.ts";

const INSTALL = new URL("../../deploy/install.ts", import.meta.url).pathname;

Deno.test("what is installed without compiling runs under its names", async () => {
  using folder = new TempFolder();
  const args = ["run", "--no-prompt", "--allow-run", INSTALL, folder.path];
  const { code, stderr } = await run(Deno.execPath(), args);
  assertEquals(code, 0, stderr);

  // The scripts run whatever is called deno.
  const bin = folder.file("bin");
  Deno.symlinkSync(Deno.execPath(), `${bin}/deno`);
  const env = { PATH: `${bin}:/usr/bin:/bin` };
  const version = { code: 0, stdout: `hacheck ${VERSION}\n`, stderr: "" };
  assertEquals(await run(`${bin}/hacheck`, ["--version"], env), version);
  const old = await run(`${bin}/hadown`, ["--spool-root", folder.path], env);
  assertEquals(old, {
    code: 2,
    stdout: "",
    stderr: "hactl: down needs the name of a service (hactl --help tells more)\n",
  });
});
