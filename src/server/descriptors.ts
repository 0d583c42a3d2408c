/** Thrown when there are fewer file descriptors than the configuration demands. */
export class DescriptorsError extends Error {
  override name = "DescriptorsError";
}

/**
 * Checks that the process can have as many open files and connections as `rlimit_nofile` demands. Deno raises its
 * limit to the hard one at the start, so `max` is in force already; to read the limit would take a permission.
 *
 * @param wanted `max`, a number, or null for no demand.
 * @param path A readable file or folder, which is opened to count.
 * @throws {DescriptorsError} If there are fewer.
 */
export async function ensureDescriptors(
  wanted: "max" | number | null,
  path: string,
): Promise<void> {
  if (wanted === null || wanted === "max") return;
  // Deno's own files do not expose their descriptor.
  const { closeSync, openSync } = await import("node:fs");
  const opened: number[] = [];
  try {
    // The system assigns the lowest free number.
    for (let last = -1; last < wanted - 1; opened.push(last)) last = openSync(path, "r");
  } catch (error) {
    // The reader of a path that cannot be opened reports the error.
    if (!isExhausted(error)) return;
    const limit = (opened.at(-1) ?? -1) + 1;
    throw new DescriptorsError(
      `rlimit_nofile: expected at most ${limit}, the hard limit: found ${wanted}`,
    );
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** Returns the lowest free file descriptor: all below are in use. Infinity if none is free. */
export type Probe = () => number;

/**
 * Creates a probe.
 *
 * @returns The probe. It returns 0 if the path cannot be opened.
 */
export async function openProbe(path: string): Promise<Probe> {
  const { closeSync, openSync } = await import("node:fs");
  return () => {
    try {
      const descriptor = openSync(path, "r");
      closeSync(descriptor);
      return descriptor;
    } catch (error) {
      return isExhausted(error) ? Infinity : 0;
    }
  };
}

/** The file descriptors of a process. */
export interface DescriptorSupply {
  /** How many were found, without those of Deno itself. */
  readonly count: number;
  /** Whether there are no more. */
  readonly isAll: boolean;
}

/** Up to this many descriptors in use, nothing is counted. */
const FEW = 64;

/**
 * Counts the file descriptors that the process can open, at once or when `FEW` are in use: to count a thousand takes
 * 15 ms.
 *
 * All are open for a moment, so another worker must not serve meanwhile.
 */
export class DescriptorCounter {
  readonly #enough: number;
  readonly #path: string;
  #supply: DescriptorSupply | undefined;

  /**
   * @param enough How many to count at most.
   * @param path A readable file or folder, which is opened to count.
   * @param supply The result, if it is known already.
   */
  constructor(enough: number, path: string, supply?: DescriptorSupply) {
    this.#enough = enough;
    this.#path = path;
    this.#supply = supply;
  }

  /**
   * Returns the descriptors, and counts them if that has not been done.
   *
   * @param inUse How many are in use; Infinity for all.
   */
  supply(inUse: number): DescriptorSupply {
    if (this.#supply !== undefined) return this.#supply;
    if (inUse < FEW) return { count: Infinity, isAll: false };
    if (inUse === Infinity) return { count: 0, isAll: true };
    return this.count(inUse);
  }

  /**
   * Counts the descriptors.
   *
   * @returns The descriptors; `enough` of them if the path cannot be opened.
   */
  count(inUse = 0): DescriptorSupply {
    const files: Deno.FsFile[] = [];
    this.#supply = { count: this.#enough, isAll: false };
    try {
      while (inUse + files.length < this.#enough) files.push(Deno.openSync(this.#path));
    } catch (error) {
      if (isExhausted(error)) this.#supply = { count: inUse + files.length, isAll: true };
    } finally {
      for (const file of files) file.close();
    }
    return this.#supply;
  }
}

/** Whether an error means that the process has no free file descriptor. */
function isExhausted(error: unknown): boolean {
  return (error as { code?: string }).code === "EMFILE";
}
