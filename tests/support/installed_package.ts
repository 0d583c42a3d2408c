/**
 * The package, and the service that it installs.
 *
 * @module
 */

import { VERSION } from "../../src/version.ts";
import { assertEquals } from "./assert.ts";
import { type Result, run } from "./programs.ts";
import { until } from "../servers/mod.ts";
import { THROWAWAY_PROGRAMS, type ThrowawaySystem } from "./disposable_system.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** The programs that it takes to run what is packed. */
export const PACKAGED_PROGRAMS: readonly string[] = [
  ...THROWAWAY_PROGRAMS,
  ...["dpkg", "dpkg-deb", "setpriv", "systemd-sysusers", "curl"],
];

/**
 * Builds the package as the task does.
 *
 * @param args The task's arguments.
 * @param options A program that runs it, with its arguments, and what stands in its environment.
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

/** The name of the package of scripts. */
export const PACKAGE = `hacheck_${VERSION}-1_all.deb`;

/**
 * Builds the package of scripts.
 *
 * @param folder Where to.
 * @returns Its path.
 */
export async function buildScripts(folder: string): Promise<string> {
  const { code, stderr } = await build(["--scripts", folder]);
  assertEquals(code, 0, stderr);
  return `${folder}/${PACKAGE}`;
}

/**
 * Starts the service as it is installed: what the unit starts, as the unit's user, on files that it cannot
 * change. There is no systemd in a throw-away system that would do so.
 *
 * @param system The system.
 * @param scheme How it is asked.
 */
export async function startService(system: ThrowawaySystem, scheme = "http"): Promise<void> {
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
 * Ends it, as systemd does.
 *
 * @param system The system.
 */
export async function stopService(system: ThrowawaySystem): Promise<void> {
  await system.sh("pid=$(cat /tmp/pid); kill $pid; while [ -d /proc/$pid ]; do sleep 0.05; done");
}

/**
 * Asks the service for a page.
 *
 * @param system The system.
 * @param path The page.
 * @param scheme How it is asked.
 * @returns What curl says: the body, and then the status.
 */
export async function ask(
  system: ThrowawaySystem,
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
