import { PROGRAMS } from "../../deploy/_programs.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { serverTest } from "../servers/mod.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { DisposableSystem } from "../support/disposable_system.ts";
import {
  ask,
  build,
  BUILD_PROGRAMS,
  PACKAGE,
  PACKAGE_PROGRAMS,
  packagePath,
  startService,
  stopService,
} from "../support/installed_package.ts";
import { run, TempFolder } from "../support/programs.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** Runs a program that has to succeed, and returns its output. */
async function outputOf(...[program, ...args]: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program!, args);
  assertEquals(code, 0, stdout + stderr);
  return stdout;
}

serverTest(
  "deb.ts builds the same package, byte for byte, with another umask, time zone and time",
  BUILD_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const wrapper = ["sh", "-c", 'umask 077; exec "$@"', "sh"];
    const env = { TZ: "Pacific/Auckland" };
    const again = await build(["--scripts", folder.path], { wrapper, env });
    assertEquals(again.code, 0, again.stderr);
    assertEquals(Deno.readFileSync(folder.file(PACKAGE)), Deno.readFileSync(await packagePath()));
  },
);

serverTest("the package passes lintian", [...BUILD_PROGRAMS, "lintian"], async () => {
  const args = ["--fail-on=error,warning", await packagePath()];
  const { code, stdout } = await run("lintian", args);
  assertEquals({ code, stdout }, { code: 0, stdout: "" });
});

serverTest(
  "deb.ts packs scripts, and reports it, where the programs cannot be compiled",
  [...BUILD_PROGRAMS, "unshare"],
  async () => {
    using folder = new TempFolder();
    // Without a network, Deno cannot fetch its base program. It may be in the cache.
    const wrapper = ["unshare", "--map-root-user", "--net", "env", "--unset=DENORT_BIN"];
    const { code, stderr } = await build([folder.path], { wrapper });
    assertEquals(code, 0, stderr);
    const [{ name }, ...others] = [...Deno.readDirSync(folder.path)] as [Deno.DirEntry];
    assertEquals(others, []);
    const isReported = stderr.includes(
      "cannot be compiled here: packing scripts that run with the host's",
    );
    assertEquals(isReported, name === PACKAGE, `${name}: ${stderr}`);
  },
);

