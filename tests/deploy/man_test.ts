import { ALL_UNVERIFIED } from "../../src/net/tls_clients.ts";
import { COMMANDS, FLAGS, OLD_NAMES } from "../../cli/command_spec.ts";
import { PROJECT } from "../../deploy/_programs.ts";
import { protocols } from "../../src/checkers/mod.ts";
import { defaults } from "../../src/config.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { page } from "../support/docs.ts";
import { commandOf } from "../support/forms.ts";
import { run } from "../support/programs.ts";
import { serverTest } from "../servers/mod.ts";

const FOLDER = `${PROJECT}deploy/man`;
const PAGES = ["hactl.1", "hacheck.8"];

/** Reads the source of a manual page. */
function source(name: string): string {
  return Deno.readTextFileSync(`${FOLDER}/${name}`);
}

/** Reads the tags of the list under a heading: `Ic max_clients` as `max_clients`. */
function tags(name: string, heading: string): string[] {
  const [, section = ""] = source(name).split(`\n.Ss ${heading}\n`);
  const [list = ""] = section.split("\n.El\n");
  return [...list.matchAll(/^\.It \w\w (.*)/gm)].flatMap(([, tag]) => tag!.split(" , "));
}

/** Reads the flags that a manual page lists, as `-p --port`. */
function flags(name: string): string[] {
  return [...source(name).matchAll(/^\.It (?:Fl (\w) , )?Fl -([\w-]+)/gm)]
    .map(([, short, long]) => short === undefined ? `--${long}` : `-${short} --${long}`);
}

serverTest("the manual pages pass man-db and mandoc", ["man", "mandoc"], async () => {
  for (const name of PAGES) {
    const path = `${FOLDER}/${name}`;
    const lint = await run("mandoc", ["-T", "lint", "-W", "style", path]);
    // The other page is not installed where this runs.
    const faults = lint.stdout.split("\n").filter((line) => !line.includes("manual not found"));
    assertEquals(faults.join("\n"), "", name);
    // These make man print groff's own warnings.
    const env = { LC_ALL: "C.UTF-8", MANWIDTH: "80", MAN_KEEP_STDERR: "1", MANROFFSEQ: "" };
    const args = ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", path];
    const { code, stderr } = await run("man", args, env);
    assertEquals([code, stderr], [0, ""], name);
  }
});

Deno.test("hactl(1) names exactly the commands and flags that exist", () => {
  const commands = tags("hactl.1", "Commands").map((tag) => tag.split(" ")[0]);
  assertEquals(commands, Object.keys(COMMANDS));
  const known: Readonly<Record<string, { readonly short?: string }>> = FLAGS;
  assertEquals(
    flags("hactl.1").sort(),
    Object.entries(known).map(([name, { short }]) =>
      short === undefined ? `--${name}` : `-${short} --${name}`
    ).sort(),
  );
  for (const name of OLD_NAMES.keys()) assert(source("hactl.1").includes(`.Nm ${name}`), name);
});

Deno.test("hacheck(8) names exactly the flags, keys and protocols that exist", async () => {
  const [program, ...args] = commandOf("hacheck");
  const { stdout: help } = await run(program!, [...args, "--help"]);
  const known = [...help.matchAll(/^ +(?:(-\w), )?(--[\w-]+)/gm)]
    .map(([, short, long]) => short === undefined ? long! : `${short} ${long}`);
  // The older tools' -h works, but hacheck's own help leaves it out.
  assertEquals(flags("hacheck.8").map((flag) => flag.replace("-h --help", "--help")), known);
  assertEquals(tags("hacheck.8", "Configuration").sort(), Object.keys(defaults()).sort());
  const login = { username: null, password: null };
  const names = [
    ...protocols({
      http: { serviceNameHeader: null },
      smtp: {},
      tls: ALL_UNVERIFIED,
      sendProxy: {},
      ldap: { username: null, password: null },
      mysql: login,
      postgres: { ...login, database: null },
      redis: login,
      sentinel: login,
    }).keys(),
  ];
  assertEquals(tags("hacheck.8", "Checks").sort(), [...names, "spool"].sort());
});

Deno.test("hacheck(8) and docs/http-api.md name the same endpoints", () => {
  const rows = [...page("http-api.md").replaceAll(/[<>]/g, "").matchAll(/^\| `(\/[^`?]*)/gm)]
    .map(([, path]) => path!).filter((path) => !path.startsWith("/page"));
  assertEquals(tags("hacheck.8", "Endpoints").sort(), [...new Set(rows)].sort());
});
