import { type CacheCounters, newCounters } from "../metrics/counters.ts";
import { createLRU } from "lru.min";
import { isFailure, type Verdict } from "./check.ts";

/** How many verdicts are cached at most. */
export const MAX_ENTRIES = 4096;

/** How many characters keys and verdicts may take together. */
export const MAX_CHARACTERS = 8 * 1024 * 1024;

/** How many clients are remembered as recipients of one failure at most. */
export const MAX_RECIPIENTS = 4096;

/** The size of one recipient, in characters: an address and its entry in a set take about 100 bytes. */
const RECIPIENT_CHARACTERS = 100;

/** How often a client is given a cached failure. The Python hachecks did so always. */
export type CacheFailures = "once" | "always";

/** The clients that have been given a verdict: at most {@linkcode MAX_RECIPIENTS} of them. */
export class Recipients {
  /** Kept without a set, since most checks are not shared. */
  readonly #first: string | undefined;
  #others: Set<string> | undefined;
  #isComplete = true;

  /** @param first The address of the first client, if there is one. */
  constructor(first?: string) {
    this.#first = first;
  }

  /** How many clients are remembered. */
  get size(): number {
    return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0);
  }

  /** Whether all clients are remembered: false once there were too many. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * Remembers a client.
   *
   * @param client The address of the client.
   * @returns Whether the client is new, and could be remembered.
   */
  add(client: string): boolean {
    if (client === this.#first || this.#others?.has(client)) return false;
    if (this.size >= MAX_RECIPIENTS) {
      this.#isComplete = false;
      return false;
    }
    (this.#others ??= new Set()).add(client);
    return true;
  }
}

interface Entry {
  readonly verdict: Verdict;
  /** When the check began. */
  readonly startedAt: number;
  readonly expiresAt: number;
  /** The clients that have been given the verdict; null if each client may be given it again. */
  readonly recipients: Recipients | null;
}

/**
 * The verdicts of checks, for as long as they may be reused: a good one for all clients, a failure once for each
 * client address. HAProxy counts failures (`fall`), and must not count one failure of a service twice.
 *
 * Times are milliseconds of a monotonic clock, such as `performance.now()`.
 *
 * @example
 * ```ts
 * import { Recipients, VerdictCache } from "./cache.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const cache = new VerdictCache(10_000);
 * cache.set("tcp", { code: 200, message: "Connected in 0.00s" }, new Recipients(), 0, 50);
 * assertEquals(cache.get("tcp", "10.0.0.1", 10_049)?.code, 200);
 * assertEquals(cache.get("tcp", "10.0.0.1", 10_050), undefined);
 *
 * cache.set("tcp", { code: 503, message: "Connection refused" }, new Recipients(), 11_000, 11_000);
 * assertEquals(cache.get("tcp", "10.0.0.1", 11_001)?.code, 503);
 * assertEquals(cache.get("tcp", "10.0.0.1", 11_002), undefined);
 * assertEquals(cache.get("tcp", "10.0.0.2", 11_002)?.code, 503);
 * ```
 */
export class VerdictCache {
  readonly #ttl: number;
  readonly #failures: CacheFailures;
  #characters = 0;
  readonly #entries = createLRU<string, Entry>({
    max: MAX_ENTRIES,
    onEviction: (key, entry) => this.#characters -= charactersOf(key, entry),
  });

  /** What the cache has done. */
  readonly counters: CacheCounters;

  /**
   * @param ttl For how many milliseconds a verdict may be reused; 0 for not at all.
   * @param counters The counters to increase.
   * @param failures How often a client is given a cached failure.
   */
  constructor(
    ttl: number,
    counters: CacheCounters = newCounters().cache,
    failures: CacheFailures = "once",
  ) {
    this.#ttl = ttl;
    this.#failures = failures;
    this.counters = counters;
  }

  /**
   * Looks a verdict up, and remembers the client if it is given a failure.
   *
   * @param key The key of the check.
   * @param client The address of the client that asks.
   * @param now The time.
   * @returns The verdict; undefined if there is none that this client may be given.
   */
  get(key: string, client: string, now: number): Verdict | undefined {
    this.counters.gets++;
    const verdict = this.getSince(key, client, -Infinity, now);
    if (verdict === undefined) this.counters.misses++;
    else this.counters.hits++;
    return verdict;
  }

  /**
   * Looks up the verdict of a check that began after a given time, for a client that was queued then. This
   * look-up is not counted: the client's first one was.
   *
   * @param key The key of the check.
   * @param client The address of the client that asks.
   * @param since The time at which the client was queued.
   * @param now The time.
   * @returns The verdict, as from {@linkcode get}.
   */
  getSince(key: string, client: string, since: number, now: number): Verdict | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.startedAt < since) return undefined;
    if (now >= entry.expiresAt) {
      this.counters.expirations++;
      this.#entries.delete(key);
      return undefined;
    }
    const isGiven = entry.recipients === null || this.#give(entry.recipients, client);
    return isGiven ? entry.verdict : undefined;
  }

  /**
   * Looks a verdict up without any effect.
   *
   * @param key The key of the check.
   * @param now The time.
   * @returns The verdict, and since when and until when it may be reused; undefined if there is none.
   */
  peek(key: string, now: number): Pick<Entry, "verdict" | "startedAt" | "expiresAt"> | undefined {
    const entry = this.#entries.peek(key);
    return entry !== undefined && now < entry.expiresAt ? entry : undefined;
  }

  /**
   * Caches a verdict, unless the cached one comes from a check that began later.
   *
   * @param key The key of the check.
   * @param verdict The verdict.
   * @param recipients The clients that are given it without a look-up. The cache owns the object from now on.
   * @param startedAt When the check began.
   * @param now The time.
   */
  set(
    key: string,
    verdict: Verdict,
    recipients: Recipients,
    startedAt: number,
    now: number,
  ): void {
    if (this.#ttl === 0) return;
    const isLimited = this.#failures === "once" && isFailure(verdict);
    // Without a complete list, a client might be given the same failure twice.
    if (isLimited && !recipients.isComplete) return;
    const entry: Entry = {
      verdict,
      startedAt,
      expiresAt: now + this.#ttl,
      recipients: isLimited ? recipients : null,
    };
    const characters = charactersOf(key, entry);
    if (characters > MAX_CHARACTERS) return;
    const present = this.#entries.peek(key);
    if (present !== undefined && present.startedAt > startedAt) return;
    this.counters.sets++;
    this.#entries.set(key, entry);
    this.#grow(characters);
  }

  /** Remembers that a client is given a failure. False if it has been before, or cannot be remembered. */
  #give(recipients: Recipients, client: string): boolean {
    if (!recipients.add(client)) return false;
    this.#grow(RECIPIENT_CHARACTERS);
    return true;
  }

  #grow(characters: number): void {
    this.#characters += characters;
    while (this.#characters > MAX_CHARACTERS) this.#entries.evict(1);
  }
}

function charactersOf(key: string, { verdict, recipients }: Entry): number {
  const remembered = recipients === null ? 0 : recipients.size * RECIPIENT_CHARACTERS;
  return key.length + verdict.message.length + remembered;
}
