import {
  COMMANDS,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OLD_NAMES,
} from "../../cli/command_spec.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { Daemon, hactlCommand, run, TempFolder } from "../support/programs.ts";
import { commandOf } from "../support/forms.ts";
import { ClosedPort } from "../servers/faulty.ts";
import { serverTest } from "../servers/mod.ts";

/** Makes a folder with hactl and a spool: web is down, db on one port and on one host, and api drains. */
async function installed(): Promise<{ folder: TempFolder; env: Record<string, string> }> {
  const folder = new TempFolder();
  Deno.mkdirSync(folder.file("spool"));
  folder.write("spool/web", "maint");
  folder.write("spool/db:8080", "maint");
  folder.write("spool/db:10.1.1.1:8080", "maint");
  folder.write("spool/api", '{"mode": "drain"}');
  const line = hactlCommand(folder.file("spool"), []).slice(0, -2).map((arg) => `'${arg}'`);
  folder.write(
    "hactl",
    `#!/bin/sh\ncommand=$1\nshift\n` +
      `exec ${line.join(" ")} "$command" --spool-root '${folder.file("spool")}' "$@"\n`,
  );
  Deno.chmodSync(folder.file("hactl"), 0o755);
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await run(folder.file("hactl"), ["completions", shell]);
    assertEquals([code, stderr], [0, ""]);
    folder.write(`completions.${shell}`, stdout);
  }
  const env = { PATH: `${folder.path}:/usr/bin:/bin`, HOME: folder.path, LC_ALL: "C.UTF-8" };
  return { folder, env };
}

/** Command lines, each with the candidates for its last word. */
const CASES: readonly [typed: string, completed: readonly string[]][] = [
  ["hactl ", Object.keys(COMMANDS)],
  ["hactl dow", ["down", "downed"]],
  ["hactl up ", ["api", "db", "web"]],
  ["hactl up w", ["web"]],
  ["hactl up web -p 1 a", ["api"]],
  ["hactl down ", ["all", "api", "db", "web"]],
  ["hactl down web --un", ["--until"]],
  ["hactl weight --fo", ["--for"]],
  ["hactl completions ", ["bash", "fish", "zsh"]],
  ["hactl help wa", ["wait", "watch"]],
  ["haup ", ["api", "db", "web"]],
  ["hadown --un", ["--until"]],
];

serverTest("bash completes hactl's command line", ["bash"], async () => {
  const { folder, env } = await installed();
  using _ = folder;
  const script = `set -u; source "$1"
read -ra COMP_WORDS <<< "$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
_hactl "\${COMP_WORDS[0]}"
printf '%s\\n' "\${COMPREPLY[@]}"`;
  for (const [typed, completed] of CASES) {
    const args = ["--norc", "-c", script, "bash", folder.file("completions.bash"), typed];
    const { stdout, stderr } = await run("bash", args, env);
    assertEquals(stdout.trimEnd().split("\n").sort(), completed.toSorted(), typed + stderr);
    // compopt prints an error outside of a completion.
    assertEquals(stderr, "", typed);
  }
  const registered = await run(
    "bash",
    ["--norc", "-c", 'source "$1"; complete -p', "bash", folder.file("completions.bash")],
    env,
  );
  for (const name of ["hactl", ...OLD_NAMES.keys()]) {
    assertStringIncludes(registered.stdout, `complete -F _hactl ${name}\n`);
  }
});

serverTest("fish completes hactl's command line", ["fish"], async () => {
  const { folder, env } = await installed();
  using _ = folder;
  const script = 'source $argv[1]; complete -C "$argv[2]"';
  for (const [typed, completed] of CASES) {
    const args = ["--no-config", "-c", script, folder.file("completions.fish"), typed];
    const { code, stdout, stderr } = await run("fish", args, env);
    assertEquals([code, stderr], [0, ""]);
    const words = stdout.trimEnd().split("\n").map((line) => line.split("\t")[0]!);
    assertEquals(words.sort(), completed.toSorted(), typed);
  }
});

/** Makes zsh write its candidates to a file, since its terminal cannot be parsed. */
const WRITE_OFFERED = `PS1=; autoload -Uz compinit; compinit -u -d "$HOME/.zcompdump"
compadd() {
  if [[ "\${@[1,(i)(-|--)]}" == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a offered
  builtin compadd -A offered "$@"
  (( $#offered )) && print -rl -- $offered >> "$HOME/offered"
  builtin compadd "$@"
}
finished() { print finished >> "$HOME/offered" }
bindkey "^I" complete-word
source "$HOME/completions.zsh"
compprefuncs+=(before)
before() { comppostfuncs=(finished) }
`;

