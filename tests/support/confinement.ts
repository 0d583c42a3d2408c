/**
 * A file system of a daemon's own, as the unit for systemd makes it: what it reads is there and
 * read-only, and nothing else is there. In it runs nobody with any privilege.
 *
 * @module
 */

import { run } from "./programs.ts";

/** The programs that this needs. */
export const CONFINEMENT_PROGRAMS: readonly string[] = [
  ...["unshare", "setpriv", "mount", "chroot", "/usr/bin/python3"],
  // A seccomp filter takes libseccomp.
  "/usr/lib/python3/dist-packages/seccomp.*.so",
  "systemd-analyze",
];

/** The user and group that it runs as, who own nothing. */
export const NOBODY: { readonly uid: number; readonly gid: number } = { uid: 64_999, gid: 64_998 };

/** Who is not root may be nobody but himself, and is root only among his own. */
const IS_ROOT = Deno.uid() === 0;

/** What is there, and what may be written. */
export interface Confinement {
  /** The folder to make the file system in. */
  readonly root: string;
  /** Folders and files, by the path that they have there. */
  readonly mounts: Readonly<Record<string, { readonly from: string; readonly writable?: boolean }>>;
  /** The system calls that are permitted. */
  readonly calls: readonly string[];
  /** The address families of sockets that are permitted. */
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
# In a container, even its root may have no processes but those that the container shows.
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
        pass  # Another architecture's.
for family in families:
    filter.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
filter.load()
os.execv(program[0], program)
`;

/**
 * Makes what runs a daemon in confinement.
 *
 * @param confinement What is there.
 * @returns A program that runs it, with its arguments.
 */
export async function confined(confinement: Confinement): Promise<string[]> {
  const { root, mounts, calls, families } = confinement;
  const { stdout } = await run(Deno.execPath(), ["info", "--json"]);
  const needed = [
    ...["/usr", Deno.execPath(), JSON.parse(stdout).denoDir].map((path) => [path, path, "ro"]),
    // Of the devices, those that every program may open.
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
