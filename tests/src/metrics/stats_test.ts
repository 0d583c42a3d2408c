import {
  failingFirst,
  type LastResponse,
  MAX_CHECK_TIMES,
  MAX_PAIRS,
  MAX_SERVICES,
  Stats,
} from "../../../src/metrics/stats.ts";
import { assertEquals } from "../../support/assert.ts";

function responseAt(ts: number): LastResponse {
  return { code: 200, remote_ip: "10.0.0.1", ts };
}

Deno.test("Stats.counts() counts requests by service and client", () => {
  const stats = new Stats();
  assertEquals(JSON.stringify(stats.counts()), "{}");
  for (
    const [service, client] of [
      ["web", "10.0.0.1"],
      ["web", "10.0.0.2"],
      ["web", "10.0.0.1"],
      ["__proto__", "10.0.0.1"],
      ["constructor", "::1"],
    ] as const
  ) {
    stats.countRequest(service, client, 1000);
  }
  assertEquals(
    JSON.stringify(Object.entries(stats.counts()).sort()),
    '[["__proto__",{"10.0.0.1":1}],["constructor",{"::1":1}],["web",{"10.0.0.1":2,"10.0.0.2":1}]]',
  );
});

Deno.test("Stats.recent() returns services requested lately, sorted, each with its last response", () => {
  const stats = new Stats();
  const web = stats.countRequest("web", "10.0.0.1", 1000);
  const db = stats.countRequest("db", "10.0.0.1", 1100);
  stats.countRequest("Web", "10.0.0.1", 1200);
  stats.countRequest("web-2", "10.0.0.1", 1300);
  web.recordResponse(200, "10.0.0.1", 1001);
  db.recordResponse(503, "10.0.0.2", 1101);
  db.recordResponse(200, "10.0.0.1", 1102);
  assertEquals(stats.recent(600, 1600), [
    ["Web", null],
    ["db", responseAt(1102)],
    ["web", responseAt(1001)],
    ["web-2", null],
  ]);
  assertEquals(stats.recent(500, 1600).map(([service]) => service), ["Web", "db", "web-2"]);
  assertEquals(stats.recent(0, 1300).map(([service]) => service), ["web-2"]);
  assertEquals(stats.recent(0, 1301), []);
});

Deno.test("Stats ignores the response of a service that was dropped meanwhile", () => {
  const stats = new Stats();
  const dropped = stats.countRequest("dropped", "10.0.0.1", 1000);
  for (let i = 0; i < MAX_SERVICES; i++) stats.countRequest(`s${i}`, "10.0.0.1", 1000);
  dropped.recordResponse(200, "10.0.0.1", 1000);
  const services = stats.recent(600, 1000).map(([service]) => service);
  assertEquals([services.length, services.includes("dropped")], [MAX_SERVICES, false]);
});

Deno.test("Stats keeps MAX_SERVICES services, and drops the least recently requested", () => {
  const stats = new Stats();
  for (let i = 0; i < MAX_SERVICES; i++) stats.countRequest(`s${i}`, "10.0.0.1", i);
  stats.countRequest("s0", "10.0.0.1", MAX_SERVICES);
  stats.countRequest("one more", "10.0.0.1", MAX_SERVICES);
  const counts = stats.counts();
  assertEquals(Object.keys(counts).length, MAX_SERVICES);
  assertEquals([counts.s0, counts.s1, counts.s2, counts["one more"]], [
    { "10.0.0.1": 2 },
    undefined,
    { "10.0.0.1": 1 },
    { "10.0.0.1": 1 },
  ]);
});

Deno.test("Stats keeps MAX_PAIRS pairs, of many clients as of many services", () => {
  const pairs = (stats: Stats) =>
    Object.values(stats.counts()).reduce((sum, clients) => sum + Object.keys(clients).length, 0);

  const manyClients = new Stats();
  for (let i = 0; i <= MAX_PAIRS; i++) manyClients.countRequest("web", `client ${i}`, i);
  assertEquals(pairs(manyClients), MAX_PAIRS);
  const web = manyClients.counts().web!;
  assertEquals([web["client 0"], web["client 1"], web[`client ${MAX_PAIRS}`]], [undefined, 1, 1]);

  const both = new Stats();
  const clients = MAX_PAIRS / 1000;
  for (let i = 0; i < 1000; i++) {
    for (let j = 0; j < clients; j++) both.countRequest(`s${i}`, `client ${j}`, i);
  }
  assertEquals(pairs(both), MAX_PAIRS);
  both.countRequest("one more", "client 0", 1000);
  assertEquals(pairs(both), MAX_PAIRS - clients + 1);
  assertEquals([both.counts().s0, both.counts()["one more"]], [undefined, { "client 0": 1 }]);
});

Deno.test("Stats.recentReports() returns the last check times, oldest first, failures negative", () => {
  const stats = new Stats();
  const web = stats.countRequest("web", "10.0.0.1", 1000);
  const times = () => stats.recentReports(600, 1000, 10)[0]!.checkTimes;
  assertEquals(times(), []);
  for (
    const [code, milliseconds, expected] of [
      [200, 12.5, 12.5],
      [301, 1, 1],
      [399, 0, 0],
      [400, 7, -7],
      [503, 0, -0.01],
      [204, 3, 3],
      [101, 3, -3],
    ] as const
  ) {
    web.recordCheckTime(code, 1001, milliseconds);
    assertEquals(times().at(-1), [1001, expected], `${code}`);
  }
  for (let i = 0; i < MAX_CHECK_TIMES + 5; i++) {
    web.recordCheckTime(200, 2000 + i, i);
    assertEquals(times().length, Math.min(8 + i, MAX_CHECK_TIMES));
  }
  assertEquals(times(), Array.from({ length: MAX_CHECK_TIMES }, (_, i) => [2005 + i, 5 + i]));
  // A check time alone is no response.
  assertEquals(stats.recent(600, 1000), [["web", null]]);
});

Deno.test("Stats.recentReports() returns failing services first, each group sorted by name", () => {
  const stats = new Stats();
  const codes = { d: 200, b: 503, a: 204, c: 404, f: 302, e: null };
  for (const [service, code] of Object.entries(codes)) {
    const recorder = stats.countRequest(service, "10.0.0.1", 1000);
    if (code !== null) recorder.recordResponse(code, "10.0.0.1", 1000);
  }
  const names = (most: number) =>
    stats.recentReports(600, 1000, most).map(({ service }) => service);
  assertEquals(names(10), ["b", "c", "a", "d", "e", "f"]);
  assertEquals(names(3), ["b", "c", "a"]);
  assertEquals(stats.recentReports(600, 1601, 10), []);
  assertEquals([stats.countRecent(600, 1600), stats.countRecent(600, 1601)], [6, 0]);
  const reports = stats.recentReports(600, 1000, 10);
  assertEquals(failingFirst(reports.toReversed(), 10), reports);
});
