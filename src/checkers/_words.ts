/**
 * Starts to measure.
 *
 * @returns A function that tells how long ago that was: `0.25s`.
 */
export function stopwatch(): () => string {
  const start = performance.now();
  return () => `${((performance.now() - start) / 1000).toFixed(2)}s`;
}

/** What an error says, whatever was thrown. */
export function because(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
