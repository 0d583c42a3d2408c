import { afterStartup } from "../after_startup.ts";
import { VERSION } from "../version.ts";

/** How often the event loop is asked how late it is, in milliseconds. */
const SAMPLE_MS = 500;

/** How the daemon looks up the headers of requests. */
export interface HeaderAccessReport {
  /** Deno's private field, which is faster, or the public one. */
  readonly source: "private field" | "request.headers";
  /** How many requests were compared in both. */
  readonly compared_requests: number;
  /** Why the private field is not used; null if it is. */
  readonly reason: string | null;
}

/** How an event loop's runtime is. Delays are in milliseconds, memory in bytes. */
export interface RuntimeReport {
  /** What it uses; `rss` is that of the whole process. */
  readonly memory: Deno.MemoryUsage;
  /** By how much timers were late. */
  readonly event_loop_delay: { readonly last: number; readonly mean: number; readonly max: number };
  /** Checks of services under way. */
  readonly checks_under_way: number;
  /** Checks that wait for a place. */
  readonly checks_queued: number;
  /** Checks asked for since the start, by protocol. */
  readonly checks: Record<string, number>;
  readonly request_headers: HeaderAccessReport;
}

/** Measures how late an event loop's timers are. */
export class EventLoopDelay implements Disposable {
  #timer: ReturnType<typeof setInterval> | undefined;
  #isOver = false;
  #due = 0;
  #samples = 0;
  #last = 0;
  #sum = 0;
  #max = 0;

  /** Begins to measure. It does not keep a program from ending. */
  constructor() {
    afterStartup(() => this.#begin());
  }

  /** What has been measured, in milliseconds. */
  get report(): RuntimeReport["event_loop_delay"] {
    const mean = this.#samples === 0 ? 0 : this.#sum / this.#samples;
    return { last: this.#last, mean, max: this.#max };
  }

  /** Ends measuring. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    clearInterval(this.#timer);
  }

  #begin(): void {
    if (this.#isOver) return;
    this.#due = performance.now() + SAMPLE_MS;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    Deno.unrefTimer(this.#timer);
  }

  #sample(): void {
    const now = performance.now();
    this.#last = Math.max(0, now - this.#due);
    this.#due = now + SAMPLE_MS;
    this.#samples++;
    this.#sum += this.#last;
    this.#max = Math.max(this.#max, this.#last);
  }
}

/** The kinds of permission that Deno knows. */
const PERMISSIONS = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;

/**
 * Tells what runs, and what it may do.
 *
 * @param spoolRoot The spool.
 * @returns Versions, and for each kind of permission whether it is granted for everything; and
 * for the spool.
 */
export function platform(spoolRoot: string): Record<string, unknown> {
  const state = (descriptor: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(descriptor).state;
  return {
    versions: { hacheck: VERSION, ...Deno.version },
    permissions: {
      everything: Object.fromEntries(
        PERMISSIONS.map((name) => [name, state({ name } as Deno.PermissionDescriptor)]),
      ),
      spool: {
        read: state({ name: "read", path: spoolRoot }),
        write: state({ name: "write", path: spoolRoot }),
      },
    },
  };
}
