import { OWN_SOCKET } from "../../src/daemon/notify_options.ts";
import { PROGRAMS } from "../../deploy/_programs.ts";
import { INSTALLED_ONLY } from "../../deploy/_scripts.ts";
import { denoMismatch, TESTED_DENO } from "../../src/runtime/deno_release.ts";
import { daemonFlags } from "../../src/daemon/permissions.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { samplesOf } from "../support/metrics.ts";
import { Daemon, run, TempFolder } from "../support/programs.ts";
import { MariaDb, MARIADB_PROGRAMS } from "../servers/mariadb.ts";
import { serverTest } from "../servers/mod.ts";

const INSTALL = new URL("../../deploy/install.ts", import.meta.url).pathname;

async function install(folder: string): Promise<void> {
  const permissions = ["--allow-run", "--allow-read", "--allow-write"];
  const args = ["run", "--no-prompt", ...permissions, INSTALL, folder];
  const { code, stderr } = await run(Deno.execPath(), args);
  assertEquals(code, 0, stderr);
}

Deno.test("the installed scripts", async (t) => {
  using folder = new TempFolder();
  await install(folder.path);
  const bin = folder.file("bin");
  const home = folder.file("lib/hacheck");
  const env = { PATH: `${bin}:/usr/bin:/bin` };

  await t.step("run by each of their names", async () => {
    Deno.symlinkSync(Deno.execPath(), `${bin}/deno`);
    const version = { code: 0, stdout: `hacheck ${VERSION}\n`, stderr: "" };
    assertEquals(await run(`${bin}/hacheck`, ["--version"], env), version);
    const old = await run(`${bin}/hadown`, ["--spool-root", folder.path], env);
    assertEquals(old, {
      code: 2,
      stdout: "",
      stderr: "hactl: down needs the name of a service (see hactl --help)\n",
    });
    Deno.removeSync(`${bin}/deno`);
  });

  await t.step(
    "start deno with their permissions, and without its check for newer releases",
    async () => {
      // This deno prints its environment and its arguments.
      folder.write(
        "bin/deno",
        '#!/bin/sh\nprintf "%s\\n" "$DENO_NO_UPDATE_CHECK" "$OTEL_PROPAGATORS" "$@"\n',
      );
      Deno.chmodSync(`${bin}/deno`, 0o755);
      for (const { name, flags, aliases } of PROGRAMS) {
        for (const [alias, args] of Object.entries({ [name]: [], ...aliases })) {
          const { code, stdout } = await run(`${bin}/${alias}`, ["a b", ""], env);
          const options = [
            "--quiet",
            "--config",
            `${home}/deno.json`,
            "--no-lock",
            ...INSTALLED_ONLY,
          ];
          const program = [...options, `${home}/src/start_${name}.js`, ...args];
          const called = [
            "1",
            "tracecontext",
            "run",
            ...flags(`${home}/`),
            ...program,
            "a b",
            "",
            "",
          ];
          assertEquals({ code, called: stdout.split("\n") }, { code: 0, called }, alias);
        }
      }
      for (
        const [socket, granted] of [
          ["/run/systemd/notify", "/run/systemd/notify"],
          ["@/org/example", null],
          ["/run/x,/etc", null],
          ["/run/x --allow-all", null],
        ]
      ) {
        const { stdout } = await run(`${bin}/hacheck`, [], { ...env, NOTIFY_SOCKET: socket! });
        const flags = stdout.split("\n").filter((line) => line.startsWith("--allow-"));
        assertEquals(
          flags.slice(3),
          granted === null ? [] : [
            "--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC",
            `--allow-read=${OWN_SOCKET}`,
            `--allow-write=${OWN_SOCKET},${granted}`,
          ],
        );
      }
      Deno.removeSync(`${bin}/deno`);
    },
  );

  await t.step("report where they looked for deno, if there is none", async () => {
    const script = Deno.readTextFileSync(`${bin}/hactl`);
    const elsewhere = folder.file("elsewhere");
    folder.write("haup", script.replaceAll("/usr/local/bin", elsewhere));
    const { code, stdout, stderr } = await run("/bin/sh", [folder.file("haup"), "web"], {
      PATH: folder.path,
    });
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    const looked =
      `needs deno ${TESTED_DENO}: found no deno in any of ${folder.path}:${elsewhere}:`;
    assertEquals(stderr.slice(0, `haup: ${looked}`.length), `haup: ${looked}`);
  });

  await t.step("reject another minor release of Deno before they load the program", async () => {
    const preload = folder.write(
      "other_release.js",
      'Object.defineProperty(Deno, "version", { value: { ...Deno.version, deno: "2.8.0" } });\n',
    );
    folder.write(
      "bin/deno",
      `#!/bin/sh\nshift; exec ${Deno.execPath()} run --preload=${preload} "$@"\n`,
    );
    Deno.chmodSync(`${bin}/deno`, 0o755);
    for (const { name, entry, aliases } of PROGRAMS) {
      // Another release may not be able to parse the program.
      Deno.writeTextFileSync(`${home}/src/${entry.replace(".ts", ".js")}`, "not JavaScript");
      for (const alias of [name, ...Object.keys(aliases)]) {
        const stderr = `${name}: ${denoMismatch("2.8.0")}\n`;
        assertEquals(await run(`${bin}/${alias}`, [], env), { code: 1, stdout: "", stderr }, alias);
      }
    }
  });
});

