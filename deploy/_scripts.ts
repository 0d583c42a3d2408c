import { bundle, bundled } from "./_bundle.ts";
import { FLAGS } from "../cli/command_spec.ts";
import { TESTED_DENO } from "../src/deno_release.ts";
import { parseFlags, UsageError } from "../src/flags.ts";
import { type Program, PROGRAMS } from "./_programs.ts";

/** Nothing can be imported but what is installed: Deno fetches no package and no module. */
export const NOTHING_NEW: readonly string[] = ["--no-npm", "--no-remote", "--cached-only"];

/** Where a deno is found that is not in the path, such as that of what cron runs. */
const ELSEWHERE = "/usr/local/bin";

/**
 * Installs the programs, and their older names, as scripts that run with the deno of the host.
 *
 * @param folder The folder to install to, as an absolute path: the scripts go to its `bin`, and what they
 * run to its `lib/hacheck`.
 * @param prefix What that folder is on the host, if it is not there yet.
 */
export async function installScripts(folder: string, prefix: string = folder): Promise<void> {
  await bundle(
    `${folder}/lib/hacheck`,
    PROGRAMS.map(({ entry, workers }) => [entry, ...workers] as const),
  );
  const bin = `${folder}/bin`;
  await Deno.mkdir(bin, { recursive: true });
  for (const program of PROGRAMS) {
    const script = `${bin}/${program.name}`;
    await replace(
      script,
      (path) =>
        Deno.writeTextFile(path, scriptOf(program, `${prefix}/lib/hacheck`), { mode: 0o755 }),
    );
    for (const alias of Object.keys(program.aliases)) {
      await replace(`${bin}/${alias}`, (path) => Deno.symlink(program.name, path));
    }
  }
}

/** Makes a file where another may be, or a link to another. */
async function replace(path: string, make: (path: string) => Promise<void>): Promise<void> {
  const made = `${path}.new`;
  await make(made);
  await Deno.rename(made, path);
}

/** The script that runs a program, by whatever name it is called. */
function scriptOf({ name, entry, flags, fileFlags, aliases }: Program, home: string): string {
  const older = Object.entries(aliases)
    .map(([alias, args]) => `  ${alias}) set -- ${args.map(quoted).join(" ")} "$@" ;;\n`)
    .join("");
  const options = [
    ...flags(`${home}/`),
    ...["--quiet", "--config", `${home}/deno.json`, "--no-lock", ...NOTHING_NEW],
  ];
  const command = [...options, `${home}/${bundled(entry)}`].map((option) =>
    fileFlags.length > 0 && option.startsWith("--allow-read=")
      ? `${quoted(option)}"$files"`
      : quoted(option)
  ).join(" ");
  return `#!/bin/sh
# ${name}, run by the deno of this host. What it may do stands in the last line.
PATH=\${PATH:-/usr/bin:/bin}:${ELSEWHERE}
if ! command -v deno >/dev/null; then
  echo "\${0##*/}: needs deno ${TESTED_DENO}: found no deno in any of $PATH:" \\
    "install it in one of them (npm install --global deno@${TESTED_DENO}, or see https://deno.com)" >&2
  exit 1
fi
${older === "" ? "" : `case \${0##*/} in\n${older}esac\n`}\
${fileFlags.length === 0 ? "" : grantsOfFiles(fileFlags)}\
# Without it, Deno asks its site for newer releases.
export DENO_NO_UPDATE_CHECK=1
exec deno run ${command} "$@"
`;
}

/**
 * Shell code that collects the files that flags name, as `--allow-read` takes them. A folder would grant all
 * that is in it, and a comma would separate two paths: neither is granted. `-` is the standard input.
 */
function grantsOfFiles(fileFlags: readonly string[]): string {
  const spellings = fileFlags.flatMap(spellingsOf);
  return `files=
named=
for argument do
  if [ "$named" ]; then
    file=$argument named=
  else
    case $argument in
    --) break ;;
    ${spellings.join(" | ")}) named=yes && continue ;;
    ${spellings.map((spelling) => `${spelling}=*`).join(" | ")}) file=\${argument#*=} ;;
    *) continue ;;
    esac
  fi
  case $file in
  "" | - | *,*) ;;
  *) [ -d "$file" ] || files=$files,$file ;;
  esac
done
`;
}

/** The ways to write one of hactl's flags: whole, or abbreviated. */
function spellingsOf(flag: string): string[] {
  const lengths = Array.from(flag, (_, i) => i + 1);
  return lengths.map((length) => `--${flag.slice(0, length)}`).filter((spelling) => {
    try {
      return parseFlags([`${spelling}=x`], FLAGS).all(flag).length > 0;
    } catch (error) {
      if (error instanceof UsageError) return false;
      throw error;
    }
  });
}

/** An argument as the shell takes it. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
