import { MAX_CACHED_PAGES, PAGE_TTL_MS, PageCache } from "../../../src/server/page_cache.ts";
import { LARGE_BYTES, SizedResponse } from "../../../src/server/responses.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("PageCache.get() reuses a large page for a second, and renders a small one each time", async () => {
  let now = 0;
  let rendered = 0;
  const cache = new PageCache(() => now);
  const ask = async (name: string, length: number) => {
    const response = await cache.get(name, () => {
      rendered++;
      return new SizedResponse("x".repeat(length));
    });
    assertEquals((await response.text()).length, length);
    return rendered;
  };
  const large = LARGE_BYTES + 1;
  assertEquals([await ask("a", large), await ask("a", large), await ask("b", large)], [1, 1, 2]);
  assertEquals([await ask("c", 5), await ask("c", 5), await ask("d", 5000)], [3, 4, 5]);
  now += PAGE_TTL_MS;
  assertEquals([await ask("a", large), await ask("a", large)], [6, 6]);
});

Deno.test("PageCache.get() shares a rendering in progress", async () => {
  for (const length of [5, 5000, LARGE_BYTES + 1]) {
    const cache = new PageCache();
    const { promise, resolve } = Promise.withResolvers<SizedResponse>();
    let rendered = 0;
    const responses = Array.from({ length: 3 }, () =>
      cache.get("a", () => {
        rendered++;
        return promise;
      }));
    resolve(new SizedResponse("x".repeat(length)));
    for (const response of responses) assertEquals((await (await response).text()).length, length);
    assertEquals(rendered, 1);
  }
});

Deno.test("PageCache.get() returns 503 above MAX_CACHED_PAGES", async () => {
  let now = 0;
  const cache = new PageCache(() => now);
  const ask = async (name: string) => {
    const response = await cache.get(name, () => new SizedResponse("x".repeat(LARGE_BYTES + 1)));
    await response.body?.cancel();
    return response.status;
  };
  for (let i = 0; i < MAX_CACHED_PAGES; i++) assertEquals(await ask(String(i)), 200);
  assertEquals([await ask("one more"), await ask("0")], [503, 200]);
  now += PAGE_TTL_MS;
  assertEquals(await ask("one more"), 200);
});

Deno.test("PageCache.get() never reuses a page of another version, and rests after a slow rendering", async () => {
  let now = 0;
  let duration = 0;
  const cache = new PageCache(() => now);
  const ask = async (version: number) => {
    const render = () => {
      now += duration;
      return new SizedResponse(`${version}`.padEnd(LARGE_BYTES + 1));
    };
    const response = await cache.get("a", render, version);
    const text = await response.text();
    return response.status === 200 ? Number(text) : response.status;
  };
  assertEquals([await ask(1), await ask(2), await ask(2)], [1, 2, 2]);
  duration = 200;
  assertEquals([await ask(3), await ask(3), await ask(4)], [3, 3, 503]);
  now += 20 * duration - 1;
  assertEquals([await ask(3), await ask(4)], [3, 503]);
  now += 1;
  assertEquals(await ask(4), 4);
});
