import { LRUCache } from "lru-cache";

/** How many services are remembered; the one not asked for longest is forgotten first. */
export const MAX_SERVICES = 5000;

/** How many pairs of service and client are counted at most. */
export const MAX_PAIRS = 20_000;

/** The last answer given about a service. */
export interface LastAnswer {
  /** The HTTP status code. */
  readonly code: number;
  /** Who was answered. */
  readonly remote_ip: string;
  /** When, in unix seconds. */
  readonly ts: number;
}

/** A service that was asked for, and the last answer, if there was one yet. */
export type RecentService = [service: string, last: LastAnswer | null];

/** What is remembered of one service. */
class ServiceStats {
  readonly clients = new Map<string, number>();
  lastAsked = 0;
  lastAnswer: LastAnswer | null = null;
}

/**
 * Who asks for what, and what was answered last.
 *
 * @example
 * ```ts
 * import { Stats } from "./stats.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const stats = new Stats();
 * stats.asked("http", "web", "10.0.0.1", 1000);
 * stats.answered("web", { code: 200, remote_ip: "10.0.0.1", ts: 1000 });
 * assertEquals(stats.counts(), { web: { "10.0.0.1": 1 } });
 * assertEquals(stats.recent(600, 1200), [["web", { code: 200, remote_ip: "10.0.0.1", ts: 1000 }]]);
 * ```
 */
export class Stats {
  readonly #protocols = new Map<string, number>();
  #pairs = 0;
  readonly #services = new LRUCache<string, ServiceStats>({
    max: MAX_SERVICES,
    dispose: (service) => this.#pairs -= service.clients.size,
  });

  /**
   * Counts a check.
   *
   * @param protocol The protocol's name, one of those there are.
   * @param service The service's name.
   * @param client The address of who asks.
   * @param now The time in unix seconds.
   */
  asked(protocol: string, service: string, client: string, now: number): void {
    this.#protocols.set(protocol, (this.#protocols.get(protocol) ?? 0) + 1);
    let stats = this.#services.get(service);
    if (stats === undefined) {
      stats = new ServiceStats();
      this.#services.set(service, stats);
    }
    stats.lastAsked = now;
    const count = stats.clients.get(client);
    if (count === undefined) this.#makeRoom(stats);
    stats.clients.set(client, (count ?? 0) + 1);
  }

  /**
   * Remembers an answer.
   *
   * @param service The service's name.
   * @param answer What was answered.
   */
  answered(service: string, answer: LastAnswer): void {
    const stats = this.#services.peek(service);
    if (stats !== undefined) stats.lastAnswer = answer;
  }

  /**
   * Tells how often who asked for what.
   *
   * @returns By service and client.
   */
  counts(): Record<string, Record<string, number>> {
    const counts: Record<string, Record<string, number>> = Object.create(null);
    for (const [service, { clients }] of this.#services.entries()) {
      counts[service] = Object.fromEntries(clients);
    }
    return counts;
  }

  /**
   * Tells how often checks of each protocol were asked for.
   *
   * @returns By the protocol's name.
   */
  byProtocol(): Record<string, number> {
    return Object.fromEntries(this.#protocols);
  }

  /**
   * Tells which services were asked for lately.
   *
   * @param threshold How many seconds ago at most.
   * @param now The time in unix seconds.
   * @returns Sorted by name, each with the last answer.
   */
  recent(threshold: number, now: number): RecentService[] {
    const recent: RecentService[] = [];
    for (const [service, { lastAsked, lastAnswer }] of this.#services.entries()) {
      if (now - lastAsked <= threshold) recent.push([service, lastAnswer]);
    }
    return recent.sort(([a], [b]) => a < b ? -1 : 1);
  }

  /** A client more must not be memory more without an end. */
  #makeRoom(asked: ServiceStats): void {
    this.#pairs++;
    while (this.#pairs > MAX_PAIRS) {
      if (this.#services.size > 1) {
        this.#services.pop();
      } else {
        const [oldest] = asked.clients.keys();
        asked.clients.delete(oldest!);
        this.#pairs--;
      }
    }
  }
}
