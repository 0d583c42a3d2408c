import type { DescriptorCounter } from "../daemon/descriptors.ts";
import type { Log } from "../log.ts";
import { LogThrottle } from "../log_throttle.ts";
import { afterStartup } from "../after_startup.ts";
import type { Listener } from "./listener.ts";
import type { Outflow } from "./outflow.ts";

/** When a {@linkcode ConnectionReaper} acts. Times are in milliseconds. */
export interface ReaperTimes {
  /** How often it looks. */
  readonly look: number;
  /** How often it looks while a server waits to be cut, or descriptors are scarce. */
  readonly closeLook: number;
  /** How long a server serves at least, however scarce descriptors are. */
  readonly leastAge: number;
  /** How long a server serves at most. */
  readonly mostAge: number;
  /** How long a replaced server may wait for a moment in which nobody is being answered. */
  readonly patience: number;
  /** How long it may wait for that moment to be a quiet one, too, if descriptors are scarce. */
  readonly scarcePatience: number;
}

/**
 * The times that are in force where nobody says otherwise. No connection lives longer than `mostAge` and
 * `patience` together. Each change of servers may cost a check its answer, so that they are rare where
 * descriptors are plenty.
 */
export const REAPER_TIMES: ReaperTimes = {
  look: 100,
  closeLook: 2,
  leastAge: 500,
  mostAge: 3_600_000,
  patience: 60_000,
  scarcePatience: 50,
};

/** What a {@linkcode ConnectionReaper} works with. */
export interface ReaperOptions {
  /** Whom it guards: all that this event loop listens with. */
  readonly listeners: readonly Listener[];
  /** How many descriptors there are. */
  readonly descriptors: Pick<DescriptorCounter, "supply">;
  /** Reports when too many bytes wait for readers; nothing is cut for that, if not given. */
  readonly outflow?: Pick<Outflow, "isExcessive" | "onExcess">;
  /** A file or folder that may be opened. */
  readonly path: string;
  /** Where its acts are told. */
  readonly log: Log;
  /** When it acts. */
  readonly times?: ReaperTimes;
  /** Makes what tells how many descriptors are in use. */
  readonly probe?: () => Promise<Probe>;
}

/** The share of the descriptors that may be in use before what hangs is cut. */
const SCARCE = 3 / 4;

/** The share that may be in use before it is cut even though others are being answered by the same server. */
const CRITICAL = 7 / 8;

/** How old a server must be to be cut for responses that wait, in milliseconds. */
const LEAST_AGE_MS = 20;

/** How long a server must have been answering nobody: an answer is under way to the client for a while. */
const REST_MS = 5;

/**
 * For how many close looks no descriptor may have come or gone for it to be a quiet moment. Who is still
 * about to send a request has just connected.
 */
const QUIET_LOOKS = 2;

/**
 * How late a look may be, in milliseconds. A later one shows that the program was stopped or kept from its
 * processor: requests have come meanwhile that nothing here knows of yet.
 */
const LATE_MS = 5;

/** How many looks in a row must have been in time before a server is cut. */
const TIMELY_LOOKS = 2;

/** How long that may keep a server while descriptors are scarce, in milliseconds: some hosts are always busy. */
const BUSY_PATIENCE_MS = 1000;

/** Tells the lowest descriptor that is free: all below it are in use. */
export type Probe = () => number;

/**
 * Sees to it that connections which hang neither use up the file descriptors nor live for ever.
 *
 * It looks ten times a second how many descriptors are in use. When they become scarce, and every few
 * minutes, it has the listeners renewed. What a replaced server still has is cut in a moment in which it
 * is answering nobody, and in which nobody has just come.
 */
export class ConnectionReaper implements Disposable {
  readonly #options: ReaperOptions;
  readonly #times: ReaperTimes;
  readonly #acts = new LogThrottle();
  readonly #readers = new LogThrottle();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #probe: Probe = () => 0;
  #isOver = false;
  #lowest = 0;
  #unchanged = 0;
  #dueAt = 0;
  #timely = 0;
  #lateAt = 0;

