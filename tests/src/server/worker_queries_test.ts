import { type QueryHandlers, querySingle } from "../../../src/server/worker_queries.ts";
import { assertEquals } from "../../support/assert.ts";

/** Handlers that return their query. */
const echo = new Proxy({}, {
  get: (_, kind) => (detail: unknown) => [kind, detail],
}) as unknown as QueryHandlers;

Deno.test("querySingle() calls the handler of the only worker at once", () => {
  const query = querySingle(echo) as (kind: string, detail: unknown) => unknown;
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
    assertEquals(query(kind as string, detail), [[kind, detail]]);
  }
});
