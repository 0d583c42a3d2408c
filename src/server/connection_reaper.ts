import { type DescriptorCounter, openProbe, type Probe } from "./descriptors.ts";
import type { Log } from "../log/log.ts";
import { LogThrottle } from "../log/throttle.ts";
import { afterStartup } from "../runtime/after_startup.ts";
import type { Listener } from "./listener.ts";
import type { Outflow } from "./outflow.ts";

/** The times of a {@linkcode ConnectionReaper}, in milliseconds. */
export interface ReaperTimes {
  /** The time between two checks. */
  readonly interval: number;
  /** The same while a server is retiring or descriptors are scarce. */
  readonly busyInterval: number;
  /** The age below which no server is rotated, even if descriptors are scarce. */
  readonly minAge: number;
  /** The age at which a server is rotated in any case. */
  readonly maxAge: number;
  /** How long a retiring server may wait for a moment without requests in flight. */
  readonly retireTimeout: number;
  /** How long it may wait for that moment to be quiet, too, if descriptors are scarce. */
  readonly scarceRetireTimeout: number;
}

/**
 * The default times. No connection lives longer than `maxAge + retireTimeout`. A rotation can lose a check, so
 * rotations are rare while there are descriptors enough.
 */
export const REAPER_TIMES: ReaperTimes = {
  interval: 100,
  busyInterval: 2,
  minAge: 500,
  maxAge: 3_600_000,
  retireTimeout: 60_000,
  scarceRetireTimeout: 50,
};

/** What a {@linkcode ConnectionReaper} works with. */
export interface ReaperOptions {
  /** All listeners of this worker. */
  readonly listeners: readonly Listener[];
  /** Counts file descriptors. */
  readonly descriptors: Pick<DescriptorCounter, "supply">;
  /** Reports when too many bytes wait for clients; optional. */
  readonly outflow?: Pick<Outflow, "isExcessive" | "onExcess">;
  /** A readable file or folder, opened to find the lowest free descriptor. */
  readonly path: string;
  /** Where rotations are logged. */
  readonly log: Log;
  /** The times; {@linkcode REAPER_TIMES} by default. */
  readonly times?: ReaperTimes;
  /** Makes the probe; opens `path` by default. */
  readonly probe?: () => Promise<Probe>;
}

/** The share of descriptors in use above which hanging connections are closed. */
const SCARCE = 3 / 4;

/** The share in use above which a server is terminated even with requests in flight. */
const CRITICAL = 7 / 8;

/** The age above which a server is terminated for unread responses, in milliseconds. */
const MIN_UNREAD_AGE_MS = 20;

/** How long no request must be in flight before a termination: the last response is still being sent. */
const MIN_IDLE_MS = 5;

/**
 * A moment is quiet after this many checks without a new or closed descriptor: a client that is about to send a
 * request has just connected.
 */
const QUIET_CHECKS = 2;

/** How long a server with an old certificate is idle beside the new one before it is closed, in milliseconds. */
const MIN_RENEWAL_MS = 50;

/** After this time it is closed even in a moment that is not quiet. */
const MAX_RENEWAL_MS = 2000;

/**
 * The share in use below which a server with an old certificate is closed without aborting its connections. Those
 * whose TLS handshake does not end then stay for good, so there must be few.
 */
const PLENTY = 1 / 8;

/**
 * How late a timer may be, in milliseconds. A later one shows that the program stalled: requests may have arrived
 * meanwhile that are still unread.
 */
const LATE_MS = 5;

/** How many timers in a row must be in time before a server is terminated. */
const TIMELY_CHECKS = 2;

/** How long stalls may delay a termination while descriptors are scarce, in milliseconds: some hosts always stall. */
const STALL_TIMEOUT_MS = 1000;

/**
 * Closes hanging connections, which could otherwise use up the file descriptors or stay forever.
 *
 * It counts the descriptors in use ten times a second. When they are scarce, or a server is old, it rotates the
 * listeners. A retiring server is terminated in a quiet moment without requests in flight.
 */
export class ConnectionReaper implements Disposable {
  readonly #options: ReaperOptions;
  readonly #times: ReaperTimes;
  readonly #scarceLog = new LogThrottle();
  readonly #unreadLog = new LogThrottle();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #probe: Probe = () => 0;
  #isDisposed = false;
  #lowest = 0;
  #unchanged = 0;
  #dueAt = 0;
  #timely = 0;
  #lateAt = 0;

