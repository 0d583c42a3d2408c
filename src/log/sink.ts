import type { InternalErrorCounters } from "../metrics/counters.ts";

/** How many bytes of lines are queued at most. Further lines are lost. */
export const MAX_QUEUED_LOG_BYTES = 1024 * 1024;

/** How many bytes are written at once: PIPE_BUF, so that workers that share a pipe do not tear lines. */
const WRITE_BYTES = 4096;

const LINE_FEED = 0x0a;

/** How long to wait before retrying a write that would block, in milliseconds. */
const RETRY_MS = 50;

/** What log lines are written to. */
export interface LogTarget {
  /** Writes bytes and returns how many were written. */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes it; absent for the program's own streams. */
  close?(): void;
}

/** Lines that are written at once. */
interface Batch {
  readonly lines: Uint8Array[];
  bytes: number;
  /** The number of lost lines, for a batch that is the notice of them; else 0. */
  readonly lost: number;
}

/**
 * Writes lines in the background, in order.
 *
 * A write to a pipe that nothing reads, or to a lost file server, never returns and must not block the daemon.
 * So lines are queued; when the queue is full, they are lost, and a notice says how many.
 */
export class LogSink {
  readonly #target: LogTarget;
  readonly #errors: InternalErrorCounters;
  readonly #notice: (lost: number) => Uint8Array;
  #batches: Batch[] = [];
  #bytes = 0;
  /** How many lines were lost since the last notice. */
  #lost = 0;
  /** Whether the last write failed in the middle of a line. */
  #isTorn = false;
  #isClosed = false;
  #draining: Promise<void> | undefined;

  /**
   * @param target What to write to.
   * @param errors Counts lost lines.
   * @param notice Creates the notice of lost lines.
   */
  constructor(
    target: LogTarget,
    errors: InternalErrorCounters,
    notice: (lost: number) => Uint8Array,
  ) {
    this.#target = target;
    this.#errors = errors;
    this.#notice = notice;
  }

  /** Queues a line, which ends with a line feed. */
  write(line: Uint8Array): void {
    if (this.#bytes + line.length > MAX_QUEUED_LOG_BYTES) {
      this.#drop(1);
      return;
    }
    this.#queueNotice();
    this.#queue(line);
    this.#draining ??= this.#drain();
  }

  /** Resolves when the queue is empty. */
  async drained(): Promise<void> {
    await this.#draining;
  }

  /** Closes the target once the queue is empty. */
  close(): void {
    this.#isClosed = true;
    if (this.#draining === undefined) this.#target.close?.();
  }

  #drop(count: number): void {
    this.#lost += count;
    this.#errors.lost_log_lines += count;
  }

  #queue(line: Uint8Array): void {
    const last = this.#batches.at(-1);
    if (last !== undefined && last.lost === 0 && last.bytes + line.length <= WRITE_BYTES) {
      this.#bytes += line.length;
      last.lines.push(line);
      last.bytes += line.length;
    } else {
      this.#startBatch(line, 0);
    }
  }

  #startBatch(line: Uint8Array, lost: number): void {
    this.#bytes += line.length;
    this.#batches.push({ lines: [line], bytes: line.length, lost });
  }

  /** Queues the notice of lost lines in their place. */
  #queueNotice(): void {
    if (this.#lost === 0) return;
    this.#startBatch(this.#notice(this.#lost), this.#lost);
    this.#lost = 0;
  }

  async #drain(): Promise<void> {
    let isWorking = true;
    for (;;) {
      const batch = this.#batches.shift();
      if (batch === undefined) {
        if (this.#lost === 0 || !isWorking) break;
        this.#queueNotice();
        continue;
      }
      isWorking = await this.#writeBatch(batch);
      this.#bytes -= batch.bytes;
    }
    this.#draining = undefined;
    if (this.#isClosed) this.#target.close?.();
  }

  async #writeBatch({ lines, bytes, lost }: Batch): Promise<boolean> {
    // Ends a torn line first.
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
      // The reader is gone or the disk is full. The daemon continues without its log.
      if (written > 0) this.#isTorn = all[written - 1] !== LINE_FEED;
      const whole = all.subarray(start, written).filter((byte) => byte === LINE_FEED).length;
      if (lost > 0) this.#lost += lost;
      else this.#drop(lines.length - whole);
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

/** A file to append to. When logrotate has moved it away, a new one is opened in its place. */
export class LogFile implements LogTarget {
  readonly #path: string;
  #file: Deno.FsFile;

  /** @throws {Error} If it cannot be opened. */
  constructor(path: string) {
    this.#path = path;
    this.#file = openForAppending(path);
  }

  /** Writes bytes and returns how many were written. */
  async write(bytes: Uint8Array): Promise<number> {
    if (!await this.#isInPlace()) {
      try {
        const reopened = openForAppending(this.#path);
        this.#file.close();
        this.#file = reopened;
      } catch {
        // Continues with the old file.
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

function openForAppending(path: string): Deno.FsFile {
  // Opening a FIFO that nothing reads would block.
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