Deno.test("the bundle of hactl has its commands in a file of their own", async () => {
  using folder = new TempFolder();
  await install(folder.path);
  await install(folder.path);
  const files = [...Deno.readDirSync(folder.file("lib/hacheck/src/cli"))].map(({ name }) => name);
  assertEquals(files.length, 3, files.join());

  Deno.symlinkSync(Deno.execPath(), folder.file("bin/deno"));
  const env = { PATH: `${folder.file("bin")}:/usr/bin:/bin`, NO_COLOR: "1" };
  const hactl = (...args: string[]) => run(folder.file("bin/hactl"), args, env);
  const help = await hactl("help", "down");
  assertEquals([help.code, help.stderr], [0, ""]);
  assertMatch(help.stdout, /^hactl down SERVICE\.\.\. /);
  const remote = await hactl("status", "--daemon", "http://127.0.0.1:1");
  assertEquals([remote.code, remote.stdout], [1, ""]);
  assertMatch(remote.stderr, /^hactl: http:\/\/127\.0\.0\.1:1: Connection refused/);
});

/** Finds the modules that a module imports statically, itself included. */
function readAtStart(module: string, known = new Map<string, string>()): Map<string, string> {
  if (known.has(module)) return known;
  const code = Deno.readTextFileSync(module);
  known.set(module, code);
  for (const [, imported] of code.matchAll(/^(?:import|export|\})[^"\n]*"(\.{1,2}\/[^"]+)"/gm)) {
    readAtStart(new URL(imported!, `file://${module}`).pathname, known);
  }
  return known;
}

Deno.test("the installed programs load neither Deno's Node layer nor the page at their start", async () => {
  using folder = new TempFolder();
  await install(folder.path);
  for (const program of ["main.js", "src/daemon/worker.js", "cli/hactl.js"]) {
    const modules = readAtStart(folder.file(`lib/hacheck/src/${program}`));
    assert(modules.size > 1, program);
    for (const [module, code] of modules) {
      const imported = [...code.matchAll(/^(?:import|export|\})[^"\n]*"(node:[^"]+)"/gm)];
      assertEquals(imported.map(([found]) => found), [], module);
      assert(!code.includes("<!DOCTYPE html>"), module);
    }
  }
});

Deno.test("install.ts does not disturb a running daemon of another release", async () => {
  using folder = new TempFolder();
  await install(folder.path);
  const project = folder.file("lib/hacheck/");
  await using daemon = await Daemon.start({ entry: `${project}src/main.js` });
  // Another release has files with other names.
  Deno.removeSync(`${project}src`, { recursive: true });
  assertMatch((await daemon.get("/", { accept: "text/html" })).body, /^<!DOCTYPE html>/);
  assertEquals((await daemon.get("/metrics")).status, 200);
  assertMatch((await daemon.get("/https/web/1")).body, /refused/i);
});

Deno.test("the installed daemon exports its metrics, with several workers too", async () => {
  using folder = new TempFolder();
  await install(folder.path);
  const project = folder.file("lib/hacheck/");
  const start = (workers: string) =>
    Daemon.start({
      entry: `${project}src/main.js`,
      grants: daemonFlags({ project }).filter((flag) => flag.startsWith("--allow-read")),
      args: ["-n", workers],
    });
  for (const workers of ["1", "2"]) {
    await using daemon = await start(workers);
    assertEquals((await daemon.get("/spool/web/0")).status, 200);
    const { status, body } = await daemon.get("/metrics");
    assertEquals(status, 200, body);
    const samples = samplesOf(body);
    assertEquals(samples.get('hacheck_requests_total{protocol="spool",code="200"}'), 1);
    assertEquals(samples.get("hacheck_event_loops"), Number(workers));
  }
});

serverTest(
  "the installed daemon checks with the packages that are bundled apart, with several workers too",
  MARIADB_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    await install(folder.path);
    await using server = await MariaDb.start();
    const { port } = server;
    const project = folder.file("lib/hacheck/");
    for (const workers of ["1", "2"]) {
      await using daemon = await Daemon.start({
        entry: `${project}src/main.js`,
        config: "mysql_username: nobody\nmysql_password: wrong\n",
        grants: daemonFlags({ project }).filter((flag) => flag.startsWith("--allow-read")),
        args: ["-n", workers],
      });
      const { status, body } = await daemon.get(`/mysql/db/${port}`);
      assertEquals(status, 500, body);
      assertMatch(body, /^MySQL sez .*Access denied/);
      assertEquals((await daemon.get(`/tcp/db/${port}`)).status, 200);
      assertMatch((await daemon.get("/", { accept: "text/html" })).body, /^<!DOCTYPE html>/);
      assertMatch((await daemon.get("/page.js")).body, /new EventSource/);
      // Nothing listens on port 1: the check needs the other package.
      assertMatch((await daemon.get("/postgres/db/1")).body, /No PostgreSQL|refused/i);
    }
  },
);
