import { MAX_CHARACTERS, MAX_ENTRIES, ResultCache } from "../../src/cache.ts";
import type { Verdict } from "../../src/check.ts";
import { assertEquals } from "../assert.ts";

const GOOD: Verdict = { code: 200, message: "fine" };
const BAD: Verdict = { code: 503, message: "ill" };

Deno.test("a cache gives results back, good and bad, for as long as they may be reused", () => {
  const cache = new ResultCache(1000);
  cache.set("a", GOOD, 0, 500);
  cache.set("b", BAD, 0, 600);
  assertEquals([cache.get("a", 1499), cache.get("b", 1499)], [GOOD, BAD]);
  assertEquals([cache.get("a", 1500), cache.get("b", 1500)], [undefined, BAD]);
  assertEquals([cache.get("b", 1600), cache.get("c", 0)], [undefined, undefined]);
});

Deno.test("a cache with no time to keep anything keeps nothing", () => {
  const cache = new ResultCache(0);
  cache.set("a", GOOD, 0, 0);
  assertEquals(cache.get("a", 0), undefined);
  assertEquals(cache.counters, { expirations: 0, sets: 0, gets: 1, hits: 0, misses: 1 });
});

Deno.test("a cache counts what it is asked for", () => {
  const cache = new ResultCache(1000);
  cache.get("a", 0);
  cache.set("a", GOOD, 0, 0);
  cache.get("a", 1);
  cache.get("a", 2);
  cache.get("a", 1000);
  cache.get("a", 1001);
  assertEquals(cache.counters, { expirations: 1, sets: 1, gets: 5, hits: 2, misses: 3 });
});

Deno.test("a result gives way to one whose check began at the same time or later, and to no other", () => {
  const cache = new ResultCache(1000);
  cache.set("a", GOOD, 10, 20);
  cache.set("a", BAD, 9, 30);
  assertEquals(cache.get("a", 30), GOOD);
  assertEquals(cache.counters.sets, 1);
  cache.set("a", BAD, 10, 40);
  assertEquals(cache.get("a", 1039), BAD);
  cache.set("a", GOOD, 11, 1039);
  assertEquals(cache.get("a", 1040), GOOD);
});

Deno.test("a cache holds so many results, and forgets first what was not asked for longest", () => {
  const cache = new ResultCache(1000);
  for (let i = 0; i < MAX_ENTRIES; i++) cache.set(String(i), GOOD, 0, 0);
  cache.get("0", 0);
  cache.set("one more", BAD, 0, 0);
  assertEquals(
    [cache.get("0", 0), cache.get("1", 0), cache.get("2", 0), cache.get("one more", 0)],
    [GOOD, undefined, GOOD, BAD],
  );
});

Deno.test("a cache holds so many characters, those of keys included", () => {
  const cache = new ResultCache(1000);
  const half = "x".repeat(MAX_CHARACTERS / 2);
  cache.set("message", { code: 200, message: half }, 0, 0);
  cache.set(half, GOOD, 0, 0);
  assertEquals([cache.get("message", 0), cache.get(half, 0)], [undefined, GOOD]);
  cache.set("too much", { code: 200, message: half + half }, 0, 0);
  assertEquals([cache.get("too much", 0), cache.get(half, 0)], [undefined, GOOD]);
});
