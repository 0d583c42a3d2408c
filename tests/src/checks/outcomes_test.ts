import type { CheckRequest, Verdict } from "../../../src/checks/check.ts";
import {
  type CheckReport,
  failingChecksFirst,
  MAX_CHECKS,
  MAX_FAILURES,
  MAX_FAILURES_PER_CHECK,
  MAX_MESSAGE_KEPT,
  MAX_REQUEST_KEPT,
  mergeReports,
  mergeSummaries,
  type OutcomeChange,
  Outcomes,
} from "../../../src/checks/outcomes.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const REQUEST: CheckRequest = {
  ...{ protocol: "http", service: "web", host: "::1", port: 8080, path: "/status", headers: [] },
};

const GOOD: Verdict = {
  code: 200,
  message: "fine",
  phases: { connect: 1, first_byte: 2, rest: 3 },
};
const BAD: Verdict = {
  code: 503,
  message: "refused\nindeed",
  reason: "refused",
  phases: { connect: 1 },
};

/** Records verdicts of one check, one each second. */
function recorded(...verdicts: Verdict[]): { report: CheckReport; changes: OutcomeChange[] } {
  const outcomes = new Outcomes();
  const changes: OutcomeChange[] = [];
  outcomes.onChange = (change) => changes.push(change);
  verdicts.forEach((verdict, i) => outcomes.record("key", REQUEST, verdict, 0, 6, 1000 + i));
  const [report] = outcomes.reports("web", 0);
  return { report: report!, changes };
}

Deno.test("Outcomes.reports() has state, last result, and failures apart from good results", () => {
  const { report } = recorded(GOOD, BAD, BAD);
  const milliseconds = { queue: 0, connect: 1, tls: null, first_byte: null, rest: null, total: 6 };
  const failure = (at: number) => ({
    ...{ at, code: 503, reason: "refused", message: "refused", address: "[::1]:8080" },
    milliseconds,
  });
  assertEquals(report as unknown, {
    ...{ service: "web", protocol: "http", host: "::1", port: 8080, path: "/status" },
    ...{ state: "down", since: 1001 },
    last: failure(1002),
    last_good: {
      ...{ at: 1000, code: 200, reason: null, message: "fine", address: "[::1]:8080" },
      milliseconds: { ...milliseconds, first_byte: 2, rest: 3 },
    },
    failures: [failure(1002), failure(1001)],
  });
});

Deno.test("Outcomes.record() reports each change of the state, and no first success", () => {
  const states = (...verdicts: Verdict[]) =>
    recorded(...verdicts).changes.map(({ from, to, result: { at } }) => [from, to, at]);
  assertEquals(states(GOOD, GOOD), []);
  assertEquals(states(BAD, BAD), [[null, "down", 1000]]);
  assertEquals(states(GOOD, BAD, BAD, GOOD), [["up", "down", 1001], ["down", "up", 1003]]);
});

Deno.test("Outcomes.record() keeps MAX_FAILURES_PER_CHECK failures, and a line of a message", () => {
  const { failures } = recorded(...Array.from({ length: 20 }, () => BAD)).report;
  assertEquals(failures.length, MAX_FAILURES_PER_CHECK);
  assertEquals(failures[0]!.at, 1019);
  const long = { ...BAD, message: "ü".repeat(100_000) };
  assertEquals(recorded(long).report.last.message, "ü".repeat(MAX_MESSAGE_KEPT));
});

Deno.test("Outcomes.record() keeps MAX_FAILURES failures of all checks, and the last one of each", () => {
  const outcomes = new Outcomes();
  const services = MAX_FAILURES / 4;
  for (let round = 0; round < MAX_FAILURES_PER_CHECK; round++) {
    for (let i = 0; i < services; i++) {
      outcomes.record(`${i}`, { ...REQUEST, service: `s${i}` }, BAD, 0, 1, round);
    }
  }
  const kept = [...outcomes.reports(null, 0)].reduce(
    (sum, { failures }) => sum + failures.length,
    0,
  );
  assertEquals(kept, MAX_FAILURES);
});

Deno.test("Outcomes.record() keeps MAX_CHECKS checks, and drops that with the oldest verdict", () => {
  const outcomes = new Outcomes();
  const record = (i: number) =>
    outcomes.record(`${i}`, { ...REQUEST, service: `s${i}` }, BAD, 0, 1, i);
  for (let i = 0; i < MAX_CHECKS; i++) record(i);
  record(0);
  record(MAX_CHECKS);
  assertEquals(outcomes.size, MAX_CHECKS);
  const has = (service: string) => [...outcomes.reports(service, 0)].length === 1;
  assertEquals(["s0", "s1", "s2"].map(has), [true, false, true]);
});

Deno.test("Outcomes.reports() has each service that shares a check, if a balancer asked for it lately", () => {
  const outcomes = new Outcomes();
  const one: CheckRequest = { ...REQUEST, service: "one", askedAt: 100 };
  const other: CheckRequest = { ...REQUEST, service: "other", askedAt: 200 };
  outcomes.track("key", one);
  outcomes.track("key", other);
  assertEquals([...outcomes.reports(null, 0)], [], "there is no verdict yet");
  assertEquals(outcomes.requests("one", 0), [one]);
  outcomes.record("key", one, GOOD, 0, 1, 150);
  const services = (since: number) =>
    [...outcomes.reports(null, since)].map(({ service }) => service);
  assertEquals(services(0), ["one", "other"]);
  assertEquals(services(101), ["other"]);
  one.askedAt = 300;
  assertEquals(services(250), ["one"]);
  outcomes.track("key", { ...one, path: "/new" });
  assertEquals(outcomes.requests("one", 0).map(({ path }) => path), ["/new"]);
});

