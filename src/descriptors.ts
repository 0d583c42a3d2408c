/** Thrown when there are fewer file descriptors than the configuration asks for. */
export class DescriptorsError extends Error {
  override name = "DescriptorsError";
}

/**
 * Makes sure that the program may have as many files and connections open as the configuration says.
 *
 * Deno raises its own limit to the hard one at start, so `max` is in force already. A number needs no
 * more than a look at whether so many can be had; a permission to set limits would be one to run
 * programs. The limit is tried out, since reading it takes a permission too.
 *
 * @param wanted `max`, a number, or null for whatever there is.
 * @param path A file or folder that may be opened.
 * @throws {DescriptorsError} If there are fewer than that.
 */
export async function ensureDescriptors(
  wanted: "max" | number | null,
  path: string,
): Promise<void> {
  if (wanted === null || wanted === "max") return;
  // Deno's own files do not tell their descriptors' numbers.
  const { closeSync, openSync } = await import("node:fs");
  const opened: number[] = [];
  try {
    // The system gives out the lowest number that is free, and none from the limit on.
    for (let last = -1; last < wanted - 1; opened.push(last)) last = openSync(path, "r");
  } catch (error) {
    // A file that cannot be opened at all is told of by who needs it.
    if ((error as { code?: string }).code !== "EMFILE") return;
    const limit = (opened.at(-1) ?? -1) + 1;
    throw new DescriptorsError(
      `rlimit_nofile: expected at most ${limit}, the hard limit: found ${wanted}`,
    );
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}
