/**
 * File systems of a daemon's own: full, read-only, mounted over others and away again.
 *
 * @module
 */

import { type Daemon, type Result, run } from "./programs.ts";

/** The programs that this needs. */
export const MOUNT_PROGRAMS: readonly string[] = ["unshare", "nsenter", "mount", "umount"];

/** Runs a program with mounts of its own, none of which anybody else sees. */
export const WITH_OWN_MOUNTS: readonly string[] = ["unshare", "--map-root-user", "--mount"];

/**
 * Runs a program on a small file system of its own.
 *
 * @param folder Where it is mounted.
 * @param options How, such as `size=64k`.
 */
export function onSmallDisk(folder: string, options: string): readonly string[] {
  const script = 'mount -t tmpfs -o "$2" tmpfs "$1" && shift 2 && exec "$@"';
  return [...WITH_OWN_MOUNTS, "sh", "-c", script, "sh", folder, options];
}

/**
 * Runs a command among a daemon's mounts.
 *
 * @param daemon The daemon.
 * @param command The command.
 */
export function runAmong(daemon: Daemon, ...command: readonly string[]): Promise<Result> {
  const mounts = ["--user", "--mount", "--preserve-credentials", "--target", String(daemon.pid)];
  return run("nsenter", [...mounts, ...command], { NO_COLOR: "1" });
}
