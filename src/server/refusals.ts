import type { Log } from "../log/log.ts";
import { LogThrottle } from "../log/throttle.ts";
import { newCounters, type RefusalCounters } from "../metrics/counters.ts";

/** The kinds of refusals that are logged. */
export type RefusalKind = "targets" | "clients" | "spool_changes";

/** Counts refused requests and logs them, at a limited rate for each kind. */
export class Refusals {
  readonly #log: Log;
  readonly #throttles: Readonly<Record<RefusalKind, LogThrottle>>;

  readonly counters: RefusalCounters;

  /**
   * @param log Where refusals are logged.
   * @param counters Counts them.
   * @param now Returns the time in milliseconds, by a monotonic clock.
   */
  constructor(
    log: Log,
    counters: RefusalCounters = newCounters().refused,
    now: () => number = () => performance.now(),
  ) {
    this.counters = counters;
    this.#log = log;
    this.#throttles = {
      targets: new LogThrottle(now),
      clients: new LogThrottle(now),
      spool_changes: new LogThrottle(now),
    };
  }

  /**
   * Counts and logs a refusal.
   *
   * @param kind The kind.
   * @param client The client's address.
   * @param why The reason.
   */
  report(kind: RefusalKind, client: string, why: string): void {
    this.counters[kind]++;
    this.#throttles[kind].once((others) =>
      this.#log.warning("refused {client}: {why}{others}", { client, why, others })
    );
  }
}
