/**
 * What hactl's sub-commands share.
 *
 * @module
 */

import { escapeControls, oneLine, terminalJson } from "../src/control_characters.ts";
import { parseRecordName, type Subject } from "../src/spool/names.ts";
import type { DowntimeRecord } from "../src/spool/entry.ts";
import type { SpoolStore } from "../src/spool/store.ts";
import type { LocalDaemon } from "./daemons/local.ts";
import type { DaemonUrl } from "./daemons/url.ts";
import type { Trust } from "./daemons/remote.ts";

/** What a sub-command works with. */
export interface CommandContext {
  /** What is spoken of. */
  readonly subjects: readonly Subject[];
  /** The spool. */
  readonly store: SpoolStore;
  /** This host's daemon. */
  readonly daemon: LocalDaemon;
  /** Why something is marked down; undefined if nobody said. */
  readonly reason: string | undefined;
  /** When that ends, in unix seconds; null if not by itself. */
  readonly expiration: number | null;
  /** The weight that something is to have, from 0 to 100; undefined for sub-commands that give none. */
  readonly weight: number | undefined;
  /** What to wait for. */
  readonly wanted: "up" | "down" | "healthy";
  /** For how many seconds up waits until the checks are good; null if it does not. */
  readonly healthy: number | null;
  /** The host as -H names it; null if it does not. */
  readonly typedHost: string | null;
  /** Whether the command was called by a name of the older tools, whose output is then printed. */
  readonly byOldName: boolean;
  /** For how many seconds to wait, in all or for each daemon that is named; null if nobody said. */
  readonly timeout: number | null;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** The daemons to ask instead of this host's; none to ask that one. */
  readonly daemons: readonly DaemonUrl[];
  /** What they are shown, and have to show. */
  readonly trust: Trust;
  /** What is not a service, but what the sub-command is about all the same. */
  readonly words: readonly string[];
}

/** A sub-command: does its work and returns the exit code. */
export type Command = (context: CommandContext) => Promise<number>;

/** Tells an operator what scripts are not to parse. */
export function tell(message: string): void {
  console.error(`hactl: ${escapeControls(message)}`);
}

/** Prints JSON for programs, which may go to a terminal all the same. */
export function printJson(value: unknown): void {
  console.log(terminalJson(value));
}

/** What has the name of a record. */
export interface Named {
  /** The name of its record. */
  readonly name: string;
}

/**
 * The line of something that is not marked down.
 *
 * @param named What it is.
 */
export function upLine({ name }: Named): string {
  return `UP\t${spelled(name)}`;
}

/**
 * The line of something that is marked down, or as draining.
 *
 * @param named What it is.
 * @param record Its record.
 */
export function recordLine(
  { name }: Named,
  { mode, expiration, reason }: DowntimeRecord,
): string {
  const until = expiration === null ? "inf" : expiration.toFixed(6);
  return `${mode.toUpperCase()}\t${until}\t${spelled(name)}\t${oneLine(reason)}`;
}

/** `web`, `web::8080` or `web:10.1.1.1:8080`: with a port, the host is there, if only as nothing. */
function spelled(name: string): string {
  return name.replace(/^([^:]+):(\d+)$/, "$1::$2");
}

/**
 * What a file in the spool speaks of.
 *
 * @param name The name of a record's file.
 */
export function subjectOf(name: string): Subject {
  return parseRecordName(name)!;
}

/** What went wrong, with what an operator can do about it where that is known. */
export function explained(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    const flag = /--allow-\w+/.exec(error.message)?.[0] ?? "a permission";
    return `${error.message.split(",")[0]}: this hactl was installed without ${flag} for it`;
  }
  if (error instanceof Deno.errors.PermissionDenied && !isRoot()) {
    return `${error.message}: try again with sudo`;
  }
  // It may hold words of whoever answers, such as the names in a certificate.
  return oneLine(error instanceof Error ? error.message : String(error));
}

function isRoot(): boolean {
  try {
    return Deno.uid() === 0;
  } catch {
    // It was installed without the permission to ask.
    return false;
  }
}

/**
 * Waits for a while, or until it is time to give up.
 *
 * @param pause How long, in milliseconds.
 * @param giveUp When to give up.
 */
export function rest(pause: number, giveUp: AbortSignal): Promise<void> {
  if (giveUp.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      giveUp.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, pause);
    giveUp.addEventListener("abort", end);
  });
}

/** How much is shown of what a daemon says is wrong. */
const MAX_SHOWN = 200;

/**
 * An answer that is not as expected, for people.
 *
 * @param status Its status.
 * @param body Its body.
 */
export function shown(status: number, body: string): string {
  const text = oneLine(`${status} ${body}`.slice(0, MAX_SHOWN)).trim();
  return status === 401 ? `${text}: name a file with the daemon's token by --token-file` : text;
}
