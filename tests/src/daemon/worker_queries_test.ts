import { alone, type Respondent, then } from "../../../src/daemon/worker_queries.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** An event loop that says what it was asked. */
const echo = new Proxy({}, {
  get: (_, kind) => (detail: unknown) => [kind, detail],
}) as unknown as Respondent;

Deno.test("alone() asks the one event loop there is, and has the answer at once", () => {
  const ask = alone(echo) as (kind: string, detail: unknown) => unknown;
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

Deno.test("then() goes on at once with what is there, and later with what is not", async () => {
  assertEquals(then(2, (n) => n + 1), 3);
  assertEquals(await then(Promise.resolve(2), (n) => n + 1), 3);
  const order: string[] = [];
  const later = then(Promise.resolve("later"), (what) => order.push(what));
  then("at once", (what) => order.push(what));
  await later;
  assertEquals(order, ["at once", "later"]);
  const failed = then<number, number>(Promise.reject(new Error("no")), (n) => n);
  await assertRejects(() => Promise.resolve(failed), Error, "no");
});
