import { installScripts } from "../../deploy/_scripts.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { Daemon, type Result, TempFolder } from "../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../servers/certificates.ts";
import { serverTest } from "../servers/mod.ts";

const TOKEN = "0123456789abcdef";

/** The paths that hactl can read with any flags. */
const ALWAYS = "--allow-read=/var/spool/hacheck,/etc/nonhumans,/etc/hacheck";

/** The installed scripts. */
class InstalledScripts implements Disposable {
  readonly folder = new TempFolder();

  private constructor() {}

  static async install(): Promise<InstalledScripts> {
    const installed = new InstalledScripts();
    await installScripts(installed.folder.path);
    Deno.symlinkSync(Deno.execPath(), installed.folder.file("bin/deno"));
    return installed;
  }

  /** Runs the script in its folder, by one of its names. */
  async run(args: readonly string[], input = "", name = "hactl"): Promise<Result> {
    const process = new Deno.Command(this.folder.file(`bin/${name}`), {
      args: [...args],
      cwd: this.folder.path,
      env: { PATH: `${this.folder.file("bin")}:/usr/bin:/bin`, NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = process.stdin.getWriter();
    // The program may have ended without reading.
    await writer.write(new TextEncoder().encode(input)).catch(() => {});
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await process.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Replaces deno by a program that prints its permissions. */
  printGrants(): void {
    Deno.removeSync(this.folder.file("bin/deno"));
    this.folder.write("bin/deno", '#!/bin/sh\nprintf "%s\\n" "$@" | grep ^--allow-read\n');
    Deno.chmodSync(this.folder.file("bin/deno"), 0o755);
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

Deno.test("the script of hactl permits hactl to read the files in its flags, and nothing else", async () => {
  using hactl = await InstalledScripts.install();
  hactl.printGrants();
  const cases: [args: string[], granted: string][] = [
    [["status"], ""],
    [["status", "--token-file", "a b"], ",a b"],
    [["status", "--token-file=/x/y"], ",/x/y"],
    [["status", "--token-file=a=b"], ",a=b"],
    [["--tok", "t", "--daemon-f=d", "--daemon-file", "e", "--ca", "c", "status"], ",t,d,e,c"],
    [["status", "--token-file", "--x"], ",--x"],
    [["status", "--token-file", "$(id)`id`*'\""], ",$(id)`id`*'\""],
    // A comma separates paths for Deno, and a folder would grant all its files.
    [["status", "--token-file", "a,/etc/shadow"], ""],
    [["status", "--token-file", "/", "--ca-file", "/etc/", "--daemon-file", "bin"], ""],
    [["status", "--token-file", "-", "--ca-file="], ""],
    [["status", "--token-file"], ""],
    [["status", "--", "--token-file", "x"], ""],
    [["status", "--timeout", "x", "--daemon", "y", "--spool-root", "z", "-c", "w"], ""],
    [["file", "named", "files"], ""],
  ];
  for (const [args, granted] of cases) {
    for (const name of ["hactl", "hastatus"]) {
      const { stdout } = await hactl.run(args, "", name);
      assertEquals(stdout, `${ALWAYS}${granted}\n`, args.join(" "));
    }
  }
});

Deno.test("the script of hacheck permits a check to read the file of -c, and the daemon no other file", async () => {
  using scripts = await InstalledScripts.install();
  scripts.printGrants();
  const cases: [args: string[], granted: string][] = [
    [["-c", "/srv/x.yaml"], ""],
    [["--config-file=/srv/x.yaml", "-p", "3333"], ""],
    [["--check-config"], ""],
    [["--check-config", "-c", "/srv/a b.yaml"], ",/srv/a b.yaml"],
    [["-c", "x.yaml", "--print-config"], ",x.yaml"],
    [["--check-config", "-c=x.yaml"], ",x.yaml"],
    [["--print-config", "--config-file=/srv/x.yaml"], ",/srv/x.yaml"],
    [["--check-config", "--config-file", "/srv/x.yaml", "-n", "2"], ",/srv/x.yaml"],
    [["--check-config", "-c", "/srv"], ""],
    [["--check-config", "-c", "a,/etc/shadow"], ""],
    [["--check-config-c", "-c", "x.yaml"], ""],
  ];
  for (const [args, granted] of cases) {
    const { stdout } = await scripts.run(args, "", "hacheck");
    assertMatch(stdout, /^--allow-read=\/var\/spool\/hacheck,.*\n$/);
    const [, found] = /deno\.json,\S*\.deno-version(.*)\n$/.exec(stdout) ?? [];
    assertEquals(found, granted, args.join(" "));
  }
});

Deno.test("the installed hacheck checks and prints a configuration in any folder", async () => {
  using scripts = await InstalledScripts.install();
  scripts.folder.write("new.yaml", "redis_password: hunter2\n");
  assertEquals(await scripts.run(["--check-config", "-c", "new.yaml"], "", "hacheck"), {
    code: 0,
    stdout: "new.yaml: valid\n",
    stderr: "",
  });
  const path = scripts.folder.file("new.yaml");
  const { code, stdout } = await scripts.run(["-c", path, "--print-config"], "", "hacheck");
  assertEquals(code, 0);
  assertStringIncludes(stdout, '\nredis_password: "********"\n');
  assertEquals(await scripts.run(["-c", path], "", "hacheck"), {
    code: 1,
    stdout: "",
    stderr: `hacheck: -c needs --allow-read=${path}\n`,
  });
});

serverTest(
  "the installed hactl reads the files in its flags, and a token from the standard input",
  CERTIFICATE_PROGRAMS,
  async () => {
    using hactl = await InstalledScripts.install();
    const { folder } = hactl;
    const authority = await Authority.create(folder, "authority");
    const { certificate, key } = await authority.issue("web", { for: "DNS:localhost" });
    await using daemon = await Daemon.start({
      config: `allow_remote_spool_changes: true
remote_spool_token: ${TOKEN}
tls_cert: ${certificate}
tls_key: ${key}
`,
      spool: folder.path,
      grants: [`--allow-read=${certificate},${key}`, `--allow-write=${folder.path}`],
    });
    const url = `https://localhost:${daemon.port}`;
    folder.write(".token", `${TOKEN}\n`);
    folder.write(".a token", `${TOKEN}\n`);
    folder.write(".daemons", `${url}\n`);
    const down = ["down", "web", "-r", "maint"];
    const trust = ["--ca-file", authority.certificate];
    const ways: [args: string[], input?: string][] = [
      [["--daemon", url, "--token-file", ".token"]],
      [["--daemon", url, `--token-file=${folder.file(".a token")}`]],
      [["--daemon-file", ".daemons", "--tok", ".token"]],
      [["--daemon-file", ".daemons", "--token-file", "-"], `${TOKEN}\n`],
      [["--daemon-file", "-", "--token-file", ".token"], `${url}\n`],
    ];
    for (const [args, input] of ways) {
      const { code, stderr } = await hactl.run([...down, ...trust, ...args], input);
      assertEquals([code, stderr], [0, ""], args.join(" "));
    }
    assertEquals((await hactl.run([...down, "--daemon", url, "--ca-file", "-"])).code, 2);

    const both = [...down, ...trust, "--daemon-file", "-", "--token-file", "-"];
    assertEquals(await hactl.run(both), {
      code: 2,
      stdout: "",
      stderr:
        "hactl: Only one flag can read the standard input: received --token-file - and --daemon-file -" +
        " (see hactl --help)\n",
    });
    const without = await hactl.run([...down, ...trust, "--daemon", url]);
    assertEquals(without.code, 1);
    assertStringIncludes(
      without.stderr,
      "401 Unauthorized: name a file with the daemon's token by --token-file",
    );
    // hactl by sudo must not show the content of root's files.
    folder.write(".secret", "# comment\nhunter2\n");
    for (const flag of ["--daemon-file", "--token-file", "--ca-file"]) {
      const { stdout, stderr } = await hactl.run([...down, "--daemon", url, flag, ".secret"]);
      assertEquals(/hunter2|comment/.test(stdout + stderr), false, stderr);
      if (flag === "--daemon-file") assertStringIncludes(stderr, "something else in line 2");
    }
    const comma = folder.write(".a,b", TOKEN);
    const refused = await hactl.run([...down, ...trust, "--daemon", url, "--token-file", comma]);
    assertEquals(refused.code, 2);
    assertStringIncludes(
      refused.stderr,
      `Cannot read --token-file ${comma}: hactl is not permitted to: ` +
        "move the file to /etc/hacheck, or use - for the standard input",
    );
  },
);
