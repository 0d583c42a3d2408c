import { MAX_RENDERINGS, RENDERING_TTL_MS, Renderings } from "../../../src/server/renderings.ts";
import { LARGE_BYTES, sized } from "../../../src/server/sized_response.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("Renderings.of() reuses a large page for a second, and renders a small one each time", async () => {
  let now = 0;
  let rendered = 0;
  const renderings = new Renderings(() => now);
  const ask = async (name: string, length: number) => {
    const response = await renderings.of(name, () => {
      rendered++;
      return sized("x".repeat(length));
    });
    assertEquals((await response.text()).length, length);
    return rendered;
  };
  const large = LARGE_BYTES + 1;
  assertEquals([await ask("a", large), await ask("a", large), await ask("b", large)], [1, 1, 2]);
  assertEquals([await ask("c", 5), await ask("c", 5), await ask("d", 5000)], [3, 4, 5]);
  now += RENDERING_TTL_MS;
  assertEquals([await ask("a", large), await ask("a", large)], [6, 6]);
});

Deno.test("Renderings.of() shares a rendering in progress", async () => {
  for (const length of [5, 5000, LARGE_BYTES + 1]) {
    const renderings = new Renderings();
    const { promise, resolve } = Promise.withResolvers<Response>();
    let rendered = 0;
    const asked = Array.from({ length: 3 }, () =>
      renderings.of("a", () => {
        rendered++;
        return promise;
      }));
    resolve(sized("x".repeat(length)));
    for (const response of asked) assertEquals((await (await response).text()).length, length);
    assertEquals(rendered, 1);
  }
});

Deno.test("Renderings.of() returns 503 above MAX_RENDERINGS", async () => {
  let now = 0;
  const renderings = new Renderings(() => now);
  const ask = async (name: string) => {
    const response = await renderings.of(name, () => sized("x".repeat(LARGE_BYTES + 1)));
    await response.body?.cancel();
    return response.status;
  };
  for (let i = 0; i < MAX_RENDERINGS; i++) assertEquals(await ask(String(i)), 200);
  assertEquals([await ask("one more"), await ask("0")], [503, 200]);
  now += RENDERING_TTL_MS;
  assertEquals(await ask("one more"), 200);
});

Deno.test("Renderings never uses a page of another version again, and rests after a slow rendering", async () => {
  let now = 0;
  let duration = 0;
  const renderings = new Renderings(() => now);
  const ask = async (version: number) => {
    const render = () => {
      now += duration;
      return sized(`${version}`.padEnd(LARGE_BYTES + 1));
    };
    const response = await renderings.of("a", render, version);
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
