import { Networks } from "../../../src/net/networks.ts";
import { Pipeline } from "../../../src/checks/pipeline.ts";
import { newCounters } from "../../../src/metrics/counters.ts";
import { Stats } from "../../../src/metrics/stats.ts";
import { LocalAddresses } from "../../../src/net/local_addresses.ts";
import { clientAllowlist } from "../../../src/server/client_allowlist.ts";
import { Listener } from "../../../src/server/listener.ts";
import { Outflow } from "../../../src/server/outflow.ts";
import { Refusals } from "../../../src/server/refusals.ts";
import { HeaderReader } from "../../../src/server/request_headers.ts";
import { createRouter, type RouterOptions } from "../../../src/server/router.ts";
import { Routes } from "../../../src/server/routes.ts";
import type { SpoolChanges } from "../../../src/server/spool_changes.ts";
import { TargetPolicy } from "../../../src/server/target_policy.ts";
import type { QueryWorkers } from "../../../src/server/worker_queries.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { SpoolStore } from "../../../src/spool/store.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { TempFolder } from "../../support/programs.ts";
import { sendRaw } from "../../support/raw_http.ts";

/** The parts that serve a request. A test breaks one method of one of them. */
function createParts(folder: TempFolder) {
  const recorded = new RecordedLog();
  const { log } = recorded;
  const counters = newCounters();
  const spool = new SpoolIndex();
  const refusals = new Refusals(log, counters.refused);
  const store = new SpoolStore(folder.path);
  const queryWorkers = (() => [true]) as unknown as QueryWorkers;
  const spoolChanges: SpoolChanges = {
    access: { clients: null, token: null, refusals },
    ...{ store, timeout: 10, queryWorkers, log, errors: counters.errors },
    changes: { announce: () => {} },
  };
  const up = () => Promise.resolve({ code: 200, message: "up" });
  const options: RouterOptions = {
    pipeline: new Pipeline({
      ...{ spool, counters, log, cacheTime: 10, timeout: 10, maxClients: 10 },
      protocols: new Map([["tcp", { check: up, varyOn: [] }]]),
    }),
    ...{ stats: new Stats(), counters, refusals, spoolChanges, queryWorkers, index: spool },
    ...{ targets: new TargetPolicy({ hosts: [], ports: null }), own: new LocalAddresses() },
    ...{ headersToCopy: ["Host"], headers: new HeaderReader(), routes: new Routes() },
    ...{ spoolRoot: folder.path, startedAt: 0, started: 0 },
    permissions: { read: [], write: [], net: "everything", others: [] },
    hasPage: true,
    browserPage: () => Promise.resolve(new Response("page")),
  };
  const clients = new Networks(["127.0.0.1"]);
  return { ...options, counters, clients, spool, store, outflow: new Outflow(), recorded };
}

type Parts = ReturnType<typeof createParts>;

const CHECK = "GET /tcp/web/80 HTTP/1.0\r\n\r\n";
const BYPASS = "GET /tcp/web/80 HTTP/1.0\r\nPragma: no-cache\r\n\r\n";
const SPOOL = "GET /spool/web/0 HTTP/1.0\r\n\r\n";

/** The broken part, and a request that uses it. */
const BROKEN: readonly [part: keyof Parts, method: string, request: string][] = [
  ["headers", "of", CHECK],
  ["routes", "of", CHECK],
  ["own", "has", "GET /tcp/web/80 HTTP/1.0\r\nX-Nerve-Check-IP: 192.0.2.1\r\n\r\n"],
  ["targets", "refusal", CHECK],
  ["refusals", "report", "GET /tcp/web/80 HTTP/1.0\r\nX-Nerve-Check-IP: 192.0.2.1\r\n\r\n"],
  ["stats", "countRequest", CHECK],
  ["stats", "countRequest", SPOOL],
  ["pipeline", "supports", SPOOL],
  ["pipeline", "check", CHECK],
  ["pipeline", "check", BYPASS],
  ["spool", "find", CHECK],
  ["spool", "find", SPOOL],
  ["clients", "has", SPOOL],
  ["outflow", "pass", SPOOL],
  ["outflow", "pass", BYPASS],
];

for (const [part, method, request] of BROKEN) {
  Deno.test(`a check is answered 503 and counted as an internal error if ${part}.${method}() throws: ${request.slice(0, -4).replaceAll("\r\n", ", ")}`, async () => {
    using folder = new TempFolder();
    const parts = createParts(folder);
    const { counters, recorded, outflow } = parts;
    const router = clientAllowlist(parts.clients, createRouter(parts), parts.refusals);
    const listener = new Listener({
      ...{ hostname: "127.0.0.1", port: 0, shared: false, identity: null, router, outflow },
      counters: counters.listeners,
      errors: counters.errors,
      log: recorded.log,
    });
    const send = (request: string) => sendRaw(listener.addr.port, request);
    try {
      // It works before, also from the cache.
      const isOfOtherHost = request.includes("192.0.2.1");
      assertEquals((await send(request)).status, isOfOtherHost ? 403 : 200);
      const { unforeseen: before } = counters.errors;
      const lines = recorded.lines.length;
      Object.defineProperty(parts[part], method, {
        value: () => {
          throw new Error("broken");
        },
      });
      const { status, body } = await send(request);
      assertEquals([status, body], [503, "Internal error"]);
      assertEquals(counters.errors.unforeseen, before + 1);
      assertEquals(recorded.lines.slice(lines), [
        "ERROR internal error in a response: Error: broken",
      ]);
    } finally {
      await listener.stop(20_000);
    }
  });
}

for (const method of ["listEntries", "readEntry", "set"] as const) {
  Deno.test(`a POST is answered 500 and counted if the store's ${method}() throws`, async () => {
    using folder = new TempFolder();
    const parts = createParts(folder);
    const { counters, recorded } = parts;
    const router = createRouter(parts);
    Object.defineProperty(parts.store, method, {
      value: () => {
        throw new Error("broken");
      },
    });
    const response = await router(
      new Request("http://x/spool/web/0", { method: "POST", body: "status=down&reason=x" }),
      { remoteAddr: { hostname: "127.0.0.1" } },
    );
    assertEquals([response.status, await response.text()], [
      500,
      "Cannot take down web: the spool cannot be written",
    ]);
    assertEquals(counters.errors.spool_changes, 1);
    assert(recorded.lines[0]!.startsWith("ERROR cannot take down web: Error: broken"));
  });
}
