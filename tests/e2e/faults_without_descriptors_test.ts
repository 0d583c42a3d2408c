import { assertEquals } from "../support/assert.ts";
import { FORM } from "../support/forms.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** Runs a program with a limit of 150 open files. */
const LIMITED = ["sh", "-c", 'ulimit -n 150 && exec "$@"', "sh"];

/** Code that runs in the daemon before its own: uses up all descriptors but some for half a second. */
const USE_UP = `
  const root = Deno.args[Deno.args.indexOf("--spool-root") + 1];
  const { openSync } = Deno;
  const useUp = (spared) => {
    const files = [];
    setTimeout(() => files.forEach((file) => file.close()), 500);
    try {
      for (;;) files.push(openSync(root));
    } catch {
      for (let i = 0; i < spared; i++) files.pop().close();
    }
  };
`;

/** Internal errors while no file can be opened: where, how to cause them, and what is logged. */
const ERRORS: readonly {
  where: string;
  code: (spared: number) => string;
  request: (daemon: Daemon) => Promise<unknown>;
  logged: RegExp;
}[] = [
  {
    where: "the router",
    code: (spared) => `Deno.memoryUsage = () => { useUp(${spared}); throw new Error("struck"); };`,
    request: (daemon) => daemon.get("/debug/runtime"),
    logged: /ERROR internal error in a response: Error: struck.*/,
  },
  {
    where: "a checker",
    // The pipeline calls it with the code of a verdict.
    code: (spared) => `
      const { hasOwn } = Object;
      Object.hasOwn = (object, key) => {
        if (key !== 503) return hasOwn(object, key);
        useUp(${spared});
        throw new Error("struck");
      };`,
    request: (daemon) => daemon.get("/tcp/web/1"),
    logged: /ERROR Internal error in the tcp check of web: Error: struck.*/,
  },
  {
    where: "a change of the spool",
    code: (spared) =>
      `Deno.open = () => { useUp(${spared}); return Promise.reject(new Error("struck")); };`,
    request: (daemon) =>
      fetch(daemon.url("/spool/web/0"), {
        method: "POST",
        headers: { connection: "close" },
        body: new URLSearchParams("status=down&reason=maint"),
      }).then((response) => response.text()),
    logged: /ERROR cannot take down web: Error: struck.*/,
  },
  {
    where: "a promise that nothing awaits",
    code: (spared) =>
      `Deno.connect = () => {
        useUp(${spared});
        Promise.reject(new Error("struck"));
        return new Promise(() => {});
      };`,
    request: (daemon) => daemon.get("/tcp/web/1"),
    logged: /ERROR internal error: Error: struck.*/,
  },
];

for (const { where, code, request, logged } of ERRORS) {
  for (const spared of [0, 1]) {
    const left = ["no", "one"][spared];
    Deno.test(`a daemon with ${left} free descriptor survives and logs an error in ${where}`, async () => {
      using folder = new TempFolder();
      await using daemon = await Daemon.start({
        wrapper: LIMITED,
        config: "allow_remote_spool_changes: true\nhealthcheck_timeout: 1\n",
        allGrants: (spool) => [
          `--preload=${folder.write("strike.js", USE_UP + code(spared))}`,
          ...["--no-prompt", "--allow-net", `--allow-read=${spool}`, `--allow-write=${spool}`],
        ],
      });
      // This request may get no response.
      await request(daemon).catch(() => {});
      const [line] = await daemon.logged(logged);
      // Without a descriptor, only modules that need no source map have a stack.
      const hasStack = spared > 0 || FORM === "installed" || FORM === "package";
      assertEquals(line.includes("\\n    at "), hasStack, line);
      await until(
        "the daemon responds",
        async () => (await daemon.get("/spool/api/0")).status === 200,
      );
    });
  }
}
