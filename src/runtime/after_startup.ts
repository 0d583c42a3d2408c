/** How long after the call, in milliseconds. */
const DELAY_MS = 50;

/**
 * Runs a task shortly after startup. The first timer of a program costs Deno 8 ms, which would delay the
 * first responses.
 *
 * @param task The task. It cannot be cancelled.
 */
export function afterStartup(task: () => unknown): void {
  AbortSignal.timeout(DELAY_MS).addEventListener("abort", task, { once: true });
}
