/** How soon, in milliseconds. */
const SOON_MS = 50;

/**
 * Does something in a moment, when the first answers are out. For upkeep: the first timer of a program
 * takes Deno 8 ms, and it would take them of the start.
 *
 * @param work What to do. It cannot be called off.
 */
export function afterStartup(work: () => unknown): void {
  AbortSignal.timeout(SOON_MS).addEventListener("abort", work, { once: true });
}
