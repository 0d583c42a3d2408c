import type { Daemon } from "../support/programs.ts";

/** How long a daemon is stopped each time, in milliseconds. */
const STALL_MS = 200;

/** How long it runs in between, in milliseconds. */
const RUN_MS = 3000;

/**
 * Stops a daemon for a moment again and again, as a machine does that is too busy or swaps.
 *
 * @param daemon The daemon.
 * @param signal Ends that.
 * @returns How often it was stopped.
 */
export async function stallAgainAndAgain(daemon: Daemon, signal: AbortSignal): Promise<number> {
  let stalls = 0;
  for (; !signal.aborted; stalls++) {
    await rest(RUN_MS, signal);
    daemon.kill("SIGSTOP");
    try {
      await rest(STALL_MS, signal);
    } finally {
      daemon.kill("SIGCONT");
    }
  }
  return stalls;
}

/**
 * Waits, but not when it is time to stop.
 *
 * @param milliseconds How long.
 * @param signal Ends the wait.
 */
export function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
