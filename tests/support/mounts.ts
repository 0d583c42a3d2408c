/**
 * File systems for one daemon: full, read-only, or mounted over its spool.
 *
 * @module
 */

import { type Daemon, type Result, run } from "./programs.ts";

/** The programs that these functions need. */
export const MOUNT_PROGRAMS: readonly string[] = ["unshare", "nsenter", "mount", "umount"];

/** Runs a program in a mount namespace of its own. */
export const IN_MOUNT_NAMESPACE: readonly string[] = ["unshare", "--map-root-user", "--mount"];

/**
 * Runs a program with a small file system of its own.
 *
 * @param folder The mount point.
 * @param options The options of the mount, such as `size=64k`.
 */
export function onSmallDisk(folder: string, options: string): readonly string[] {
  const script = 'mount -t tmpfs -o "$2" tmpfs "$1" && shift 2 && exec "$@"';
  return [...IN_MOUNT_NAMESPACE, "sh", "-c", script, "sh", folder, options];
}

/**
 * Runs a command in a daemon's mount namespace.
 *
 * @param daemon The daemon.
 * @param command The command.
 */
export function runInMounts(daemon: Daemon, ...command: readonly string[]): Promise<Result> {
  const mounts = ["--user", "--mount", "--preserve-credentials", "--target", String(daemon.pid)];
  return run("nsenter", [...mounts, ...command], { NO_COLOR: "1" });
}
