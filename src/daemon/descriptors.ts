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

/** How many descriptors there are. */
export interface DescriptorSupply {
  /** How many were found, beside those in use by Deno itself. */
  readonly count: number;
  /** Whether there are no more than that. */
  readonly isAll: boolean;
}

/** What may be in use without a thought to how many there are. */
const FEW = 64;

const PLENTY: DescriptorSupply = { count: Infinity, isAll: false };

/**
 * Finds out how many descriptors there are, at once or when that first matters: it takes 15 ms for a
 * thousand.
 *
 * All are opened together for a moment. Only who has no other event loop beside may do that while it
 * serves.
 */
export class DescriptorCounter {
  readonly #enough: number;
  readonly #path: string;
  #supply: DescriptorSupply | undefined;

  /**
   * @param enough How many to look for. More than that are left uncounted.
   * @param path A file or folder that may be opened.
   * @param supply What is known already.
   */
  constructor(enough: number, path: string, supply?: DescriptorSupply) {
    this.#enough = enough;
    this.#path = path;
    this.#supply = supply;
  }

  /**
   * Tells how many there are.
   *
   * @param inUse How many are in use; Infinity for all.
   */
  supply(inUse: number): DescriptorSupply {
    if (this.#supply !== undefined) return this.#supply;
    if (inUse < FEW) return PLENTY;
    // Nothing can be counted now, and there is no doubt that they are scarce.
    if (inUse === Infinity) return { count: 0, isAll: true };
    return this.count(inUse);
  }

  /**
   * Counts them.
   *
   * @param inUse How many are in use, if that is known.
   * @returns How many there are. Where the path cannot be opened, that is as many as were looked for.
   */
  count(inUse = 0): DescriptorSupply {
    const found = countFree(this.#enough - inUse, this.#path);
    return this.#supply = { count: inUse + found.count, isAll: found.isAll };
  }
}

function countFree(enough: number, path: string): DescriptorSupply {
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < enough) files.push(Deno.openSync(path));
    return { count: enough, isAll: false };
  } catch (error) {
    if ((error as { code?: string }).code !== "EMFILE") return { count: enough, isAll: false };
    return { count: files.length, isAll: true };
  } finally {
    for (const file of files) file.close();
  }
}
