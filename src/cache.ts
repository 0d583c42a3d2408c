import { createLRU } from "lru.min";
import type { Verdict } from "./check.ts";

/** How many results are kept at most. */
export const MAX_ENTRIES = 4096;

/** How many characters keys and results may take together. */
export const MAX_CHARACTERS = 8 * 1024 * 1024;

/** What a {@linkcode ResultCache} has done, by the names of `/status`. */
export interface CacheCounters {
  /** Look-ups that found a result, but one too old. */
  expirations: number;
  /** Results put in. */
  sets: number;
  /** Look-ups. */
  gets: number;
  /** Look-ups that found a result to reuse. */
  hits: number;
  /** Look-ups that did not. */
  misses: number;
}

/**
 * Begins to count.
 *
 * @returns Counters, all of them zero.
 */
export function nothingLookedUp(): CacheCounters {
  return { expirations: 0, sets: 0, gets: 0, hits: 0, misses: 0 };
}

interface Entry {
  readonly verdict: Verdict;
  /** When the check that gave the verdict was started. */
  readonly startedAt: number;
  readonly expiresAt: number;
}

/**
 * The results of checks, good and bad, for as long as they may be reused.
 *
 * Times are milliseconds of a clock that nobody sets, such as `performance.now()`.
 *
 * @example
 * ```ts
 * import { ResultCache } from "./cache.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const cache = new ResultCache(10_000);
 * cache.set("tcp", { code: 200, message: "Connected in 0.00s" }, 0, 50);
 * assertEquals(cache.get("tcp", 10_049)?.code, 200);
 * assertEquals(cache.get("tcp", 10_050), undefined);
 * ```
 */
export class ResultCache {
  readonly #ttl: number;
  #characters = 0;
  readonly #entries = createLRU<string, Entry>({
    max: MAX_ENTRIES,
    onEviction: (key, { verdict }) => this.#characters -= charactersOf(key, verdict),
  });

  /** What has been asked of the cache. */
  readonly counters: CacheCounters;

  /**
   * @param ttl For how many milliseconds a result may be reused; 0 for not at all.
   * @param counters Where it counts.
   */
  constructor(ttl: number, counters: CacheCounters = nothingLookedUp()) {
    this.#ttl = ttl;
    this.counters = counters;
  }

  /**
   * Looks a result up.
   *
   * @param key What tells this check from others.
   * @param now The time.
   * @returns The result, or undefined where there is none young enough.
   */
  get(key: string, now: number): Verdict | undefined {
    this.counters.gets++;
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      if (now < entry.expiresAt) {
        this.counters.hits++;
        return entry.verdict;
      }
      this.counters.expirations++;
      this.#entries.delete(key);
    }
    this.counters.misses++;
    return undefined;
  }

  /**
   * Keeps a result, unless one is there whose check began later: that one knows better.
   *
   * @param key What tells this check from others.
   * @param verdict The result.
   * @param startedAt When its check began.
   * @param now The time.
   */
  set(key: string, verdict: Verdict, startedAt: number, now: number): void {
    const characters = charactersOf(key, verdict);
    if (this.#ttl === 0 || characters > MAX_CHARACTERS) return;
    const present = this.#entries.peek(key);
    if (present !== undefined && present.startedAt > startedAt) return;
    this.counters.sets++;
    this.#entries.set(key, { verdict, startedAt, expiresAt: now + this.#ttl });
    this.#characters += characters;
    while (this.#characters > MAX_CHARACTERS) this.#entries.evict(1);
  }
}

function charactersOf(key: string, { message }: Verdict): number {
  return key.length + message.length;
}
