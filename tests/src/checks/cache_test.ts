import { newCounters } from "../../../src/metrics/counters.ts";
import {
  type CacheFailures,
  MAX_CHARACTERS,
  MAX_ENTRIES,
  MAX_RECIPIENTS,
  Recipients,
  VerdictCache,
} from "../../../src/checks/cache.ts";
import type { Verdict } from "../../../src/checks/check.ts";
import { assertEquals } from "../../support/assert.ts";

const GOOD: Verdict = { code: 200, message: "fine" };
const OTHER: Verdict = { code: 302, message: "over there" };
const BAD: Verdict = { code: 503, message: "ill" };

/** A cache, and the client that asks it by default. */
class Bench {
  readonly cache: VerdictCache;

  constructor(ttl: number, failures?: CacheFailures) {
    this.cache = new VerdictCache(ttl, newCounters().cache, failures);
  }

  get(key: string, now: number, client = "10.0.0.1"): Verdict | undefined {
    return this.cache.get(key, client, now);
  }

  set(key: string, verdict: Verdict, startedAt: number, now: number, ...clients: string[]): void {
    const recipients = new Recipients();
    for (const client of clients) recipients.add(client);
    this.cache.set(key, verdict, recipients, startedAt, now);
  }
}

Deno.test("VerdictCache.get() returns verdicts, good and bad, until they expire", () => {
  const bench = new Bench(1000);
  bench.set("a", GOOD, 0, 500);
  bench.set("b", BAD, 0, 600);
  assertEquals([bench.get("a", 1499), bench.get("b", 1499)], [GOOD, BAD]);
  assertEquals([bench.get("a", 1500), bench.get("b", 1500, "10.0.0.2")], [undefined, BAD]);
  assertEquals([bench.get("b", 1600), bench.get("c", 0)], [undefined, undefined]);
});

Deno.test("VerdictCache.set() caches nothing with a ttl of 0", () => {
  const bench = new Bench(0);
  bench.set("a", GOOD, 0, 0);
  assertEquals(bench.get("a", 0), undefined);
  assertEquals(bench.cache.counters, { expirations: 0, sets: 0, gets: 1, hits: 0, misses: 1 });
});

Deno.test("VerdictCache counts look-ups, hits, misses and expirations", () => {
  const bench = new Bench(1000);
  bench.get("a", 0);
  bench.set("a", GOOD, 0, 0);
  bench.get("a", 1);
  bench.get("a", 2);
  bench.get("a", 1000);
  bench.get("a", 1001);
  assertEquals(bench.cache.counters, { expirations: 1, sets: 1, gets: 5, hits: 2, misses: 3 });
});

Deno.test("VerdictCache.set() replaces a verdict by that of a check that began at the same time or later", () => {
  const bench = new Bench(1000);
  bench.set("a", GOOD, 10, 20);
  bench.set("a", OTHER, 9, 30);
  assertEquals(bench.get("a", 30), GOOD);
  assertEquals(bench.cache.counters.sets, 1);
  bench.set("a", OTHER, 10, 40);
  assertEquals(bench.get("a", 1039), OTHER);
  bench.set("a", GOOD, 11, 1039);
  assertEquals(bench.get("a", 1040), GOOD);
});

Deno.test("VerdictCache holds MAX_ENTRIES verdicts, and evicts the least recently used one", () => {
  const bench = new Bench(1000);
  for (let i = 0; i < MAX_ENTRIES; i++) bench.set(String(i), GOOD, 0, 0);
  bench.get("0", 0);
  bench.set("one more", BAD, 0, 0);
  assertEquals(
    [bench.get("0", 0), bench.get("1", 0), bench.get("2", 0), bench.get("one more", 0)],
    [GOOD, undefined, GOOD, BAD],
  );
});

Deno.test("VerdictCache holds MAX_CHARACTERS characters, those of keys included", () => {
  const bench = new Bench(1000);
  const half = "x".repeat(MAX_CHARACTERS / 2);
  bench.set("message", { code: 200, message: half }, 0, 0);
  bench.set(half, GOOD, 0, 0);
  assertEquals([bench.get("message", 0), bench.get(half, 0)], [undefined, GOOD]);
  bench.set("too much", { code: 200, message: half + half }, 0, 0);
  assertEquals([bench.get("too much", 0), bench.get(half, 0)], [undefined, GOOD]);
});