  /**
   * Begins to look. It does not keep a program from ending.
   *
   * @param options What to work with.
   */
  constructor(options: ReaperOptions) {
    this.#options = options;
    this.#times = options.times ?? REAPER_TIMES;
    const { outflow } = options;
    if (outflow !== undefined) outflow.onExcess = () => this.#cutAll();
    afterStartup(() => void this.#begin());
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  async #begin(): Promise<void> {
    const { path, probe = () => openProbe(path) } = this.#options;
    this.#probe = await probe();
    if (!this.#isOver) this.#look();
  }

  #schedule(delay: number): void {
    if (this.#isOver) return;
    this.#dueAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.#look(), delay);
    Deno.unrefTimer(this.#timer);
  }

  #look(): void {
    const { listeners, descriptors, outflow } = this.#options;
    const now = performance.now();
    this.#timely = now - this.#dueAt <= LATE_MS ? this.#timely + 1 : 0;
    if (this.#timely === 0) this.#lateAt = now;
    const isTimely = this.#timely >= TIMELY_LOOKS;
    const lowest = this.#probe();
    const { count, isAll } = descriptors.supply(lowest);
    this.#unchanged = lowest === this.#lowest ? this.#unchanged + 1 : 0;
    this.#lowest = lowest;
    // A request that is being answered has a connection, and mostly a check has another. Where there
    // are descriptors enough, these are no reason to cut anything.
    const inFlight = listeners.reduce((sum, listener) => sum + listener.inFlight, 0);
    const inUse = isAll ? lowest : lowest - 2 * inFlight;
    const isScarce = inUse >= SCARCE * count;
    const isCritical = inUse >= CRITICAL * count;
    const isQuiet = this.#unchanged >= QUIET_LOOKS;
    if (outflow?.isExcessive ?? false) this.#cutAll();
    const { patience, scarcePatience } = this.#times;
    for (const listener of listeners) {
      const { retiring } = listener;
      if (retiring !== undefined) {
        const { rested, waited } = retiring;
        // What a stall took is no time in which requests could be read.
        const waitedCalmly = isTimely ? Math.min(waited, now - this.#lateAt) : 0;
        const canBeCut = rested >= REST_MS && (isTimely && isQuiet ||
          isScarce && (waitedCalmly >= scarcePatience || waited >= BUSY_PATIENCE_MS));
        if (canBeCut || isCritical || waited >= patience) listener.terminate();
      } else if (isScarce && listener.age >= this.#times.leastAge) {
        if (listener.rotate()) this.#tell(listener, lowest);
      } else if (listener.age >= this.#times.mostAge) {
        listener.rotate();
      }
    }
    const isClose = listeners.some(({ retiring }) => retiring !== undefined);
    this.#schedule(isClose || isScarce ? this.#times.closeLook : this.#times.look);
  }

  /**
   * Cuts all connections at once: too many responses wait for clients that do not read.
   * A timer would come too late, since a client can ask for 100,000 responses in a second.
   */
  #cutAll(): void {
    for (const listener of this.#options.listeners) {
      if (listener.retiring !== undefined) listener.terminate();
      let count = 0;
      // Those that were renewed just now have nothing that waits.
      for (; listener.age >= LEAST_AGE_MS && listener.rotate(); count++) listener.terminate();
      if (count === 0) continue;
      const { port } = listener.addr;
      this.#readers.once((others) =>
        this.#options.log.warning(
          "too many responses wait for clients that do not read: cutting connections to port {port}{others}",
          { port, others },
        )
      );
    }
  }

  #tell({ addr: { port } }: Listener, inUse: number): void {
    this.#acts.once((others) =>
      this.#options.log.warning(
        "{inUse} file descriptors are in use: cutting the connections to port {port} that hang{others}",
        { inUse, port, others },
      )
    );
  }
}

/** Deno's own files do not tell their descriptors' numbers. */
async function openProbe(path: string): Promise<Probe> {
  const { closeSync, openSync } = await import("node:fs");
  return () => {
    try {
      const descriptor = openSync(path, "r");
      closeSync(descriptor);
      return descriptor;
    } catch (error) {
      // While the path cannot be opened, nothing is known. A server that falls is then served anew.
      return (error as { code?: string }).code === "EMFILE" ? Infinity : 0;
    }
  };
}
