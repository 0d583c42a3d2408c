/**
 * The system that the tests run on, once more, to be changed and thrown away.
 *
 * @module
 */

import { type Result, run } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** The programs that this needs. */
export const THROWAWAY_PROGRAMS: readonly string[] = [
  ...["unshare", "nsenter", "mount", "chroot", "ip"],
];

/**
 * All that is written lies in memory, above what the host has. Nothing of the host's folders for what
 * runs is there: no service manager, no sockets.
 */
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
# The first of its processes, to which orphans go, and which has to wait for them.
exec chroot "$root" sh -c ': > /run/started; while :; do sleep 0.1; done'
`;

/**
 * Compares what was written with what the host has there. A file that has been removed is a device in its
 * place.
 */
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

/** A copy of this system with mounts, processes and a network of its own. Takes root. */
export class ThrowawaySystem implements AsyncDisposable {
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
   * Makes one. The deno that runs the tests is there as /usr/local/bin/deno.
   *
   * @param folder A folder that is there as /mnt.
   */
  static async start(folder: string): Promise<ThrowawaySystem> {
    const system = new ThrowawaySystem(folder);
    try {
      await until("the throw-away system has started", async () => {
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

  /** What runs a command in it, with its arguments. */
  get wrapper(): string[] {
    const namespaces = ["--mount", "--net", "--pid", "--root", "--wd"];
    const path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    return [
      ...["nsenter", "--target", String(this.#pid), ...namespaces],
      ...["/usr/bin/env", "-i", path, "HOME=/tmp", "LC_ALL=C.UTF-8"],
    ];
  }

  /** Runs a command in it to its end. */
  async run(...command: readonly string[]): Promise<Result> {
    const [program, ...args] = [...this.wrapper, ...command];
    return await run(program!, args);
  }

  /**
   * Runs a script of the shell in it to its end.
   *
   * @returns What it printed.
   * @throws {Error} If it fails, with what it said.
   */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run("sh", "-ec", script);
    if (code !== 0) throw new Error(`${script} failed: ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Tells what is another file or folder than on the host, is not there any more or has not been there. */
  async changes(): Promise<string[]> {
    const among = ["--target", String(this.#pid), "--mount", "sh", "-c", COMPARE, "sh"];
    const { stdout } = await run("nsenter", [...among, `${this.#folder}/changes`]);
    return stdout.split("\n").slice(0, -1);
  }

  /** Ends whatever runs in it, and throws it away. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#holder.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#holder.status;
    Deno.removeSync(this.#folder);
  }
}
