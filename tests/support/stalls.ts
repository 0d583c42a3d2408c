import type { Daemon } from "./programs.ts";

/** How long {@linkcode stall} stops a daemon, in milliseconds. */
export const STALL_MS = 200;

/** Resolves after so many milliseconds. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Stops a daemon for a while, in the middle of which something happens. */
export async function stall(daemon: Daemon, meanwhile: () => unknown = () => {}): Promise<void> {
  daemon.kill("SIGSTOP");
  try {
    await delay(STALL_MS / 4);
    await meanwhile();
    await delay(STALL_MS);
  } finally {
    daemon.kill("SIGCONT");
  }
}
