/**
 * A copy of the system that the tests run on. All changes to it are lost at the end.
 *
 * @module
 */

import { type Result, run } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** The programs that this module needs. */
export const SYSTEM_PROGRAMS: readonly string[] = ["unshare", "nsenter", "mount", "chroot", "ip"];

/** Writes go to memory, in an overlay. /run is empty: the host's service manager and sockets are not there. */
const START = `
set -e
memory=$1 deno=$2 folder=$3
mount -t tmpfs -o mode=0755 tmpfs "$memory"
mkdir "$memory/changes" "$memory/work" "$memory/root"
root=$memory/root
mount -t overlay -o "lowerdir=/,upperdir=$memory/changes,workdir=$memory/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$root/$place"; done
mkdir "$root/run/lock"
mount --bind "$folder" "$root/mnt"
: > "$root/usr/local/bin/deno"
mount --bind "$deno" "$root/usr/local/bin/deno"
ip link set lo up
# With this file, each change of a package rebuilds the index of all manual pages.
rm -f "$root/var/lib/man-db/auto-update"
# The init process of the namespace: the shell reaps orphans.
exec chroot "$root" sh -c ': > /run/started; while :; do sleep 0.1; done'
`;

/** Compares each changed file with that of the host. The overlay marks a removed file by a device. */
const COMPARE = `
cd "$1"
find . -mindepth 1 | sort | while read -r path; do
  if [ -c "$path" ]; then echo "gone \${path#.}"
  elif [ -L "$path" ]; then [ "$(readlink "$path")" = "$(readlink "/$path")" ] || echo "other \${path#.}"
  elif [ "$(stat --format '%F %a %u %g' "$path")" != "$(stat --format '%F %a %u %g' "/$path" 2>&1)" ]
  then echo "other \${path#.}"
  elif [ -f "$path" ]; then cmp --silent "$path" "/$path" || echo "other \${path#.}"
  fi
done
`;

/** A copy of this system with mounts, processes and a network of its own. Needs root. */
export class DisposableSystem implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly #folder: string;
  #pid = 0;

  private constructor(folder: string) {
    this.#folder = Deno.makeTempDirSync({ prefix: "hacheck-" });
    this.#holder = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"],
        ...["sh", "-c", START, "sh", this.#folder, Deno.execPath(), folder],
      ],
      stdin: "null",
      stdout: "null",
    }).spawn();
  }

  /**
   * Starts a system. Its /usr/local/bin/deno is the deno that runs the tests.
   *
   * @param folder The folder to mount at /mnt.
   */
  static async start(folder: string): Promise<DisposableSystem> {
    const system = new DisposableSystem(folder);
    try {
      await until("the disposable system has started", async () => {
        const { pid } = system.#holder;
        const { stdout } = await run("cat", [`/proc/${pid}/task/${pid}/children`]);
        system.#pid = Number(stdout);
        return system.#pid > 0 && (await system.run("test", "-e", "/run/started")).code === 0;
      });
      return system;
    } catch (error) {
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The command, with its arguments, that runs another command in the system. */
  get wrapper(): string[] {
    const namespaces = ["--mount", "--net", "--pid", "--root", "--wd"];
    const path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    return [
      ...["nsenter", "--target", String(this.#pid), ...namespaces],
      ...["/usr/bin/env", "-i", path, "HOME=/tmp", "LC_ALL=C.UTF-8"],
    ];
  }

  /** Runs a command in the system, and waits for its end. */
  async run(...command: readonly string[]): Promise<Result> {
    const [program, ...args] = [...this.wrapper, ...command];
    return await run(program!, args);
  }

  /**
   * Runs a shell script in the system, and waits for its end.
   *
   * @returns The output.
   * @throws {Error} If the script fails.
   */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run("sh", "-ec", script);
    if (code !== 0) throw new Error(`${script} failed: ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Lists the files and folders that differ from those of the host: `gone PATH` or `other PATH`. */
  async changes(): Promise<string[]> {
    const among = ["--target", String(this.#pid), "--mount", "sh", "-c", COMPARE, "sh"];
    const { stdout } = await run("nsenter", [...among, `${this.#folder}/changes`]);
    return stdout.split("\n").slice(0, -1);
  }

  /** Kills all processes of the system, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#holder.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await this.#holder.status;
    Deno.removeSync(this.#folder);
  }
}
