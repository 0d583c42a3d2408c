import type { RecentService } from "../../src/metrics/stats.ts";
import { parseRecent } from "./responses.ts";
import type { LocalDaemon } from "./local.ts";

/** How long the daemon may take to tell what it was asked, in milliseconds. */
const TELL_PATIENCE_MS = 3000;

/**
 * Asks the daemon which services it was asked about lately.
 *
 * @param daemon The daemon.
 * @returns The services, each with the last answer.
 * @throws {Error} If it does not tell.
 */
export async function askRecent(daemon: LocalDaemon): Promise<RecentService[]> {
  return parseRecent(await daemon.ask("/recent", [], AbortSignal.timeout(TELL_PATIENCE_MS)));
}
