import { assertEquals } from "../support/assert.ts";
import { FORM } from "../support/forms.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** Runs a program that may have 150 files open. */
const LIMITED = ["sh", "-c", 'ulimit -n 150 && exec "$@"', "sh"];

/**
 * Code that runs in the daemon before its own: a way to use its descriptors up, all but some, and for half a
 * second.
 */
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

/** A fault while no file can be opened: what strikes the daemon, who is struck, and what it tells of it. */
const FAULTS: readonly {
  who: string;
  code: (spared: number) => string;
  ask: (daemon: Daemon) => Promise<unknown>;
  told: RegExp;
}[] = [
  {
    who: "the router",
    code: (spared) => `Deno.memoryUsage = () => { useUp(${spared}); throw new Error("struck"); };`,
    ask: (daemon) => daemon.get("/debug/runtime"),
    told: /ERROR internal error in a response: Error: struck.*/,
  },
  {
    who: "a checker",
    // A pipeline asks it whether the code of a verdict is a status.
    code: (spared) => `
      const { hasOwn } = Object;
      Object.hasOwn = (object, key) => {
        if (key !== 503) return hasOwn(object, key);
        useUp(${spared});
        throw new Error("struck");
      };`,
    ask: (daemon) => daemon.get("/tcp/web/1"),
    told: /ERROR Internal error in the tcp check of web: Error: struck.*/,
  },
  {
    who: "a change of the spool",
    code: (spared) =>
      `Deno.open = () => { useUp(${spared}); return Promise.reject(new Error("struck")); };`,
    ask: (daemon) =>
      fetch(daemon.url("/spool/web/0"), {
        method: "POST",
        headers: { connection: "close" },
        body: new URLSearchParams("status=down&reason=maint"),
      }).then((response) => response.text()),
    told: /ERROR cannot take down web: Error: struck.*/,
  },
  {
    who: "what nobody waits for",
    code: (spared) =>
      `Deno.connect = () => {
        useUp(${spared});
        Promise.reject(new Error("struck"));
        return new Promise(() => {});
      };`,
    ask: (daemon) => daemon.get("/tcp/web/1"),
    told: /ERROR internal error: Error: struck.*/,
  },
];

for (const { who, code, ask, told } of FAULTS) {
  for (const spared of [0, 1]) {
    const left = ["no", "one"][spared];
    Deno.test(`A fault of ${who} is told of, and survived, where ${left} descriptor is left`, async () => {
      using folder = new TempFolder();
      await using daemon = await Daemon.start({
        wrapper: LIMITED,
        config: "allow_remote_spool_changes: true\nhealthcheck_timeout: 1\n",
        allGrants: (spool) => [
          `--preload=${folder.write("strike.js", USE_UP + code(spared))}`,
          ...["--no-prompt", "--allow-net", `--allow-read=${spool}`, `--allow-write=${spool}`],
        ],
      });
      // Whom it was taken from, it may have no answer for.
      await ask(daemon).catch(() => {});
      const [line] = await daemon.logged(told);
      // Without a descriptor, a stack can be had of modules that need no source map.
      const isKnown = spared > 0 || FORM === "installed" || FORM === "package";
      assertEquals(line.includes("\\n    at "), isKnown, line);
      await until("it answers", async () => (await daemon.get("/spool/api/0")).status === 200);
    });
  }
}
