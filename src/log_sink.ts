import type { InternalErrorCounters } from "./metrics/counters.ts";

/** How many bytes of lines wait for a log that takes none, before lines are lost. */
export const MAX_QUEUED_LOG_BYTES = 1024 * 1024;

/**
 * How many bytes are written at once. A pipe takes so many as a whole: the lines of several workers that share
 * one are not torn.
 */
const WRITE_BYTES = 4096;

const LINE_FEED = 0x0a;

/** How long to wait before a log is tried again that would block, in milliseconds. */
const RETRY_MS = 50;

/** What log lines are written to. */
export interface LogTarget {
  /** Writes some bytes, and returns how many. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends it, if it is not one of the program's own streams. */
  close?(): void;
}

/** Lines that are written together. */
interface Batch {
  readonly lines: Uint8Array[];
  bytes: number;
  /** For a line that says how many others were lost, which is alone: how many. */
  readonly lost: number;
}

/**
 * Writes lines in the background, in their order.
 *
 * A write to a pipe that nobody reads, or to a file server that is gone, never returns: it must not stop the
 * daemon. So lines are queued, and lost once too many bytes wait; a line says how many were.
 */
export class LogSink {
  readonly #target: LogTarget;
  readonly #faults: InternalErrorCounters;
  readonly #notice: (lost: number) => Uint8Array;
  #batches: Batch[] = [];
  #bytes = 0;
  /** How many lines were lost that no line reports yet. */
  #lost = 0;
  /** Whether the last write failed within a line. */
  #isTorn = false;
  #isClosed = false;
  #draining: Promise<void> | undefined;

  /**
   * @param target What to write to.
   * @param faults Where lines are counted that are lost.
   * @param notice Makes the line that says how many were.
   */
  constructor(
    target: LogTarget,
    faults: InternalErrorCounters,
    notice: (lost: number) => Uint8Array,
  ) {
    this.#target = target;
    this.#faults = faults;
    this.#notice = notice;
  }

  /**
   * Queues a line.
   *
   * @param line The line, with its end.
   */
  write(line: Uint8Array): void {
    if (this.#bytes + line.length > MAX_QUEUED_LOG_BYTES) {
      this.#lose(1);
      return;
    }
    this.#report();
    this.#queue(line);
    this.#draining ??= this.#drain();
  }

  /** Resolves when nothing is queued. */
  async drained(): Promise<void> {
    await this.#draining;
  }

  /** Closes the target, once what is queued is written. */
  close(): void {
    this.#isClosed = true;
    if (this.#draining === undefined) this.#target.close?.();
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#faults.lost_log_lines += count;
  }

  #queue(line: Uint8Array): void {
    const last = this.#batches.at(-1);
    if (last !== undefined && last.lost === 0 && last.bytes + line.length <= WRITE_BYTES) {
      this.#bytes += line.length;
      last.lines.push(line);
      last.bytes += line.length;
    } else {
      this.#begin(line, 0);
    }
  }

  #begin(line: Uint8Array, lost: number): void {
    this.#bytes += line.length;
    this.#batches.push({ lines: [line], bytes: line.length, lost });
  }

  /** Queues a line about those that were lost: it stands where they would. */
  #report(): void {
    if (this.#lost === 0) return;
    this.#begin(this.#notice(this.#lost), this.#lost);
    this.#lost = 0;
  }

  async #drain(): Promise<void> {
    let isWorking = true;
    for (;;) {
      const batch = this.#batches.shift();
      if (batch === undefined) {
        if (this.#lost === 0 || !isWorking) break;
        this.#report();
        continue;
      }
      isWorking = await this.#writeBatch(batch);
      this.#bytes -= batch.bytes;
    }
    this.#draining = undefined;
    if (this.#isClosed) this.#target.close?.();
  }

  async #writeBatch({ lines, bytes, lost }: Batch): Promise<boolean> {
    // A line that was torn is ended, so that the next one begins a line.
    const start = this.#isTorn ? 1 : 0;
    const all = new Uint8Array(start + bytes);
    if (this.#isTorn) all[0] = LINE_FEED;
    let end = start;
    for (const line of lines) {
      all.set(line, end);
      end += line.length;
    }
    let written = 0;
    try {
      while (written < all.length) written += await this.#writeSome(all.subarray(written));
      this.#isTorn = false;
      return true;
    } catch {
      // Nobody reads any more, or the disk is full. That is no reason to stop answering.
      if (written > 0) this.#isTorn = all[written - 1] !== LINE_FEED;
      const whole = all.subarray(start, written).filter((byte) => byte === LINE_FEED).length;
      if (lost > 0) this.#lost += lost;
      else this.#lose(lines.length - whole);
      return false;
    }
  }

  async #writeSome(bytes: Uint8Array): Promise<number> {
    for (;;) {
      try {
        return await this.#target.write(bytes);
      } catch (error) {
        if (!(error instanceof Deno.errors.WouldBlock)) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}

/** A file that is appended to; one that was moved away by logrotate is left to whoever has it now. */
export class LogFile implements LogTarget {
  readonly #path: string;
  #file: Deno.FsFile;

  /**
   * @param path Its path.
   * @throws {Error} If it cannot be opened.
   */
  constructor(path: string) {
    this.#path = path;
    this.#file = openForAppending(path);
  }

  /** Writes some bytes, and returns how many. */
  async write(bytes: Uint8Array): Promise<number> {
    if (!await this.#isInPlace()) {
      try {
        const reopened = openForAppending(this.#path);
        this.#file.close();
        this.#file = reopened;
      } catch {
        // The old file is still better than none.
      }
    }
    return await this.#file.write(bytes);
  }

  /** Closes it. */
  close(): void {
    this.#file.close();
  }

  async #isInPlace(): Promise<boolean> {
    try {
      const [there, open] = await Promise.all([Deno.stat(this.#path), this.#file.stat()]);
      return there.ino === open.ino && there.dev === open.dev;
    } catch {
      return false;
    }
  }
}

/**
 * Opens a file to append to.
 *
 * @param path Its path.
 * @throws {Error} If it cannot be opened.
 */
export function openForAppending(path: string): Deno.FsFile {
  // To open one that nobody reads would never return.
  if (isFifo(path)) throw new Error("it is a FIFO: expected a file");
  return Deno.openSync(path, { append: true, create: true, mode: 0o640 });
}

function isFifo(path: string): boolean {
  try {
    return Deno.statSync(path).isFifo === true;
  } catch {
    return false;
  }
}
