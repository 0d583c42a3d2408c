import { assert, assertEquals } from "../support/assert.ts";
import { commandOf } from "../support/forms.ts";
import { Daemon, run, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { serverTest } from "../servers/mod.ts";

/** Runs a program with a soft limit of 150 open files, and a hard limit of 300. */
const LIMITED = ["sh", "-c", 'ulimit -S -n 150 && ulimit -H -n 300 && exec "$@"', "sh"];

for (const workers of [1, 3]) {
  const args = ["-n", String(workers)];
  for (const wanted of ["max", 64, 200, 300]) {
    serverTest(
      `with -n ${workers}, a daemon accepts rlimit_nofile: ${wanted} with a hard limit of 300`,
      [
        "prlimit",
      ],
      async () => {
        await using daemon = await Daemon.start({
          ...{ wrapper: LIMITED, args, grants: WORKER_GRANTS },
          config: `rlimit_nofile: ${wanted}\n`,
        });
        const { stdout } = await run("prlimit", [
          ...["--pid", String(daemon.pid), "--nofile", "--noheadings", "--output", "SOFT,HARD"],
        ]);
        assertEquals(stdout.trim().split(/\s+/), ["300", "300"]);
        const open = await run("ls", [`/proc/${daemon.pid}/fd`]);
        assert(open.stdout.split("\n").length < 150, "the counted descriptors are closed");
        const answers = Array.from({ length: 20 }, () => daemon.get("/spool/web/0"));
        for (const { status } of await Promise.all(answers)) assertEquals(status, 200);
      },
    );
  }

  for (const wanted of [301, 1_000_000]) {
    Deno.test(`with -n ${workers}, a daemon rejects rlimit_nofile: ${wanted} with a hard limit of 300`, async () => {
      using folder = new TempFolder();
      const config = folder.write("hacheck.yaml", `rlimit_nofile: ${wanted}\n`);
      const [command, ...rest] = [
        ...[...LIMITED, "timeout", "60"],
        ...commandOf("hacheck", {
          spool: folder.path,
          grants: [...WORKER_GRANTS, `--allow-read=${config}`],
        }),
        ...[...args, "-c", config, "-p", "0", "-B", "127.0.0.1", "--spool-root", folder.path],
      ];
      assertEquals(await run(command!, rest, { NO_COLOR: "1" }), {
        code: 1,
        stdout: "",
        stderr: `hacheck: rlimit_nofile: expected at most 300, the hard limit: found ${wanted}\n`,
      });
    });
  }
}
