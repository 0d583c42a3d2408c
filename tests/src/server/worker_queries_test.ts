import { History } from "../../../src/checks/history.ts";
import { type QueryHandlers, singleWorker } from "../../../src/server/worker_queries.ts";
import { assertEquals } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";

const SUBJECT = { service: "web", port: 8080, host: "127.0.0.1" };

const QUERIES = [
  ["status", null],
  ["counts", null],
  ["recent", 600],
  ["entry", SUBJECT],
  ["refresh", "web"],
  ["runtime", null],
  ["metrics", null],
  ["page", 200],
] as const;

/** Handlers that return their query. */
const echo = Object.fromEntries(
  QUERIES.map(([kind]) => [kind, (detail: unknown) => [kind, detail]]),
) as unknown as QueryHandlers;

Deno.test("singleWorker() calls the handler of the only worker at once", () => {
  const { query: typed } = singleWorker(echo, new History(new RecordedLog().log, false));
  const query = typed as (kind: string, detail: unknown) => unknown;
  for (const [kind, detail] of QUERIES) assertEquals(query(kind, detail), [[kind, detail]]);
});
