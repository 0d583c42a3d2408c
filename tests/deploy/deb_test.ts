import { PROGRAMS } from "../../deploy/_programs.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { run, TempFolder } from "../support/programs.ts";
import {
  ask,
  build,
  buildScripts,
  PACKAGE,
  PACKAGED_PROGRAMS,
  startService,
  stopService,
} from "../support/installed_package.ts";
import { serverTest } from "../servers/mod.ts";
import { ThrowawaySystem } from "../support/disposable_system.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** Runs a program that has to succeed, and returns what it printed. */
async function outputOf(...[program, ...args]: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program!, args);
  assertEquals(code, 0, stdout + stderr);
  return stdout;
}

serverTest(
  "what is packed is the same, to the byte, whoever packs it and when",
  ["dpkg-deb"],
  async () => {
    using folder = new TempFolder();
    const path = await buildScripts(folder.file("1"));
    const wrapper = ["sh", "-c", 'umask 077; exec "$@"', "sh"];
    const again = await build(["--scripts", folder.file("2")], {
      wrapper,
      env: { TZ: "Pacific/Auckland" },
    });
    assertEquals(again.code, 0, again.stderr);
    assertEquals(Deno.readFileSync(path), Deno.readFileSync(`${folder.file("2")}/${PACKAGE}`));
  },
);

serverTest("lintian finds no fault with the package", ["dpkg-deb", "lintian"], async () => {
  using folder = new TempFolder();
  const path = await buildScripts(folder.path);
  const { code, stdout } = await run("lintian", ["--fail-on=error,warning", path]);
  assertEquals({ code, stdout }, { code: 0, stdout: "" });
});

serverTest(
  "where programs cannot be compiled, scripts are packed, and it is said",
  ["dpkg-deb", "unshare"],
  async () => {
    using folder = new TempFolder();
    // Nothing can be fetched there. Where somebody fetched Deno's base program before, it is at hand.
    const wrapper = ["unshare", "--map-root-user", "--net", "env", "--unset=DENORT_BIN"];
    const { code, stderr } = await build([folder.path], { wrapper });
    assertEquals(code, 0, stderr);
    const [{ name }, ...others] = [...Deno.readDirSync(folder.path)] as [Deno.DirEntry];
    assertEquals(others, []);
    const said = stderr.includes(
      "cannot be compiled here: packing scripts that run with the host's",
    );
    assertEquals(said, name === PACKAGE, `${name}: ${stderr}`);
  },
);

serverTest("programs that were compiled and do not run are not packed", ["dpkg-deb"], async () => {
  using folder = new TempFolder();
  const { code, stderr } = await build([folder.path], { env: { DENORT_BIN: "/bin/true" } });
  assertEquals(code, 1);
  assertMatch(stderr, /hacheck was compiled and does not run: DENORT_BIN must name the denort/);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

serverTest(
  "the package tells under which terms the libraries in it are",
  ["dpkg-deb"],
  async () => {
    using folder = new TempFolder();
    const path = await buildScripts(folder.path);
    await outputOf("dpkg-deb", "--extract", path, folder.file("root"));
    const terms = Deno.readTextFileSync(folder.file("root/usr/share/doc/hacheck/copyright"));
    assert(terms.includes(Deno.readTextFileSync(`${PROJECT}LICENSE`)));
    // What one of its libraries needs is built into it as well.
    for (const library of ["mysql2", "pg", "valibot", "lru.min", "split2"]) {
      assertMatch(terms, new RegExp(String.raw`^${library} [\d.]+\n-+\n\n\S`, "m"));
    }
    assert(!terms.includes("fast-check"), "what only the tests need is not");
  },
);

/** What dpkg itself notes down, and the users as they were before their last change. */
const NOTES =
  /^\w+ \/(?:var\/(?:lib\/dpkg|cache\/man|log\/dpkg\.log$)|etc\/g?(?:passwd|group|shadow)-$)/;

/** What differs from the host's but for such notes. */
async function changesOf(system: ThrowawaySystem): Promise<string[]> {
  return (await system.changes()).filter((line) => !NOTES.test(line));
}

/** Installs, or removes, as an operator does who answers every question by the enter key. */
async function dpkg(system: ThrowawaySystem, ...args: readonly string[]): Promise<string> {
  return await system.sh(`yes '' | dpkg ${args.join(" ")} 2>&1`);
}

/** Makes the next version, whose configuration is another. */
async function buildNext(folder: TempFolder, path: string): Promise<void> {
  const root = folder.file("next");
  await outputOf("dpkg-deb", "--raw-extract", path, root);
  const change = async (file: string, from: RegExp, to: string) => {
    const text = await Deno.readTextFile(`${root}/${file}`);
    assertMatch(text, from);
    await Deno.writeTextFile(`${root}/${file}`, text.replace(from, to));
  };
  await change("DEBIAN/control", /^Version: .*$/m, "Version: 999-1");
  await change("etc/hacheck/hacheck.yaml", /^/, "# What is new.\n");
  await change("usr/lib/hacheck/src/main.js", /$/, "\n// The next version.\n");
  await outputOf("dpkg-deb", "--root-owner-group", "--build", root, folder.file("next.deb"));
}

async function installUpgradePurge(): Promise<void> {
  using folder = new TempFolder();
  const first = await buildScripts(folder.path);
  await buildNext(folder, first);
  await using system = await ThrowawaySystem.start(folder.path);
  const hactl = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await system.run("hactl", ...args);
    assertEquals(stderr, "");
    return { code, stdout };
  };
  const before = await changesOf(system);

  // It is installed: user, folders and unit are there, and it runs as it is.
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

  // What the operator has changed and marked down outlives another version.
  await system.sh("echo 'http_headers_to_copy: [X-Mine]' >>/etc/hacheck/hacheck.yaml");
  const asked = await dpkg(system, "--install", "/mnt/next.deb");
  assertMatch(asked, /hacheck\.yaml \(Y\/I\/N\/O\/D\/Z\) \[default=N\]/);
  const configuration = await system.sh("cat /etc/hacheck/hacheck.yaml");
  assertMatch(configuration, /\nhttp_headers_to_copy: \[X-Mine\]\n$/);
  assert(!configuration.includes("What is new."));
  assertMatch(await system.sh("cat /etc/hacheck/hacheck.yaml.dpkg-dist"), /^# What is new\.\n/);
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

  // A log that the operator asks for is rotated.
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

  // The Python hachecks' configuration and log are where they were, PaaSTA's among them.
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

  // Removed, it runs no more, and what was marked down and set is kept for when it comes back.
  await dpkg(system, "--remove", "hacheck");
  assertEquals((await system.run("hactl", "--version")).code, 127);
  await system.sh("test -e /var/spool/hacheck/web -a -e /etc/hacheck/hacheck.yaml");

  // Purged, it has never been there.
  await dpkg(system, "--purge", "hacheck");
  assertEquals(await changesOf(system), before);
  assertEquals(
    await system.sh(
      "cat /var/lib/dpkg/info/hacheck.* 2>&1 || true; dpkg --list | grep hacheck || true",
    ),
    "cat: '/var/lib/dpkg/info/hacheck.*': No such file or directory\n",
  );
}

const PROGRAMS_OF_PROOF = [...PACKAGED_PROGRAMS, "man", "logrotate"];
const PROOF =
  "the package installs, runs, upgrades with what was set and marked kept, and purges without a trace";
if (Deno.uid() === 0) serverTest(PROOF, PROGRAMS_OF_PROOF, installUpgradePurge);
else Deno.test({ name: `${PROOF} (needs root)`, ignore: true, fn: installUpgradePurge });
