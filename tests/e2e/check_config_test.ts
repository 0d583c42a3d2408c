import { PROJECT } from "../../deploy/_programs.ts";
import { defaults, parseConfig } from "../../src/config.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { commandOf, FORM } from "../support/forms.ts";
import { Daemon, type Result, run, runDaemon, TempFolder } from "../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../servers/certificates.ts";
import { serverTest } from "../servers/mod.ts";

/** Runs hacheck with the permission to read one folder, and with no other. */
async function inspect(folder: TempFolder, ...args: readonly string[]): Promise<Result> {
  return await runDaemon(args, ["--no-prompt", `--allow-read=${folder.path}`]);
}

Deno.test("--check-config exits 0 for a valid configuration, and prints one line", async () => {
  using folder = new TempFolder();
  const path = folder.write("hacheck.yaml", "cache_time: 3\n");
  assertEquals(await inspect(folder, "--check-config", "-c", path), {
    code: 0,
    stdout: `${path}: valid\n`,
    stderr: "",
  });
  assertEquals(await inspect(folder, "--check-config"), {
    code: 0,
    stdout: "no -c: the defaults: valid\n",
    stderr: "",
  });
});

Deno.test("--check-config prints the warnings that the daemon logs, and exits 0", async () => {
  using folder = new TempFolder();
  // Another file may be named by mistake, such as that of passwords.
  const config = "cashe_time: 3\nmysql_username: a\nagent_down: down\nroot:$6$hash:1:\n";
  const path = folder.write("hacheck.yaml", config);
  const { code, stdout, stderr } = await inspect(folder, "--check-config", "-c", path);
  assertEquals([code, stdout], [0, `${path}: valid\n`]);
  const warnings = [
    `WARNING unknown key cashe_time in ${path}: did you mean cache_time?`,
    `WARNING unknown key (not a name) in ${path}`,
    "WARNING mysql_username has no effect without mysql_password",
    "WARNING agent_down has no effect without agent_port or -A",
  ];
  assertEquals(withoutTimes(stderr), warnings);
  await using daemon = await Daemon.start({
    args: ["-c", path],
    grants: [`--allow-read=${path}`],
  });
  assertEquals(withoutTimes(daemon.log).slice(0, 4), warnings);

  const withAgents = await inspect(folder, "--check-config", "-A", "3334", "-c", path);
  assertEquals(withoutTimes(withAgents.stderr), warnings.slice(0, 3));
});

/** Splits a log into its lines, without their times. */
function withoutTimes(log: string): string[] {
  return log.split("\n").slice(0, -1).map((line) => line.replace(/^\S+Z /, ""));
}

Deno.test("--check-config rejects what the daemon rejects, with the same message", async () => {
  using folder = new TempFolder();
  const cases: readonly (readonly [config: string, message: string])[] = [
    ["cache_time: x\ncheck_ports: [80, 0]\n", "check_ports[1]: expected a port, from 1 to 65535"],
    ["cache_time: 3", "its last line has no line feed"],
    ["", "it is empty"],
    ["a: [\n", "it is not YAML"],
    ["https_verify: true\n", "https_verify needs https_ca"],
    [`tls_cert: ${folder.file("none")}\n`, "tls_cert needs tls_key"],
    [
      `remote_spool_token_file: ${folder.file("none")}\n`,
      `Cannot read remote_spool_token_file ${folder.file("none")}: there is no such file`,
    ],
    ["agent_port: 3333\n", "Bad agent_port: expected another port than those of -p: received 3333"],
  ];
  for (const [config, message] of cases) {
    const path = folder.write("hacheck.yaml", config);
    for (const flag of ["--check-config", "--print-config"]) {
      const { code, stdout, stderr } = await inspect(folder, flag, "-c", path);
      assertEquals([code, stdout], [2, ""], stderr);
      assertMatch(stderr, /^hacheck: .*\n$/);
      assertStringIncludes(stderr, message);
    }
    const args = ["--spool-root", folder.path, "-c", path];
    const grants = ["--no-prompt", `--allow-read=${folder.path}`, "--allow-net"];
    const started = await runDaemon(args, grants);
    const checked = await inspect(folder, "--check-config", "-c", path);
    assertEquals([started.code, started.stderr], [2, checked.stderr]);
  }
  const missing = folder.file("none.yaml");
  assertEquals(await inspect(folder, "--check-config", "-c", missing), {
    code: 2,
    stdout: "",
    stderr: `hacheck: Cannot read configuration ${missing}: there is no such file\n`,
  });
  assertEquals((await inspect(folder, "--check-config", "-p", "x")).code, 2);
});

