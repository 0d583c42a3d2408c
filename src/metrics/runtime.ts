import { afterStartup } from "../runtime/after_startup.ts";
import { VERSION } from "../runtime/version.ts";

/** How the daemon looks up the headers of requests. */
export interface HeaderAccessReport {
  /** Deno's private field, which is faster, or the public one. */
  readonly source: "private field" | "request.headers";
  /** How many requests were compared in both. */
  readonly compared_requests: number;
  /** Why the private field is not used; null if it is. */
  readonly reason: string | null;
}

/** The state of a worker's runtime. Delays are in milliseconds, memory in bytes. */
export interface RuntimeReport {
  /** Memory in use; `rss` is that of the whole process. */
  readonly memory: Deno.MemoryUsage;
  /** How late timers fired. */
  readonly event_loop_delay: { readonly last: number; readonly mean: number; readonly max: number };
  /** Checks of services in flight. */
  readonly checks_under_way: number;
  /** Queued checks. */
  readonly checks_queued: number;
  /** Requested checks since the start, by protocol. */
  readonly checks: Record<string, number>;
  readonly request_headers: HeaderAccessReport;
}

/** The daemon's permissions, as `/status` reports them. */
export interface PermissionsInForce {
  /** The folders and files that it may read, or `everything`. */
  readonly read: readonly string[] | "everything";
  /** The folders and files that it may write, or `everything`. */
  readonly write: readonly string[] | "everything";
  /** Whether it may connect to every address, or to listed ones. */
  readonly net: "everything" | "listed";
  /** Its other permissions, by kind. */
  readonly others: readonly string[];
}

/** Measures how late the timers of a worker's event loop fire. */
export class EventLoopDelay implements Disposable {
  readonly #sampleMs: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isDisposed = false;
  #due = 0;
  #samples = 0;
  #last = 0;
  #sum = 0;
  #max = 0;

  /**
   * Starts measuring. This does not keep a program from ending.
   *
   * @param sampleMs The time between two measurements, in milliseconds.
   */
  constructor(sampleMs = 500) {
    this.#sampleMs = sampleMs;
    afterStartup(() => this.#begin());
  }

  /** The delays so far, in milliseconds. */
  get report(): RuntimeReport["event_loop_delay"] {
    const mean = this.#samples === 0 ? 0 : this.#sum / this.#samples;
    return { last: this.#last, mean, max: this.#max };
  }

  /** Stops measuring. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    clearInterval(this.#timer);
  }

  #begin(): void {
    if (this.#isDisposed) return;
    this.#due = performance.now() + this.#sampleMs;
    this.#timer = setInterval(() => this.#sample(), this.#sampleMs);
    Deno.unrefTimer(this.#timer);
  }

  #sample(): void {
    const now = performance.now();
    this.#last = Math.max(0, now - this.#due);
    this.#due = now + this.#sampleMs;
    this.#samples++;
    this.#sum += this.#last;
    this.#max = Math.max(this.#max, this.#last);
  }
}

/** The kinds of permission that Deno knows. */
const PERMISSIONS = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;

/**
 * Reports versions and permissions.
 *
 * @returns The versions, and the state of each kind of permission: without a scope, and for the spool.
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
