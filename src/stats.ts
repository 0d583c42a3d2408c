import { createLRU } from "lru.min";
import { Tally } from "./metrics/tally.ts";

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

/** How often something came. It is counted in place: a map is then only read, which costs half of writing it. */
interface Counter {
  count: number;
}

/** What is remembered of one service. */
class ServiceStats {
  readonly clients = new Map<string, Counter>();
  lastAsked = 0;
  #code = 0;
  #client = "";
  #answeredAt = 0;

  /** The last answer, if there was one yet. */
  get lastAnswer(): LastAnswer | null {
    if (this.#code === 0) return null;
    return { code: this.#code, remote_ip: this.#client, ts: this.#answeredAt };
  }

  /**
   * Remembers an answer.
   *
   * @param code The HTTP status code.
   * @param client Who was answered.
   * @param now When, in unix seconds.
   */
  answered(code: number, client: string, now: number): void {
    this.#code = code;
    this.#client = client;
    this.#answeredAt = now;
  }
}

/** Who was just asked for: takes the answer. */
export type Asked = Pick<ServiceStats, "answered">;

/**
 * Who asks for what, and what was answered last.
 *
 * @example
 * ```ts
 * import { Stats } from "./stats.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const stats = new Stats();
 * stats.asked("web", "10.0.0.1", 1000).answered(200, "10.0.0.1", 1000);
 * assertEquals(stats.counts(), { web: { "10.0.0.1": 1 } });
 * assertEquals(stats.recent(600, 1200), [["web", { code: 200, remote_ip: "10.0.0.1", ts: 1000 }]]);
 * ```
 */
export class Stats {
  readonly #tallies = new Map<string, Tally>();
  #pairs = 0;
  readonly #services = createLRU<string, ServiceStats>({
    max: MAX_SERVICES,
    onEviction: (_name, service) => this.#pairs -= service.clients.size,
  });

  /**
   * Finds what counts the checks of a protocol.
   *
   * @param protocol The protocol's name, one of those there are.
   * @returns The same object for the same protocol.
   */
  tallyOf(protocol: string): Tally {
    let tally = this.#tallies.get(protocol);
    if (tally === undefined) this.#tallies.set(copyOf(protocol), tally = new Tally());
    return tally;
  }

  /**
   * Counts a check.
   *
   * @param service The service's name.
   * @param client The address of who asks.
   * @param now The time in unix seconds.
   * @returns What takes the answer.
   */
  asked(service: string, client: string, now: number): Asked {
    let stats = this.#services.get(service);
    if (stats === undefined) {
      stats = new ServiceStats();
      this.#services.set(copyOf(service), stats);
    }
    stats.lastAsked = now;
    const known = stats.clients.get(client);
    if (known !== undefined) known.count++;
    else {
      this.#makeRoom(stats);
      stats.clients.set(client, { count: 1 });
    }
    return stats;
  }

  /**
   * Tells how often who asked for what.
   *
   * @returns By service and client.
   */
  counts(): Record<string, Record<string, number>> {
    const counts: Record<string, Record<string, number>> = Object.create(null);
    for (const [service, { clients }] of this.#services.entries()) {
      counts[service] = plain(clients);
    }
    return counts;
  }

  /**
   * Tells how often checks of each protocol were asked for.
   *
   * @returns By the protocol's name.
   */
  byProtocol(): Record<string, number> {
    return Object.fromEntries([...this.#tallies].map(([name, { asked }]) => [name, asked]));
  }

  /**
   * Tells how often checks were answered with which status.
   *
   * @returns By the protocol's name and the code.
   */
  answers(): Record<string, Record<string, number>> {
    return Object.fromEntries([...this.#tallies].map(([name, tally]) => [name, tally.answers()]));
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
        this.#services.evict(1);
      } else {
        const [oldest] = asked.clients.keys();
        asked.clients.delete(oldest!);
        this.#pairs--;
      }
    }
  }
}

function plain(counters: ReadonlyMap<string, Counter>): Record<string, number> {
  return Object.fromEntries([...counters].map(([name, { count }]) => [name, count]));
}

/** A part of a string keeps all of it in memory: what is cut out of a long URL must not keep the URL. */
function copyOf(part: string): string {
  return JSON.parse(JSON.stringify(part));
}
