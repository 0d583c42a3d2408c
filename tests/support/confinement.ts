/**
 * A sandbox for a daemon, like the one that the systemd unit makes: a read-only file system with nothing but
 * the files that the daemon reads, no privileges, and a seccomp filter.
 *
 * @module
 */

import { run } from "./programs.ts";

/** The programs that {@linkcode confined} needs. */
export const CONFINEMENT_PROGRAMS: readonly string[] = [
  ...["unshare", "setpriv", "mount", "chroot", "/usr/bin/python3"],
  // For the seccomp filter.
  "/usr/lib/python3/dist-packages/seccomp.*.so",
  "systemd-analyze",
];

/** The user and group of the sandbox. They own no files. */
export const NOBODY: { readonly uid: number; readonly gid: number } = { uid: 64_999, gid: 64_998 };

/** Without root, the sandbox needs a user namespace and keeps the user. */
const IS_ROOT = Deno.uid() === 0;

/** What a sandbox contains and permits. */
export interface Confinement {
  /** The folder in which the file system is made. */
  readonly root: string;
  /** Folders and files, by their paths in the sandbox. */
  readonly mounts: Readonly<Record<string, { readonly from: string; readonly writable?: boolean }>>;
  /** The permitted system calls. */
  readonly calls: readonly string[];
  /** The permitted address families of sockets. */
  readonly families: readonly string[];
}

const MOUNT = `
set -e
root=$1; mounts=$2; shift 2
mount -t tmpfs -o mode=0755 tmpfs "$root"
ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root/"
printf '%s' "$mounts" | while IFS='|' read -r from to options; do
  if [ -d "$from" ]; then mkdir -p "$root$to"
  elif [ ! -e "$root$to" ]; then mkdir -p "$root\${to%/*}"; : > "$root$to"; fi
  mount --bind "$from" "$root$to"
  [ "$options" = rw ] || mount -o "remount,bind,$options" "$root$to"
done
mkdir -p "$root/proc"
# In a container, root may not mount proc with options.
mount -t proc -o subset=pid,hidepid=invisible proc "$root/proc" 2>/dev/null ||
  mount --rbind /proc "$root/proc"
mount -o remount,bind,ro "$root"
exec /usr/sbin/chroot "$root" "$@"
`;

const FILTER = `
import errno, os, socket, sys, seccomp
calls, families, program = sys.argv[1].split(","), sys.argv[2].split(","), sys.argv[3:]
filter = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for call in calls:
    try:
        if call != "socket":
            filter.add_rule(seccomp.ALLOW, call)
    except (RuntimeError, ValueError):
        pass  # A call of another architecture.
for family in families:
    filter.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
filter.load()
os.execv(program[0], program)
`;

/**
 * Makes the command that runs a program in a sandbox.
 *
 * @param confinement What the sandbox contains and permits.
 * @returns The command, to be followed by the program and its arguments.
 */
export async function confined(confinement: Confinement): Promise<string[]> {
  const { root, mounts, calls, families } = confinement;
  const { stdout } = await run(Deno.execPath(), ["info", "--json"]);
  const needed = [
    ...["/usr", Deno.execPath(), JSON.parse(stdout).denoDir].map((path) => [path, path, "ro"]),
    // The devices that every program may open.
    ...["null", "zero", "urandom"].map((name) => [`/dev/${name}`, `/dev/${name}`, "rw"]),
    [
      new URL("../../", import.meta.url).pathname,
      new URL("../../", import.meta.url).pathname,
      "ro",
    ],
    ...Object.entries(mounts).map(([to, { from, writable }]) => [from, to, writable ? "rw" : "ro"]),
  ];
  const list = needed.map((mount) => `${mount.join("|")}\n`).join("");
  const nobody = [`--reuid=${NOBODY.uid}`, `--regid=${NOBODY.gid}`, "--clear-groups"];
  return [
    ...["unshare", ...IS_ROOT ? [] : ["--map-root-user"], "--mount", "--propagation", "private"],
    ...["sh", "-c", MOUNT, "sh", root, list],
    ...["/usr/bin/setpriv", ...IS_ROOT ? nobody : [], "--bounding-set=-all", "--inh-caps=-all"],
    ...["--no-new-privs", "/usr/bin/python3", "-c", FILTER, calls.join(), families.join()],
  ];
}