Deno.test("mergeReports() takes the newest result, and the failures of all workers", () => {
  const at = (report: CheckReport, seconds: number): CheckReport => {
    const move = <T extends { at: number }>(result: T) => ({ ...result, at: result.at + seconds });
    return {
      ...report,
      since: report.since + seconds,
      last: move(report.last),
      failures: report.failures.map(move),
    };
  };
  const down = recorded(GOOD, BAD).report;
  const [merged] = mergeReports([[at(down, 5)], [down], []]);
  assertEquals([merged!.since, merged!.last.at], [1001, 1006]);
  assertEquals(merged!.failures.map(({ at }) => at), [1006, 1001]);
  const up = at(recorded(GOOD).report, 50);
  const [recovered, ...others] = mergeReports([[up], [down]]);
  assertEquals([recovered!.state, recovered!.since, recovered!.failures.length], ["up", 1050, 1]);
  assertEquals(others, []);
});

Deno.test("failingChecksFirst() sorts by state, service and port", () => {
  const { report } = recorded(BAD);
  const reports = [["b", 2, "up"], ["a", 2, "up"], ["c", 3, "down"], ["c", 1, "down"]].map((
    [service, port, state],
  ) => ({ ...report, service, port, state }) as CheckReport);
  const sorted = failingChecksFirst(reports).map(({ service, port }) => `${service}:${port}`);
  assertEquals(sorted, ["c:1", "c:3", "a:2", "b:2"]);
  assert(reports[0]!.service === "b");
});

Deno.test("Outcomes.failing() has failing checks, the latest change first and planned ones last", () => {
  const outcomes = new Outcomes();
  const record = (service: string, verdict: Verdict, at: number, askedAt = 1000) =>
    outcomes.record(service, { ...REQUEST, service, askedAt }, verdict, 0, 1, at);
  record("up", GOOD, 1);
  record("old", BAD, 2);
  record("planned", BAD, 5);
  record("new", BAD, 4);
  record("new", BAD, 6);
  record("unasked", BAD, 7, 10);
  record("recovered", BAD, 8);
  record("recovered", GOOD, 9);
  const failing = (most: number) =>
    outcomes.failing(100, most, ({ service }) => service === "planned");
  assertEquals(failing(9).checks.map(({ service }) => service), ["new", "old", "planned"]);
  assertEquals(failing(9).leftOut, 0);
  assertEquals([failing(2).checks.length, failing(2).leftOut], [2, 1]);
  assertEquals(failing(1).checks as unknown, [{
    ...{ service: "new", protocol: "http", host: "::1", port: 8080, path: "/status" },
    ...{ state: "down", since: 4, at: 6, asked: 1000, code: 503 },
    ...{ reason: "refused", message: "refused" },
  }]);
  const wanted = ["recovered", "new", "unknown"].map((service) => ({ ...REQUEST, service }));
  assertEquals(
    outcomes.latest(wanted).map(({ service, state }) => [service, state]).sort(),
    [["new", "down"], ["recovered", "up"]],
  );
  assertEquals(outcomes.latest([{ ...REQUEST, service: "new", port: 1 }]), []);
});

Deno.test("mergeSummaries() lets the newest run decide", () => {
  const outcomes = new Outcomes();
  outcomes.record("key", REQUEST, BAD, 0, 1, 1000);
  const [down] = outcomes.latest([REQUEST]);
  const up = { ...down!, state: "up", since: 1005, at: 1005, asked: 1005 } as const;
  const later = { ...down!, since: 1010, at: 1011, asked: 1004 };
  assertEquals(mergeSummaries([down!, up]), [up]);
  assertEquals(mergeSummaries([up, down!]), [up]);
  assertEquals(mergeSummaries([later, up]), [{ ...later, asked: 1005 }]);
  assertEquals(mergeSummaries([later, down!]), [{ ...later, since: 1000 }]);
});

Deno.test("Outcomes keeps no check whose path and headers are longer than MAX_REQUEST_KEPT", () => {
  const outcomes = new Outcomes();
  let changes = 0;
  outcomes.onChange = () => changes++;
  const rest = MAX_REQUEST_KEPT - "/".length - "Host".length;
  const request = (service: string, length: number): CheckRequest => ({
    ...REQUEST,
    ...{ service, path: "/", headers: [["Host", "a".repeat(length)]] },
  });
  for (const [service, length] of [["kept", rest], ["long", rest + 1]] as const) {
    outcomes.track(service, request(service, length));
    outcomes.record(service, request(service, length), BAD, 0, 1, 1000);
  }
  assertEquals([outcomes.size, changes], [1, 1]);
  assertEquals([...outcomes.reports(null, 0)].map(({ service }) => service), ["kept"]);
});
