import { newCounters } from "../../../src/metrics/counters.ts";
import type { WorkerOverview } from "../../../src/server/worker_queries.ts";
import {
  downtimesReport,
  failingReport,
  MAX_DOWNTIMES_SHOWN,
  MAX_FAILING_SHOWN,
  MAX_REASON_SHOWN,
  MAX_SERVICES_SHOWN,
  statusReport,
} from "../../../src/page/report.ts";
import script from "../../../src/page/browser.js" with { type: "text" };
import { FAILURE_REASONS } from "../../../src/checks/check.ts";
import type { CheckSummary } from "../../../src/checks/outcomes.ts";
import type { ActiveDowntime } from "../../../src/spool/active_entries.ts";
import { type CheckTime, MAX_CHECK_TIMES, type ServiceReport } from "../../../src/metrics/stats.ts";
import { assertEquals } from "../../support/assert.ts";

function downtime(name: string, reason: string): ActiveDowntime {
  const subject = { name, service: name, port: 0, host: "127.0.0.1" };
  return { ...subject, mode: "down", reason, expiration: null, creation: null };
}

/** The figures of a worker that has counted one of everything. */
function worker(services: readonly ServiceReport[], healthy = true): WorkerOverview {
  return {
    counters: JSON.parse(JSON.stringify(newCounters()).replaceAll(":0", ":1")),
    queued: 1,
    spool: {
      healthy,
      fault: null,
      watched: true,
      records: 1,
      faulty: 0,
      faulty_names: [],
      misnamed: 0,
      misnamed_names: [],
    },
    inFlight: 1,
    services,
    ...{ servicesLeftOut: 0, failing: [], failingLeftOut: 0 },
  };
}

const REST = {
  now: 1000,
  uptime: 1,
  permissions: { read: [], write: [], net: "listed", others: [] },
  changing: "off",
  failing: [],
} as const;

function service(
  name: string,
  code: number,
  ts: number,
  checkTimes: readonly CheckTime[],
): ServiceReport {
  return { service: name, last: { code, remote_ip: "10.0.0.1", ts }, checkTimes };
}

Deno.test("downtimesReport() limits the downtimes and cuts long reasons", () => {
  const entries = [downtime("a", ""), downtime("b", "x".repeat(MAX_REASON_SHOWN))];
  assertEquals(downtimesReport({ downtimes: entries, weights: [] }), {
    downtimes: entries,
    downtimes_left_out: 0,
    weights: [],
    weights_left_out: 0,
  });
  const many = Array.from(
    { length: MAX_DOWNTIMES_SHOWN + 3 },
    (_, i) => downtime(`s${i}`, "y".repeat(65_536)),
  );
  const { downtimes, downtimes_left_out } = downtimesReport({ downtimes: many, weights: [] });
  assertEquals([downtimes.length, downtimes_left_out], [MAX_DOWNTIMES_SHOWN, 3]);
  assertEquals(downtimes[0]!.reason, `${"y".repeat(MAX_REASON_SHOWN)}…`);
});

Deno.test("statusReport() sums the figures of all workers", () => {
  const report = statusReport([
    worker([service("web", 200, 900, [[899, 3.14159], [900, -5]]), service("db", 200, 1, [])]),
    worker([service("web", 503, 901, [[898, 1], [901, -0.01]])], false),
  ], REST);
  assertEquals(report.services, [
    {
      service: "web",
      last: { code: 503, remote_ip: "10.0.0.1", ts: 901 },
      milliseconds: [1, 3.14, -5, -0.01],
      since: 898,
    },
    {
      service: "db",
      last: { code: 200, remote_ip: "10.0.0.1", ts: 1 },
      milliseconds: [],
      since: null,
    },
  ]);
  assertEquals([report.event_loops, report.checks], [2, { under_way: 2, queued: 2 }]);
  assertEquals([report.cache.gets, report.refused.clients, report.faults.checks], [2, 2, 2]);
  assertEquals([report.listeners.falls, report.spool.healthy], [2, false]);
});

Deno.test("statusReport() limits the services of all workers together", () => {
  const times = Array.from({ length: MAX_CHECK_TIMES }, (_, i): CheckTime => [i, i]);
  const workers = [0, 1, 2].map((n) =>
    worker(
      Array.from({ length: MAX_SERVICES_SHOWN }, (_, i) =>
        service(n === 2 ? `s0-${i}` : `s${n}-${i}`, 200, n, times)),
    )
  );
  const { services } = statusReport(workers, REST);
  assertEquals(services.length, MAX_SERVICES_SHOWN);
  assertEquals(services.every(({ milliseconds }) => milliseconds.length === MAX_CHECK_TIMES), true);
});

Deno.test("statusReport() reports whether there are more services", () => {
  const overview = worker([service("web", 200, 1, [])]);
  assertEquals(statusReport([overview], REST).more_services, false);
  assertEquals(statusReport([{ ...overview, servicesLeftOut: 1 }], REST).more_services, true);
  const half = (name: string) =>
    worker(
      Array.from({ length: MAX_SERVICES_SHOWN }, (_, i) => service(`${name}${i}`, 200, 1, [])),
    );
  assertEquals(statusReport([half("a"), half("b")], REST).more_services, true);
});

function summary(service: string, since: number, more: Partial<CheckSummary> = {}): CheckSummary {
  return {
    ...{ service, protocol: "http", host: "127.0.0.1", port: 80, path: "/", state: "down", since },
    ...{ at: 990, asked: 990, code: 503, reason: "refused", message: "m" },
    ...more,
  };
}

Deno.test("failingReport() has failures without a record first, the latest change first", () => {
  const checks = [
    summary("planned", 900),
    summary("old", 1),
    summary("recovered", 950, { state: "up" }),
    summary("new", 800, { path: "/".repeat(1000) }),
    summary("unasked", 700, { asked: 939 }),
    summary("asked", 600, { asked: 940 }),
  ];
  const record = ({ service }: CheckSummary) => service === "planned" ? "planned:80" : null;
  const report = failingReport(checks, record, 1000);
  assertEquals(
    report.map(({ service, unasked_since, kept_out_by }) => [service, unasked_since, kept_out_by]),
    [
      ["new", null, null],
      ["unasked", 939, null],
      ["asked", null, null],
      ["old", null, null],
      ["planned", null, "planned:80"],
    ],
  );
  assertEquals(report[0]!.path.length, 200);
});

Deno.test("statusReport() limits the failing checks, and counts those it leaves out", () => {
  const checks = Array.from({ length: MAX_FAILING_SHOWN + 3 }, (_, i) => summary(`s${i}`, i));
  const workers = [worker([]), { ...worker([]), failingLeftOut: 7 }];
  const failing = failingReport(checks, () => null, 1000);
  const report = statusReport(workers, { ...REST, failing });
  assertEquals([report.failing.length, report.failing_left_out], [MAX_FAILING_SHOWN, 10]);
  assertEquals(report.failing.at(-1)!.service, "s3");
});

Deno.test("the page has words for each reason", () => {
  const [, block = ""] = /const REASONS = \{(.*?)\};/s.exec(script)!;
  const names = [...block.matchAll(/^\s*(\w+):/gm)].map(([, name]) => name);
  assertEquals(names, Object.keys(FAILURE_REASONS));
});
