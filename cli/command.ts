/**
 * What hactl's commands get and return.
 *
 * @module
 */

import type { Subject } from "../src/spool/names.ts";
import type { SpoolStore } from "../src/spool/store.ts";
import type { Trust } from "./daemons/remote.ts";
import type { DaemonUrl } from "./daemons/url.ts";

/** What a command works with. */
export interface CommandContext {
  /** The services, with port and host. */
  readonly subjects: readonly Subject[];
  /** The spool. */
  readonly store: SpoolStore;
  /** The port of this host's daemon. */
  readonly port: number;
  /** The reason of `-r`; undefined without. */
  readonly reason: string | undefined;
  /** When the record expires, in unix seconds; null for never. */
  readonly expiration: number | null;
  /** The new weight, from 0 to 100; undefined for commands that set none. */
  readonly weight: number | undefined;
  /** The state that `wait` waits for. */
  readonly wanted: "up" | "down" | "healthy";
  /** For how many seconds `up` waits for good checks; null if it does not wait. */
  readonly healthy: number | null;
  /** The host as `-H` spells it; null without. */
  readonly typedHost: string | null;
  /** Whether hactl was called by an older name or with `-a`, and prints as the older tools do. */
  readonly byOldName: boolean;
  /** The timeout in seconds, of the whole wait or of each daemon; null without `--timeout`. */
  readonly timeout: number | null;
  /** Whether to run the checks anew. */
  readonly now: boolean;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** The daemons of `--daemon`; none means the daemon of this host. */
  readonly daemons: readonly DaemonUrl[];
  /** The token for the daemons, and the authorities that hactl trusts. */
  readonly trust: Trust;
  /** The operands as they were given. */
  readonly operands: readonly string[];
}

/** A command: does its work and returns the exit status. */
export type Command = (context: CommandContext) => Promise<number>;