const CLIENTS = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];

Deno.test("VerdictCache.get() returns a failure once to each client that was not given it before", () => {
  for (const code of [400, 404, 500, 503, 511]) {
    const bench = new Bench(1000);
    const failure = { code, message: "ill" };
    bench.set("a", failure, 0, 0, CLIENTS[0]!);
    const ask = () => CLIENTS.map((client) => bench.get("a", 1, client));
    assertEquals(ask(), [undefined, failure, failure]);
    assertEquals(ask(), [undefined, undefined, undefined]);
    assertEquals(bench.cache.counters, { expirations: 0, sets: 1, gets: 6, hits: 2, misses: 4 });

    bench.set("a", failure, 2, 2, CLIENTS[1]!);
    assertEquals(ask(), [failure, undefined, failure], "the next failure is another one");
  }
});

Deno.test("VerdictCache.get() returns what HAProxy takes for up to each client, again and again", () => {
  for (const code of [200, 204, 301, 302, 399]) {
    const bench = new Bench(1000);
    const verdict = { code, message: "" };
    bench.set("a", verdict, 0, 0, CLIENTS[0]!);
    for (const client of [...CLIENTS, ...CLIENTS]) {
      assertEquals(bench.get("a", 1, client), verdict);
    }
  }
});

Deno.test("VerdictCache.get() returns a failure again and again with cache_failures: always", () => {
  const bench = new Bench(1000, "always");
  bench.set("a", BAD, 0, 0, CLIENTS[0]!);
  for (const client of [...CLIENTS, ...CLIENTS]) assertEquals(bench.get("a", 1, client), BAD);
});

/** Makes a number of different addresses. */
function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `2001:db8::${i.toString(16)}`);
}

Deno.test("VerdictCache.get() returns a failure to MAX_RECIPIENTS clients at most", () => {
  const bench = new Bench(1000);
  bench.set("a", BAD, 0, 0);
  const clients = addresses(MAX_RECIPIENTS + 2);
  const late = clients.splice(MAX_RECIPIENTS);
  for (const client of clients) assertEquals(bench.get("a", 1, client), BAD);
  for (const client of [...late, ...clients]) assertEquals(bench.get("a", 1, client), undefined);
});

Deno.test("VerdictCache.set() does not cache a failure with more than MAX_RECIPIENTS recipients", () => {
  const bench = new Bench(1000);
  bench.set("a", BAD, 0, 0, ...addresses(MAX_RECIPIENTS));
  assertEquals(bench.get("a", 1, "10.0.0.1"), undefined);
  bench.set("b", BAD, 0, 0, ...addresses(MAX_RECIPIENTS + 1));
  bench.set("c", GOOD, 0, 0, ...addresses(MAX_RECIPIENTS + 1));
  assertEquals(bench.get("b", 1, "10.0.0.1"), undefined);
  assertEquals(bench.get("c", 1, "10.0.0.1"), GOOD);
  assertEquals(bench.cache.counters.sets, 2);
});

Deno.test("VerdictCache counts recipients towards MAX_CHARACTERS", () => {
  const bench = new Bench(1000);
  bench.set("big", { code: 200, message: "x".repeat(MAX_CHARACTERS - 1000) }, 0, 0);
  bench.set("a", BAD, 0, 0);
  const [first, ...others] = addresses(20);
  assertEquals([bench.get("a", 1, first), bench.get("big", 1)?.code], [BAD, 200]);
  for (const client of others) bench.get("a", 1, client);
  assertEquals(bench.get("big", 1), undefined, "it made room");
  // Evicted entries free their characters.
  for (let i = 0; i < 200; i++) {
    bench.set("a", BAD, i, i, ...addresses(MAX_RECIPIENTS));
    bench.set("b", GOOD, i, i);
    assertEquals(bench.get("b", i), GOOD);
  }
});