serverTest("deb.ts rejects compiled programs that do not run", BUILD_PROGRAMS, async () => {
  using folder = new TempFolder();
  const { code, stderr } = await build([folder.path], { env: { DENORT_BIN: "/bin/true" } });
  assertEquals(code, 1);
  assertMatch(stderr, /hacheck was compiled and does not run: DENORT_BIN must name the denort/);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

serverTest("the package has the licenses of its libraries", BUILD_PROGRAMS, async () => {
  using folder = new TempFolder();
  await outputOf("dpkg-deb", "--extract", await packagePath(), folder.path);
  const terms = Deno.readTextFileSync(folder.file("usr/share/doc/hacheck/copyright"));
  assert(terms.includes(Deno.readTextFileSync(`${PROJECT}LICENSE`)));
  // split2 is a dependency of pg.
  for (const library of ["mysql2", "pg", "valibot", "lru.min", "split2"]) {
    assertMatch(terms, new RegExp(String.raw`^${library} [\d.]+\n-+\n\n\S`, "m"));
  }
  assert(!terms.includes("fast-check"), "a library of the tests");
});

serverTest(
  "the package has completions and a manual page for each name",
  BUILD_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    await outputOf("dpkg-deb", "--extract", await packagePath(), folder.path);
    const names = PROGRAMS.flatMap(({ name, aliases }) =>
      Object.keys(aliases).map((alias) => [name, alias] as const)
    );
    for (const [name, alias] of names) {
      for (
        const [path, target] of [
          [`bin/${alias}`, name],
          [`share/bash-completion/completions/${alias}`, name],
          [`share/fish/vendor_completions.d/${alias}.fish`, `${name}.fish`],
          [`share/man/man1/${alias}.1.gz`, `${name}.1.gz`],
        ] as const
      ) {
        assertEquals(Deno.readLinkSync(folder.file(`usr/${path}`)), target, path);
        Deno.statSync(folder.file(`usr/${path}`));
      }
    }
    // zsh reads the names that a file completes from the file.
    const zsh = Deno.readTextFileSync(folder.file("usr/share/zsh/vendor-completions/_hactl"));
    assertMatch(zsh, new RegExp(`^#compdef .*${names.map(([, alias]) => alias).join(" ")}`));
  },
);

/** Files of dpkg itself, and backups of the user database. */
const NOTES =
  /^\w+ \/(?:var\/(?:lib\/dpkg|cache\/man|log\/dpkg\.log$)|etc\/g?(?:passwd|group|shadow)-$)/;

/** The files that differ from those of the host. */
async function changesOf(system: DisposableSystem): Promise<string[]> {
  return (await system.changes()).filter((line) => !NOTES.test(line));
}

/** Runs dpkg, and answers its questions by the enter key. */
async function dpkg(system: DisposableSystem, ...args: readonly string[]): Promise<string> {
  return await system.sh(`yes '' | dpkg ${args.join(" ")} 2>&1`);
}

/** Makes a next version of the package, with a changed configuration. */
async function buildNext(folder: TempFolder, path: string): Promise<void> {
  const root = folder.file("next");
  await outputOf("dpkg-deb", "--raw-extract", path, root);
  const change = async (file: string, from: RegExp, to: string) => {
    const text = await Deno.readTextFile(`${root}/${file}`);
    assertMatch(text, from);
    await Deno.writeTextFile(`${root}/${file}`, text.replace(from, to));
  };
  await change("DEBIAN/control", /^Version: .*$/m, "Version: 999-1");
  await change("etc/hacheck/hacheck.yaml", /^/, "# A new comment.\n");
  await change("usr/lib/hacheck/src/main.js", /$/, "\n// The next version.\n");
  await outputOf("dpkg-deb", "--root-owner-group", "--build", root, folder.file("next.deb"));
}

async function installUpgradePurge(): Promise<void> {
  using folder = new TempFolder();
  Deno.copyFileSync(await packagePath(), folder.file(PACKAGE));
  await buildNext(folder, folder.file(PACKAGE));
  await using system = await DisposableSystem.start(folder.path);
  const hactl = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await system.run("hactl", ...args);
    assertEquals(stderr, "");
    return { code, stdout };
  };
  const before = await changesOf(system);

  // Installed: user, folders and unit exist, and the service runs.
  await dpkg(system, "--install", `/mnt/${PACKAGE}`);
  const modes = await system.sh(
    "stat --format '%n %a %U:%G' /var/spool/hacheck /etc/hacheck /etc/hacheck/hacheck.yaml",
  );
  assertEquals(
    modes,
    "/var/spool/hacheck 750 root:hacheck\n/etc/hacheck 750 root:hacheck\n" +
      "/etc/hacheck/hacheck.yaml 640 root:hacheck\n",
  );
  const wanted = await system.sh(
    "readlink /etc/systemd/system/multi-user.target.wants/hacheck.service",
  );
  assertEquals(wanted, "/lib/systemd/system/hacheck.service\n");
  await startService(system);
  assertEquals(await ask(system, "/spool/web/0/status"), { code: 0, stdout: "200 ", stderr: "" });
  for (const { name, aliases } of PROGRAMS) {
    for (const alias of [name, ...Object.keys(aliases)]) {
      assertEquals(await system.sh(`${alias} --version`), `${name} ${VERSION}\n`);
    }
  }
  const check = `setpriv --reuid=hacheck --regid=hacheck --clear-groups \\
    $(sed -n 's/^ExecReload=//p' /lib/systemd/system/hacheck.service | head -n 1)`;
  assertEquals(await system.sh(check), "/etc/hacheck/hacheck.yaml: valid\n");
  assertEquals(await hactl("down", "web", "-r", "maint"), { code: 0, stdout: "" });
  assertEquals(await hactl("status", "web"), { code: 1, stdout: "DOWN\tinf\tweb\tmaint\n" });
  assertMatch(
    (await ask(system, "/tcp/web/8080")).stdout,
    /^Service web in down state .*maint503 /,
  );

  for (const page of ["8 hacheck", "1 hactl", "1 haup"]) {
    assertMatch(
      await system.sh(`man --where ${page}`),
      /^\/usr\/share\/man\/man\d\/\w+\.\d\.gz\n$/,
    );
  }
  const completes =
    "bash -c '. /usr/share/bash-completion/completions/haup; complete -p haup hactl'";
  assertEquals(await system.sh(completes), "complete -F _hactl haup\ncomplete -F _hactl hactl\n");

  // Upgraded: the operator's configuration and records stay.
  await system.sh("echo 'http_headers_to_copy: [X-Mine]' >>/etc/hacheck/hacheck.yaml");
  const asked = await dpkg(system, "--install", "/mnt/next.deb");
  assertMatch(asked, /hacheck\.yaml \(Y\/I\/N\/O\/D\/Z\) \[default=N\]/);
  const configuration = await system.sh("cat /etc/hacheck/hacheck.yaml");
  assertMatch(configuration, /\nhttp_headers_to_copy: \[X-Mine\]\n$/);
  assert(!configuration.includes("A new comment."));
  assertMatch(await system.sh("cat /etc/hacheck/hacheck.yaml.dpkg-dist"), /^# A new comment\.\n/);
  await stopService(system);
  await startService(system);
  assertMatch(
    (await ask(system, "/tcp/web/8080")).stdout,
    /^Service web in down state .*maint503 /,
  );
  assertEquals(
    await system.sh("stat --format '%a %U:%G' /etc/hacheck/hacheck.yaml"),
    "640 root:hacheck\n",
  );

  // logrotate rotates a log_path in /var/log/hacheck.
  await stopService(system);
  await system.sh(`
    install --directory --owner hacheck --group hacheck /var/log/hacheck
    echo 'log_path: /var/log/hacheck/hacheck.log' >>/etc/hacheck/hacheck.yaml
  `);
  await startService(system);
  await system.sh("logrotate --force --state /tmp/rotated /etc/logrotate.d/hacheck");
  await stopService(system);
  const [older, newer] = ["hacheck.log.1", "hacheck.log"].map((name) =>
    system.sh(`cat /var/log/hacheck/${name}`)
  );
  assertMatch(await older!, /listens on 0\.0\.0\.0 port 3333\n$/);
  assertMatch(await newer!, /^\S+ INFO stopping on SIGTERM\n$/);

  // hacheck may use the configuration and the log of the Python hachecks, and of PaaSTA.
  for (const name of ["hacheck.yaml", "hacheck.conf.yaml"]) {
    await system.sh(`
      echo 'log_path: /var/log/hacheck.log' >/etc/${name}
      hacheck -c /etc/${name} -p 0 & pid=$!
      until grep --quiet 'listens on' /var/log/hacheck.log; do sleep 0.1; done
      kill $pid
      wait $pid
      rm /etc/${name} /var/log/hacheck.log
    `);
  }

  // Removed: the records and the configuration stay.
  await dpkg(system, "--remove", "hacheck");
  assertEquals((await system.run("hactl", "--version")).code, 127);
  await system.sh("test -e /var/spool/hacheck/web -a -e /etc/hacheck/hacheck.yaml");

  // Purged: nothing stays.
  await dpkg(system, "--purge", "hacheck");
  assertEquals(await changesOf(system), before);
  assertEquals(
    await system.sh(
      "cat /var/lib/dpkg/info/hacheck.* 2>&1 || true; dpkg --list | grep hacheck || true",
    ),
    "cat: '/var/lib/dpkg/info/hacheck.*': No such file or directory\n",
  );
}

const LIFE =
  "the package installs, runs, keeps configuration and records at an upgrade, and purges without a trace";
const LIFE_PROGRAMS = [...PACKAGE_PROGRAMS, "man", "logrotate"];
if (Deno.uid() === 0) serverTest(LIFE, LIFE_PROGRAMS, installUpgradePurge);
else Deno.test({ name: `${LIFE} (needs root)`, ignore: true, fn: installUpgradePurge });
