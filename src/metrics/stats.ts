import { createLRU } from "lru.min";

/** How many services are kept; the least recently requested is dropped first. */
export const MAX_SERVICES = 5000;

/** How many pairs of service and client are counted at most. */
export const MAX_PAIRS = 20_000;

/** How many check times of a service are kept. */
export const MAX_CHECK_TIMES = 24;

/** The last response about a service. */
export interface LastResponse {
  /** The HTTP status code. */
  readonly code: number;
  /** The address of the client. */
  readonly remote_ip: string;
  /** When it was sent, in unix seconds. */
  readonly ts: number;
}

/**
 * A response that waited for a check: when it was sent, in unix seconds, and the milliseconds that it took. These are
 * negative for a failure.
 */
export type CheckTime = readonly [ts: number, milliseconds: number];

/** A service that was requested lately. */
export interface ServiceReport {
  /** Its name. */
  readonly service: string;
  /** The last response; null before the first. */
  readonly last: LastResponse | null;
  /** The last check times, oldest first. */
  readonly checkTimes: readonly CheckTime[];
}

/** A service that was requested lately, and the last response; null before the first. */
export type RecentService = [service: string, last: LastResponse | null];

/** Changed in place: reading a map costs half of writing it. */
interface Count {
  value: number;
}

/** What is kept of one service. */
class ServiceStats {
  readonly clients = new Map<string, Count>();
  lastRequested = 0;
  #code = 0;
  #client = "";
  #respondedAt = 0;
  /** Pairs of time and duration, flat to save memory; undefined before the first. */
  #checkTimes: number[] | undefined;
  #next = 0;

  get last(): LastResponse | null {
    if (this.#code === 0) return null;
    return { code: this.#code, remote_ip: this.#client, ts: this.#respondedAt };
  }

  /** Records a response. */
  recordResponse(code: number, client: string, now: number): void {
    this.#code = code;
    this.#client = client;
    this.#respondedAt = now;
  }

  /** Records how long a check took. */
  recordCheckTime(code: number, now: number, milliseconds: number): void {
    const times = this.#checkTimes ??= [];
    times[this.#next] = now;
    // JSON has no negative zero.
    times[this.#next + 1] = isUp(code) ? milliseconds : -Math.max(milliseconds, 0.01);
    this.#next = (this.#next + 2) % (2 * MAX_CHECK_TIMES);
  }

  get checkTimes(): CheckTime[] {
    const times = this.#checkTimes ?? [];
    return Array.from({ length: times.length / 2 }, (_, i) => {
      const at = (this.#next + 2 * i) % times.length;
      return [times[at]!, times[at + 1]!];
    });
  }
}

/** Whether HAProxy takes a status code for up. */
function isUp(code: number): boolean {
  return code >= 200 && code < 400;
}

/** Picks at most so many services: failing ones first, each group sorted by name. */
export function failingFirst<Report extends Omit<ServiceReport, "checkTimes">>(
  reports: readonly Report[],
  most: number,
): Report[] {
  const rank = ({ last }: Report) => last === null || isUp(last.code) ? 1 : 0;
  return reports.toSorted((a, b) => rank(a) - rank(b) || (a.service < b.service ? -1 : 1))
    .slice(0, most);
}

/** Records the response to a request that was counted. */
export type ServiceRecorder = Pick<ServiceStats, "recordResponse" | "recordCheckTime">;

/**
 * Counts requests by service and client, and keeps the last response about each service. Times are in unix seconds.
 *
 * @example
 * ```ts
 * import { Stats } from "./stats.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const stats = new Stats();
 * stats.countRequest("web", "10.0.0.1", 1000).recordResponse(200, "10.0.0.1", 1000);
 * assertEquals(stats.counts(), { web: { "10.0.0.1": 1 } });
 * assertEquals(stats.recent(600, 1200), [["web", { code: 200, remote_ip: "10.0.0.1", ts: 1000 }]]);
 * ```
 */
export class Stats {
  #pairs = 0;
  readonly #services = createLRU<string, ServiceStats>({
    max: MAX_SERVICES,
    onEviction: (_name, service) => this.#pairs -= service.clients.size,
  });

  /** Counts a request, and returns what records the response. */
  countRequest(service: string, client: string, now: number): ServiceRecorder {
    let stats = this.#services.get(service);
    if (stats === undefined) {
      stats = new ServiceStats();
      // A part of a string keeps the whole string in memory: the copy does not keep the URL.
      this.#services.set(JSON.parse(JSON.stringify(service)), stats);
    }
    stats.lastRequested = now;
    const count = stats.clients.get(client);
    if (count !== undefined) count.value++;
    else {
      this.#makeRoom(stats);
      stats.clients.set(client, { value: 1 });
    }
    return stats;
  }

  /** Returns when a service was last requested; null for never, or if the service was dropped. */
  lastRequested(service: string): number | null {
    return this.#services.peek(service)?.lastRequested ?? null;
  }

  /** Returns the number of requests, by service and client. */
  counts(): Record<string, Record<string, number>> {
    const counts: Record<string, Record<string, number>> = Object.create(null);
    for (const [service, { clients }] of this.#services.entries()) {
      counts[service] = Object.fromEntries([...clients].map(([name, { value }]) => [name, value]));
    }
    return counts;
  }

  /** Returns the services requested within the last `threshold` seconds, sorted by name. */
  recent(threshold: number, now: number): RecentService[] {
    const recent: RecentService[] = [];
    for (const [service, { lastRequested, last }] of this.#services.entries()) {
      if (now - lastRequested <= threshold) recent.push([service, last]);
    }
    return recent.sort(([a], [b]) => a < b ? -1 : 1);
  }

  /** Counts the services requested within the last `threshold` seconds. */
  countRecent(threshold: number, now: number): number {
    let count = 0;
    for (const [, { lastRequested }] of this.#services.entries()) {
      if (now - lastRequested <= threshold) count++;
    }
    return count;
  }

  /** Returns reports on at most so many of these services, {@linkcode failingFirst}. */
  recentReports(threshold: number, now: number, most: number): ServiceReport[] {
    const recent = this.recent(threshold, now).map(([service, last]) => ({ service, last }));
    return failingFirst(recent, most).map((report) => {
      return { ...report, checkTimes: this.#services.peek(report.service)!.checkTimes };
    });
  }

  /** Makes room for a pair of service and client, by dropping the oldest service or client. */
  #makeRoom(requested: ServiceStats): void {
    this.#pairs++;
    while (this.#pairs > MAX_PAIRS) {
      if (this.#services.size > 1) {
        this.#services.evict(1);
      } else {
        const [oldest] = requested.clients.keys();
        requested.clients.delete(oldest!);
        this.#pairs--;
      }
    }
  }
}
