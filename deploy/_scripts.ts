import { NOTIFY_VARIABLES, OWN_SOCKET } from "../src/daemon/notify_options.ts";
import { bundle, started } from "./_bundle.ts";
import { TESTED_DENO } from "../src/runtime/deno_release.ts";
import { type Program, PROGRAMS } from "./_programs.ts";

/** Keeps Deno from fetching packages and modules. */
export const INSTALLED_ONLY: readonly string[] = ["--no-npm", "--no-remote", "--cached-only"];

/** Where a deno may be that is not in the path: cron's path is /usr/bin:/bin. */
const DENO_FOLDER = "/usr/local/bin";

/**
 * Installs the programs, and their older names, as scripts that run with the host's deno.
 *
 * @param folder The folder to install to, as an absolute path. The scripts go to its `bin`, and the code to its
 * `lib/hacheck`.
 * @param prefix The path that the folder will have on the host.
 */
export async function installScripts(folder: string, prefix: string = folder): Promise<void> {
  await bundle(`${folder}/lib/hacheck`, PROGRAMS);
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

/** Makes a file, or a link, in place of one that may exist. */
async function replace(path: string, make: (path: string) => Promise<void>): Promise<void> {
  await make(`${path}.new`);
  await Deno.rename(`${path}.new`, path);
}

/** Writes the script that runs a program by each of its names. */
function scriptOf(program: Program, home: string): string {
  const { name, flags, fileFlags, fileFlagsOnlyWith, notifies, aliases } = program;
  const older = Object.entries(aliases)
    .map(([alias, args]) => `  ${alias}) set -- ${args.map(quoted).join(" ")} "$@" ;;\n`)
    .join("");
  const options = [
    ...flags(`${home}/`),
    ...["--quiet", "--config", `${home}/deno.json`, "--no-lock", ...INSTALLED_ONLY],
  ];
  const command = [
    ...options.map((option) =>
      option.startsWith("--allow-read=") ? `${quoted(option)}"$files"` : quoted(option)
    ),
    ...notifies ? ["$notify"] : [],
    quoted(`${home}/${started(program)}`),
  ].join(" ");
  return `#!/bin/sh
# Runs ${name} by the deno of this host. The last line has its permissions.
PATH=\${PATH:-/usr/bin:/bin}:${DENO_FOLDER}
if ! command -v deno >/dev/null; then
  echo "\${0##*/}: needs deno ${TESTED_DENO}: found no deno in any of $PATH:" \\
    "install it in one of them (npm install --global deno@${TESTED_DENO}, or see https://deno.com)" >&2
  exit 1
fi
${older === "" ? "" : `case \${0##*/} in\n${older}esac\n`}\
files=
${whereOneOf(fileFlagsOnlyWith, grantsOfFiles(fileFlags))}\
${notifies ? GRANT_OF_NOTIFICATIONS : ""}\
# Deno does not ask its site for newer releases.
export DENO_NO_UPDATE_CHECK=1
# With traces, Deno never answers a request whose baggage header is not valid: read traceparent only.
export OTEL_PROPAGATORS="\${OTEL_PROPAGATORS-tracecontext}"
exec deno run ${command} "$@"
`;
}

/** Shell code that permits to notify systemd where it names a socket. Paths with other characters are left out. */
const GRANT_OF_NOTIFICATIONS = `notify=
case \${NOTIFY_SOCKET-} in
/*[!A-Za-z0-9/._-]*) ;;
/*)
  notify="--allow-env=${NOTIFY_VARIABLES.join()}"
  notify="$notify --allow-read=${OWN_SOCKET} --allow-write=${OWN_SOCKET},$NOTIFY_SOCKET"
  ;;
esac
`;

/**
 * Writes shell code that collects the values of flags, for `--allow-read`. Folders are left out, since all
 * their files would be granted; so are paths with a comma, which separates paths. `-` is the standard input.
 */
function grantsOfFiles(spellings: readonly string[]): string {
  return `named=
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

/** Writes shell code that runs other code only if one of some flags is given; always, if there are none. */
function whereOneOf(flags: readonly string[], code: string): string {
  if (flags.length === 0) return code;
  return `case " $* " in
${flags.map((flag) => `*" ${flag} "*`).join(" | ")})
${code};;
esac
`;
}

/** Quotes an argument for the shell. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
