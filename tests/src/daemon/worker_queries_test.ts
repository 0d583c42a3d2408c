import {
  mapAwaitable,
  type QueryHandlers,
  querySingle,
} from "../../../src/daemon/worker_queries.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** An event loop that says what it was asked. */
const echo = new Proxy({}, {
  get: (_, kind) => (detail: unknown) => [kind, detail],
}) as unknown as QueryHandlers;

Deno.test("querySingle() asks the one event loop there is, and has the answer at once", () => {
  const ask = querySingle(echo) as (kind: string, detail: unknown) => unknown;
  const subject = { service: "web", port: 8080, host: "127.0.0.1" };
  for (
    const [kind, detail] of [
      ["status", null],
      ["counts", null],
      ["recent", 600],
      ["spool", subject],
      ["refresh", "web"],
      ["runtime", null],
      ["metrics", null],
      ["page", 200],
    ]
  ) {
    assertEquals(ask(kind as string, detail), [[kind, detail]]);
  }
});

Deno.test("mapAwaitable() goes on at once with what is there, and later with what is not", async () => {
  assertEquals(mapAwaitable(2, (n) => n + 1), 3);
  assertEquals(await mapAwaitable(Promise.resolve(2), (n) => n + 1), 3);
  const order: string[] = [];
  const later = mapAwaitable(Promise.resolve("later"), (what) => order.push(what));
  mapAwaitable("at once", (what) => order.push(what));
  await later;
  assertEquals(order, ["at once", "later"]);
  const failed = mapAwaitable<number, number>(Promise.reject(new Error("no")), (n) => n);
  await assertRejects(() => Promise.resolve(failed), Error, "no");
});