serverTest("zsh completes hactl's command line", ["zsh"], async () => {
  const { folder, env } = await installed();
  using _ = folder;
  folder.write("write_offered.zsh", WRITE_OFFERED);
  // zsh completes on a terminal only.
  const script = `zmodload zsh/zpty
: > "$HOME/offered"
zpty shell zsh -f -i
zpty -w shell 'source "$HOME/write_offered.zsh"; print ready >> "$HOME/offered"'
until [[ "$(< "$HOME/offered")" == *ready* ]]; do sleep 0.05; done
: > "$HOME/offered"
zpty -n -w shell "$1"$'\\t'
until [[ "$(< "$HOME/offered")" == *finished* ]]; do sleep 0.05; done
zpty -d shell`;
  for (const [typed, completed] of CASES) {
    const line = ["-s", "KILL", "60", "zsh", "-f", "-c", script, "zsh", typed];
    const { code, stderr } = await run("timeout", line, env);
    assertEquals([code, stderr], [0, ""], typed);
    const offered = Deno.readTextFileSync(folder.file("offered")).trimEnd().split("\n");
    const words = new Set(offered.filter((word) => word !== "finished"));
    assertEquals([...words].sort(), completed.toSorted(), typed);
  }
});

/** Completes the last word with a spool and the daemon on a port, and returns the candidates. */
async function completed(spool: string, port: number, ...words: string[]): Promise<string[]> {
  const [program, ...line] = hactlCommand(spool, ["__complete", "-p", String(port)]);
  const { code, stdout, stderr } = await run(program!, [...line, "--", "hactl", ...words]);
  assertEquals([code, stderr], [0, ""], words.join(" "));
  return stdout.split("\n").slice(0, -1).map((line) => line.split("\t")[0]!);
}

Deno.test("hactl __complete knows every command and flag", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  const complete = (...words: string[]) => completed(folder.path, closed.port, ...words);
  assertEquals(await complete(""), Object.keys(COMMANDS));
  for (const [name, command] of Object.entries(COMMANDS)) {
    const spelled = [...command.flags, "version", "help"].flatMap((flag) => {
      const { short }: FlagSpec = FLAGS[flag as FlagName];
      return short === undefined ? [`--${flag}`] : [`-${short}`, `--${flag}`];
    });
    assertEquals(await complete(name, "--"), spelled, name);
  }
  assertEquals(await complete("down", "--spool-root", ""), [":files"]);
  assertEquals(await complete("-a", ""), FLAGS.action.values);
  assertEquals(await complete("down", "web", "-r", "x", "--for", ""), []);
  assertEquals(await complete("dwon", ""), []);
});

Deno.test("hactl __complete offers the services of the daemon", async () => {
  await using daemon = await Daemon.start();
  const complete = (...words: string[]) => completed(daemon.spool, daemon.port, ...words);
  await daemon.get("/spool/web/0");
  await daemon.get("/spool/db/8080");
  assertEquals(await complete("status", ""), ["all", "db", "web"]);
  assertEquals(await complete("up", ""), []);
});

Deno.test("hactl __complete reads the spool and asks the daemon that the command line names", async () => {
  using other = new TempFolder();
  await using daemon = await Daemon.start();
  await daemon.get("/spool/web/0");
  daemon.writeRecord("api", "maint");
  const port = String(daemon.port);
  const grants = [`--allow-read=${daemon.spool}`];
  for (const named of [["-p", port], [`-p${port}`], [`--port=${port}`]]) {
    const where = ["--spool-root", daemon.spool, ...named];
    const words = ["__complete", "--spool-root", other.path, "--", "hactl", "down", ...where, ""];
    const [command, ...args] = [...commandOf("hactl", { spool: other.path, grants }), ...words];
    assertEquals((await run(command!, args)).stdout, "all\napi\nweb\n", named[0]);
  }
});

Deno.test("hactl __complete prints nothing of a spool or daemon that does not answer", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  folder.write("file", "");
  using hanging = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const spool of ["missing", "file"].map((name) => folder.file(name))) {
    for (const port of [closed.port, hanging.addr.port]) {
      assertEquals(await completed(spool, port, "up", ""), []);
      assertEquals(await completed(spool, port, "down", ""), ["all"]);
    }
  }
});