Deno.test("--check-config exits 2 for a configuration whose features lack a permission", async () => {
  using folder = new TempFolder();
  const path = folder.write("hacheck.yaml", "log_path: /srv/hacheck.log\n");
  assertEquals(await inspect(folder, "--check-config", "-c", path), {
    code: 2,
    stdout: "",
    stderr:
      "hacheck: log_path needs --allow-read=/srv/hacheck.log --allow-write=/srv/hacheck.log\n",
  });
});

Deno.test("--check-config with the installed permissions leaves the daemon, the spool and the log alone", async () => {
  using folder = new TempFolder();
  await using daemon = await Daemon.start();
  const log = folder.file("hacheck.log");
  const path = folder.write("hacheck.yaml", `log_path: ${log}\nmysql_password: hunter2\n`);
  const grants = [`--allow-read=${folder.path}`, `--allow-write=${log}`];
  const [program, ...args] = commandOf("hacheck", { grants });
  // Its port is taken, and its spool does not exist.
  const flags = ["-p", String(daemon.port), "--spool-root", folder.file("spool"), "-c", path];
  const checked = await run(program!, [...args, "--check-config", ...flags]);
  assertEquals([checked.code, checked.stdout], [0, `${path}: valid\n`], checked.stderr);
  const printed = await run(program!, [...args, "--print-config", ...flags]);
  assertEquals(printed.code, 0, printed.stderr);
  assertStringIncludes(printed.stdout, 'mysql_password: "********"\n');
  for (const { stderr } of [checked, printed]) {
    assertEquals(withoutTimes(stderr), [
      "WARNING mysql_password has no effect without mysql_username",
    ]);
  }
  assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["hacheck.yaml"]);
});

serverTest(
  "--check-config checks a certificate and its key without a port",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "ca");
    const first = await authority.issue("one", { for: "DNS:one.example" });
    const second = await authority.issue("two", { for: "DNS:two.example" });
    const check = async (key: string) => {
      const config = `tls_cert: ${first.certificate}\ntls_key: ${key}\n`;
      const path = folder.write("hacheck.yaml", config);
      return await inspect(folder, "--check-config", "-c", path);
    };
    assertEquals((await check(first.key)).code, 0);
    const { code, stderr } = await check(second.key);
    assertEquals(code, 2);
    assertMatch(stderr, /^hacheck: Cannot use tls_cert \S+ with tls_key \S+: .*KeyMismatch\n$/);
  },
);

Deno.test("--print-config prints the configuration in force, which is valid itself", async () => {
  using folder = new TempFolder();
  assertEquals(parseConfig((await inspect(folder, "--print-config")).stdout, "x.yaml"), {
    config: defaults(),
    unknownKeys: [],
  });
  const config = "check_ports: [80, 8000-8999]\nallowed_clients: [127.0.0.1]\n" +
    'log_path: "stdout"\nmysql_username: "a # b"\nmysql_password: ""\n';
  const path = folder.write("hacheck.yaml", config);
  const { code, stdout, stderr } = await inspect(folder, "--print-config", "-c", path);
  assertEquals([code, stderr], [0, ""]);
  const printed = stdout.replace('"********"', '""');
  assertEquals(parseConfig(printed, path), parseConfig(config, path));
  assertEquals(
    await inspect(folder, "--check-config", "-c", folder.write("printed.yaml", printed)),
    { code: 0, stdout: `${folder.file("printed.yaml")}: valid\n`, stderr: "" },
  );
});

Deno.test("--check-config finds nothing in the example configuration", async () => {
  using folder = new TempFolder();
  const example = Deno.readTextFileSync(`${PROJECT}deploy/hacheck.yaml`);
  const path = folder.write("hacheck.yaml", example);
  const result = await inspect(folder, "--check-config", "-c", path);
  assertEquals(result, { code: 0, stdout: `${path}: valid\n`, stderr: "" }, FORM);
});
