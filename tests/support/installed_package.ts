/**
 * The Debian package, and the service that it installs.
 *
 * @module
 */

import { VERSION } from "../../src/runtime/version.ts";
import { buildForm } from "./forms.ts";
import { type Result, run } from "./programs.ts";
import { until } from "../servers/mod.ts";
import { type DisposableSystem, SYSTEM_PROGRAMS } from "./disposable_system.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** The programs that build the package. */
export const BUILD_PROGRAMS: readonly string[] = ["dh", "dpkg-buildpackage", "dpkg-deb"];

/** The programs that install the package, and run its service. */
export const PACKAGE_PROGRAMS: readonly string[] = [
  ...SYSTEM_PROGRAMS,
  ...BUILD_PROGRAMS,
  ...["dpkg", "setpriv", "systemd-sysusers", "curl"],
];

/**
 * Runs `deno task deb`.
 *
 * @param args The arguments of the task.
 * @param options A command that runs the task, and its environment.
 */
export async function build(
  args: readonly string[],
  { wrapper = [], env = {} }: {
    readonly wrapper?: readonly string[];
    readonly env?: Record<string, string>;
  } = {},
): Promise<Result> {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${PROJECT}deno.json`));
  const [, ...task] = tasks.deb.command.replace("deploy/deb.ts", `${PROJECT}deploy/deb.ts`).split(
    " ",
  );
  const [command, ...rest] = [...wrapper, Deno.execPath(), ...task, ...args];
  return await run(command!, rest, { NO_COLOR: "1", ...env });
}

/** The name of the package with the scripts. */
export const PACKAGE = `hacheck_${VERSION}-1_all.deb`;

/**
 * Builds the package with the scripts, unless it exists for these sources.
 *
 * @returns The path of the package.
 */
export async function packagePath(): Promise<string> {
  return `${await buildForm("package")}/${PACKAGE}`;
}

/**
 * Starts the service as systemd does, which a disposable system does not have: the command of the unit, as the
 * user of the unit, with read-only files.
 *
 * @param system The system.
 * @param scheme The scheme of the service's URLs.
 */
export async function startService(system: DisposableSystem, scheme = "http"): Promise<void> {
  await system.sh(`
    command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/hacheck.service)
    user=$(sed -n 's/^User=//p' /lib/systemd/system/hacheck.service)
    unshare --mount sh -c '
      # As LogsDirectory= does.
      [ ! -d /var/log/hacheck ] || mount --bind /var/log/hacheck /var/log/hacheck
      mount -o remount,bind,ro /
      exec "$@"
    ' sh \\
      setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all --no-new-privs \\
      env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/ $command \\
      >/tmp/log 2>&1 </dev/null &
    echo $! >/tmp/pid
  `);
  await until("the service answers", async () => {
    const { code } = await ask(system, "/status", scheme);
    if (code !== 0) throw new Error(await system.sh("cat /tmp/log"));
    return true;
  });
}

/**
 * Stops the service.
 *
 * @param system The system.
 */
export async function stopService(system: DisposableSystem): Promise<void> {
  await system.sh("pid=$(cat /tmp/pid); kill $pid; while [ -d /proc/$pid ]; do sleep 0.05; done");
}

/**
 * Requests a page of the service.
 *
 * @param system The system.
 * @param path The path of the page.
 * @param scheme The scheme of the URL.
 * @returns The output of curl: the body, then the status.
 */
export async function ask(
  system: DisposableSystem,
  path: string,
  scheme = "http",
): Promise<Result> {
  return await system.run(
    ...[
      "curl",
      "--silent",
      "--show-error",
      "--insecure",
      "--write-out",
      "%{http_code} ",
      "--output",
      "-",
    ],
    `${scheme}://127.0.0.1:3333${path}`,
  );
}
