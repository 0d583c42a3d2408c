import { run } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** What a process held at one moment. */
export interface Reading {
  /** Memory, in MiB. */
  readonly rss: number;
  /** Open file descriptors. */
  readonly descriptors: number;
}

/** How a figure went while it was watched. */
export interface Course {
  /** The first reading. */
  readonly first: number;
  /** The last. */
  readonly last: number;
  /** The highest. */
  readonly max: number;
  /** The median of the second quarter of the time: the program is warm by then. */
  readonly before: number;
  /** The median of the last quarter. */
  readonly after: number;
}

/** Reads the memory and descriptors of a process by `cat` and `ls`: Deno itself may not read /proc. */
export async function read(pid: number): Promise<Reading> {
  const [status, descriptors] = await Promise.all([
    run("cat", [`/proc/${pid}/status`]),
    run("ls", [`/proc/${pid}/fd`]),
  ]);
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status.stdout)?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} has ended`);
  return {
    rss: Number(kibibytes) / 1024,
    descriptors: descriptors.stdout.split("\n").length - 1,
  };
}

/**
 * Waits until a process holds no more descriptors than it once did.
 *
 * @param pid The process.
 * @param before How many it held then.
 * @returns How many it holds: more than before if it does not let go of them, NaN if it has ended.
 */
export async function descriptorsAfter(pid: number, before: number): Promise<number> {
  let descriptors = NaN;
  try {
    await until("it has let go", async () => {
      ({ descriptors } = await read(pid));
      return descriptors <= before;
    });
  } catch {
    // So it does not, and their number shows.
  }
  return descriptors;
}

/** Watches what a process holds. */
export class Gauges implements AsyncDisposable {
  readonly #pid: number;
  readonly #readings: Reading[] = [];
  readonly #watching: Promise<void>;
  #stop!: () => void;

  /**
   * @param pid The process.
   * @param interval How often to read them, in milliseconds.
   */
  constructor(pid: number, interval: number) {
    this.#pid = pid;
    this.#watching = this.#watch(interval);
  }

  /** How its memory and its descriptors went. */
  get courses(): { readonly rss: Course; readonly descriptors: Course } {
    return {
      rss: courseOf(this.#readings.map(({ rss }) => rss)),
      descriptors: courseOf(this.#readings.map(({ descriptors }) => descriptors)),
    };
  }

  /** Ends watching. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#watching;
  }

  async #watch(interval: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    const stop = new Promise<void>((resolve) => {
      this.#stop = () => {
        stopped = true;
        resolve();
      };
    });
    while (!stopped) {
      try {
        this.#readings.push(await read(this.#pid));
      } catch {
        // It has ended; its parent reports that.
        return;
      }
      await Promise.race([stop, new Promise((resolve) => timer = setTimeout(resolve, interval))]);
      clearTimeout(timer);
    }
  }
}

/**
 * Summarizes the course of a figure.
 *
 * @param readings The figure, in the order of time.
 */
export function courseOf(readings: readonly number[]): Course {
  const quarter = (which: number) => {
    const from = Math.floor(readings.length * which / 4);
    return median(readings.slice(from, Math.max(from + 1, readings.length * (which + 1) / 4)));
  };
  return {
    first: readings[0] ?? NaN,
    last: readings.at(-1) ?? NaN,
    max: Math.max(...readings),
    before: quarter(1),
    after: quarter(3),
  };
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? NaN;
}
