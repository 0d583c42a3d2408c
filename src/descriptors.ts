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
export function ensureDescriptors(wanted: "max" | number | null, path: string): void {
  if (wanted === null || wanted === "max") return;
  const opened: Deno.FsFile[] = [];
  try {
    // Some are in use already, and who tries to open one more than there are learns it.
    while (opened.length < wanted - IN_USE) opened.push(Deno.openSync(path));
  } catch (error) {
    // A file that cannot be opened at all is told of by who needs it.
    if (!(error as Error).message.includes("Too many open files")) return;
    throw new DescriptorsError(
      `rlimit_nofile: expected at most the hard limit, some ${opened.length + IN_USE}: ` +
        `found ${wanted}: ${(error as Error).message}`,
    );
  } finally {
    for (const file of opened) file.close();
  }
}

/** How many descriptors Deno itself has open at start, about. */
const IN_USE = 20;
