import type { Log } from "../log.ts";

/** How often requests were refused: for where a check was to go, for who asked, and for who was to change the spool. */
export interface RefusalCounters {
  /** Checks of what `check_hosts` and `check_ports` do not allow. */
  targets: number;
  /** Requests of clients that `allowed_clients` does not list. */
  clients: number;
  /** Changes of the spool by who may not make them. */
  spool_changes: number;
}

/** For how long, in milliseconds, no more is told of the same kind. */
export const REPORT_INTERVAL_MS = 10_000;

/** Counts who is refused, and tells it: of each kind one line at a time, however many there are. */
export class Refusals {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #told = new Map<keyof RefusalCounters, { at: number; counted: number }>();

  /** How many there were. */
  readonly counters: RefusalCounters = { targets: 0, clients: 0, spool_changes: 0 };

  /**
   * @param log Where they are told.
   * @param now Tells the time in milliseconds, by a clock that nobody sets.
   */
  constructor(log: Log, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /**
   * Counts one more.
   *
   * @param kind What was refused.
   * @param client The address of who asked.
   * @param why Why.
   */
  report(kind: keyof RefusalCounters, client: string, why: string): void {
    const counted = ++this.counters[kind];
    const told = this.#told.get(kind);
    const at = this.#now();
    if (told !== undefined && at - told.at < REPORT_INTERVAL_MS) return;
    const others = counted - (told?.counted ?? 0) - 1;
    this.#told.set(kind, { at, counted });
    this.#log.warning("refused {client}: {why}{others}", {
      client,
      why,
      others: others === 0 ? "" : ` (and ${others} others since the last such line)`,
    });
  }
}