  /**
   * Starts. Its timer does not keep the program alive.
   *
   * @param options The parts to use.
   */
  constructor(options: ReaperOptions) {
    this.#options = options;
    this.#times = options.times ?? REAPER_TIMES;
    const { outflow } = options;
    if (outflow !== undefined) outflow.onExcess = () => this.#terminateAll();
    afterStartup(() => void this.#start());
  }

  /** Stops. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
  }

  async #start(): Promise<void> {
    const { path, probe = () => openProbe(path) } = this.#options;
    this.#probe = await probe();
    if (!this.#isDisposed) this.#check();
  }

  #schedule(delay: number): void {
    if (this.#isDisposed) return;
    this.#dueAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.#check(), delay);
    Deno.unrefTimer(this.#timer);
  }

  #check(): void {
    const { listeners, descriptors, outflow } = this.#options;
    const now = performance.now();
    this.#timely = now - this.#dueAt <= LATE_MS ? this.#timely + 1 : 0;
    if (this.#timely === 0) this.#lateAt = now;
    const isTimely = this.#timely >= TIMELY_CHECKS;
    const lowest = this.#probe();
    const { count, isAll } = descriptors.supply(lowest);
    this.#unchanged = lowest === this.#lowest ? this.#unchanged + 1 : 0;
    this.#lowest = lowest;
    // A request in flight has a connection, and most checks have another. They count as scarce only if the
    // process cannot get more descriptors.
    const inFlight = listeners.reduce((sum, listener) => sum + listener.inFlight, 0);
    const inUse = isAll ? lowest : lowest - 2 * inFlight;
    const isScarce = inUse >= SCARCE * count;
    const isCritical = inUse >= CRITICAL * count;
    const isQuiet = this.#unchanged >= QUIET_CHECKS;
    if (outflow?.isExcessive ?? false) this.#terminateAll();
    const { minAge, maxAge, retireTimeout, scarceRetireTimeout } = this.#times;
    for (const listener of listeners) {
      const { retiring } = listener;
      if (retiring?.isOutdated && inUse < PLENTY * count) {
        if (retiring.retiringMs >= MIN_RENEWAL_MS && isTimely && isQuiet) listener.closeRetiring();
        else if (retiring.retiringMs >= MAX_RENEWAL_MS) listener.closeRetiring();
      } else if (retiring !== undefined) {
        const { idleMs, retiringMs } = retiring;
        // Requests cannot be read during a stall, so that time does not count.
        const calmMs = isTimely ? Math.min(retiringMs, now - this.#lateAt) : 0;
        const canTerminate = idleMs >= MIN_IDLE_MS && (isTimely && isQuiet ||
          isScarce && (calmMs >= scarceRetireTimeout || retiringMs >= STALL_TIMEOUT_MS));
        if (canTerminate || isCritical || retiringMs >= retireTimeout) listener.terminate();
      } else if (isScarce && listener.age >= minAge) {
        // To rotate takes a descriptor for the new server.
        if (listener.rotate() || isCritical && listener.relieve()) {
          this.#logScarce(listener, lowest);
        }
      } else if (listener.age >= maxAge || listener.isOutdated) {
        listener.rotate();
      }
    }
    const isRotating = listeners.some(({ retiring, isOutdated }) =>
      retiring !== undefined || isOutdated
    );
    this.#schedule(isRotating || isScarce ? this.#times.busyInterval : this.#times.interval);
  }

  /**
   * Closes all connections at once, since too many unread responses wait. A timer would fire too late: a client
   * can request 100,000 responses a second.
   */
  #terminateAll(): void {
    for (const listener of this.#options.listeners) {
      let isClosed = listener.retiring !== undefined;
      if (isClosed) listener.terminate();
      // New servers have no unread responses.
      while (listener.age >= MIN_UNREAD_AGE_MS && listener.rotate()) {
        listener.terminate();
        isClosed = true;
      }
      if (!isClosed) continue;
      const { port } = listener.addr;
      this.#unreadLog.once((others) =>
        this.#options.log.warning(
          "too many unread responses: closing all connections to port {port}{others}",
          { port, others },
        )
      );
    }
  }

  #logScarce({ addr: { port } }: Listener, inUse: number): void {
    this.#scarceLog.once((others) =>
      this.#options.log.warning(
        "{inUse} file descriptors are in use: closing hanging connections to port {port}{others}",
        { inUse, port, others },
      )
    );
  }
}
