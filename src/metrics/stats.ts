import { createLRU } from "lru.min";
import { Tally } from "./tally.ts";

/** How many services are remembered; the one not asked for longest is forgotten first. */
export const MAX_SERVICES = 5000;

/** How many pairs of service and client are counted at most. */
export const MAX_PAIRS = 20_000;

/** The last answer given about a service. */
export interface LastResponse {
  /** The HTTP status code. */
  readonly code: number;
  /** Who was answered. */
  readonly remote_ip: string;
  /** When, in unix seconds. */
  readonly ts: number;
}

/** How many answers of a service are remembered for which somebody had to wait. */
export const MAX_CHECK_TIMES = 24;

/**
 * An answer for which somebody had to wait: when it came, in unix seconds, and after how many milliseconds.
 * These are negative if a balancer takes it for down.
 */
export type Wait = readonly [ts: number, milliseconds: number];

/** A service that was asked for lately. */
export interface ServiceReport {
  /** Its name. */
  readonly service: string;
  /** The last answer, if there was one yet. */
  readonly last: LastResponse | null;
  /** The last answers for which somebody had to wait, the oldest first. */
  readonly waits: readonly Wait[];
}

/** A service that was asked for, and the last answer, if there was one yet. */
export type RecentService = [service: string, last: LastResponse | null];

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
  /** Pairs of numbers, which take the least memory so. None for what is never waited for. */
  #waits: number[] | undefined;
  #nextWait = 0;

  /** The last answer, if there was one yet. */
  get lastAnswer(): LastResponse | null {
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
  recordResponse(code: number, client: string, now: number): void {
    this.#code = code;
    this.#client = client;
    this.#answeredAt = now;
  }

  /**
   * Remembers an answer for which somebody had to wait.
   *
   * @param code The HTTP status code.
   * @param now When, in unix seconds.
   * @param milliseconds After how long.
   */
  recordWait(code: number, now: number, milliseconds: number): void {
    const waits = this.#waits ??= [];
    waits[this.#nextWait] = now;
    // Zero has no sign that would survive.
    waits[this.#nextWait + 1] = isUp(code) ? milliseconds : -Math.max(milliseconds, LEAST_MS);
    this.#nextWait = (this.#nextWait + 2) % (2 * MAX_CHECK_TIMES);
  }

  /** The last answers for which somebody had to wait, the oldest first. */
  get waits(): Wait[] {
    const known = this.#waits ?? [];
    const waits: Wait[] = [];
    for (let i = 0; i < known.length; i += 2) {
      const at = (this.#nextWait + i) % known.length;
      waits.push([known[at]!, known[at + 1]!]);
    }
    return waits;
  }
}

/** The shortest time that is told, in milliseconds. */
const LEAST_MS = 0.01;

/** Tells whether a balancer takes a status for up. */
function isUp(code: number): boolean {
  return code >= 200 && code < 400;
}

/**
 * Picks the services that somebody who looks should see.
 *
 * @param reports All of them.
 * @param most How many to pick at most.
 * @returns Those first whose last answer a balancer takes for down, and else sorted by name.
 */
export function failingFirst(reports: readonly ServiceReport[], most: number): ServiceReport[] {
  const rank = ({ last }: ServiceReport) => last === null || isUp(last.code) ? 1 : 0;
  return reports.toSorted((a, b) => rank(a) - rank(b) || (a.service < b.service ? -1 : 1))
    .slice(0, most);
}

/** Who was just asked for: takes the answer. */
export type ServiceRecorder = Pick<ServiceStats, "recordResponse" | "recordWait">;

/**
 * Who asks for what, and what was answered last.
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
  countRequest(service: string, client: string, now: number): ServiceRecorder {
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
   * Returns when a service was asked for last.
   *
   * @param service The service's name.
   * @returns The time in unix seconds; null if nobody has asked, or it was forgotten.
   */
  lastAsked(service: string): number | null {
    return this.#services.peek(service)?.lastAsked ?? null;
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
    return Object.fromEntries([...this.#tallies].map(([name, { requests }]) => [name, requests]));
  }

  /**
   * Tells how often checks were answered with which status.
   *
   * @returns By the protocol's name and the code.
   */
  responses(): Record<string, Record<string, number>> {
    return Object.fromEntries([...this.#tallies].map(([name, tally]) => [name, tally.responses()]));
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

  /**
   * Tells more of the services that were asked for lately.
   *
   * @param threshold How many seconds ago at most.
   * @param now The time in unix seconds.
   * @param most Of how many at most, the {@linkcode failingFirst} ones.
   */
  recentReports(threshold: number, now: number, most: number): ServiceReport[] {
    const reports = this.recent(threshold, now).map(([service, last]) => {
      return { service, last, waits: this.#services.peek(service)!.waits };
    });
    return failingFirst(reports, most);
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
