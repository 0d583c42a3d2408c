/**
 * What the programs may do, and why: the one place where their permissions stand.
 *
 * @module
 */

import { DEFAULT_SPOOL_ROOT } from "./spool/store.ts";

/** A permission, as Deno's command line gives it. */
export interface Grant {
  /** The flag. */
  readonly flag: string;
  /** What it is for. */
  readonly why: string;
}

/**
 * What the daemon needs as it is installed, with no feature switched on that needs more.
 *
 * @param spoolRoot Where downtimes are kept.
 */
export function daemonGrants(spoolRoot: string = DEFAULT_SPOOL_ROOT): Grant[] {
  return [
    { flag: "--no-prompt", why: "what is not granted is refused, nobody is asked" },
    { flag: `--allow-read=${spoolRoot}`, why: "read and watch what is marked down" },
    { flag: "--allow-net", why: "listen for checks, and connect to the services they name" },
  ];
}

/** What the daemon needs beyond that, by the feature that needs it. Capitals stand for a path. */
export const FEATURE_GRANTS: readonly (Grant & { readonly feature: string })[] = [
  { feature: "`-c FILE`", flag: "--allow-read=FILE", why: "read the configuration" },
  { feature: "`https_ca: FILE`", flag: "--allow-read=FILE", why: "read who is trusted" },
  {
    feature: "`log_path: FILE`",
    flag: "--allow-read=FILE --allow-write=FILE",
    why: "write the log, and see whether the file was moved away",
  },
  {
    feature: "`allow_remote_spool_changes`",
    flag: "--allow-write=SPOOL",
    why: "mark up and down for who asks by POST",
  },
  {
    feature: "`-n` above 1",
    flag: "--allow-read=CODE",
    why: "each further event loop reads hacheck's own code, in the folder it is installed in",
  },
];

/**
 * What hactl needs.
 *
 * @param spoolRoot Where downtimes are kept.
 */
export function hactlGrants(spoolRoot: string = DEFAULT_SPOOL_ROOT): Grant[] {
  return [
    { flag: "--no-prompt", why: "what is not granted is refused, nobody is asked" },
    {
      flag: `--allow-read=${spoolRoot},/etc/nonhumans`,
      why: "read what is marked down, and whose names are no reason for it",
    },
    { flag: `--allow-write=${spoolRoot}`, why: "mark up and down" },
    { flag: "--allow-net=127.0.0.1", why: "ask this host's daemon what it says" },
    { flag: "--allow-env=SUDO_USER,SSH_USER", why: "who gives no reason is the reason" },
    { flag: "--allow-sys=uid,gid,userInfo", why: "the same, where neither variable is set" },
  ];
}

/**
 * The flags of some grants, as arguments for Deno.
 *
 * @param grants The grants.
 */
export function flagsOf(grants: readonly Grant[]): string[] {
  return grants.map(({ flag }) => flag);
}
