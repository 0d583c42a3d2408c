import { type LastAnswer, MAX_PAIRS, MAX_SERVICES, Stats } from "../../src/stats.ts";
import { assertEquals } from "../assert.ts";

function answerAt(ts: number): LastAnswer {
  return { code: 200, remote_ip: "10.0.0.1", ts };
}

Deno.test("stats count checks by service and client", () => {
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
    stats.asked(service, client, 1000);
  }
  assertEquals(
    JSON.stringify(Object.entries(stats.counts()).sort()),
    '[["__proto__",{"10.0.0.1":1}],["constructor",{"::1":1}],["web",{"10.0.0.1":2,"10.0.0.2":1}]]',
  );
});

Deno.test("stats tell which services were asked for lately, sorted, each with its last answer", () => {
  const stats = new Stats();
  const web = stats.asked("web", "10.0.0.1", 1000);
  const db = stats.asked("db", "10.0.0.1", 1100);
  stats.asked("Web", "10.0.0.1", 1200);
  stats.asked("web-2", "10.0.0.1", 1300);
  web.answered(200, "10.0.0.1", 1001);
  db.answered(503, "10.0.0.2", 1101);
  db.answered(200, "10.0.0.1", 1102);
  assertEquals(stats.recent(600, 1600), [
    ["Web", null],
    ["db", answerAt(1102)],
    ["web", answerAt(1001)],
    ["web-2", null],
  ]);
  assertEquals(stats.recent(500, 1600).map(([service]) => service), ["Web", "db", "web-2"]);
  assertEquals(stats.recent(0, 1300).map(([service]) => service), ["web-2"]);
  assertEquals(stats.recent(0, 1301), []);
});

Deno.test("stats count checks by protocol", () => {
  const stats = new Stats();
  assertEquals(stats.byProtocol(), {});
  for (const protocol of ["http", "spool", "http"]) stats.tallyOf(protocol).asked++;
  assertEquals(stats.byProtocol(), { http: 2, spool: 1 });
});

Deno.test("stats take the answer of a service that has been forgotten meanwhile, and tell no one", () => {
  const stats = new Stats();
  const forgotten = stats.asked("forgotten", "10.0.0.1", 1000);
  for (let i = 0; i < MAX_SERVICES; i++) stats.asked(`s${i}`, "10.0.0.1", 1000);
  forgotten.answered(200, "10.0.0.1", 1000);
  const services = stats.recent(600, 1000).map(([service]) => service);
  assertEquals([services.length, services.includes("forgotten")], [MAX_SERVICES, false]);
});

Deno.test("stats remember so many services, and forget first what was not asked for longest", () => {
  const stats = new Stats();
  for (let i = 0; i < MAX_SERVICES; i++) stats.asked(`s${i}`, "10.0.0.1", i);
  stats.asked("s0", "10.0.0.1", MAX_SERVICES);
  stats.asked("one more", "10.0.0.1", MAX_SERVICES);
  const counts = stats.counts();
  assertEquals(Object.keys(counts).length, MAX_SERVICES);
  assertEquals([counts.s0, counts.s1, counts.s2, counts["one more"]], [
    { "10.0.0.1": 2 },
    undefined,
    { "10.0.0.1": 1 },
    { "10.0.0.1": 1 },
  ]);
});

Deno.test("stats count so many pairs of service and client, of whichever there are many", () => {
  const pairs = (stats: Stats) =>
    Object.values(stats.counts()).reduce((sum, clients) => sum + Object.keys(clients).length, 0);

  const manyClients = new Stats();
  for (let i = 0; i <= MAX_PAIRS; i++) manyClients.asked("web", `client ${i}`, i);
  assertEquals(pairs(manyClients), MAX_PAIRS);
  const web = manyClients.counts().web!;
  assertEquals([web["client 0"], web["client 1"], web[`client ${MAX_PAIRS}`]], [undefined, 1, 1]);

  const both = new Stats();
  const clients = MAX_PAIRS / 1000;
  for (let i = 0; i < 1000; i++) {
    for (let j = 0; j < clients; j++) both.asked(`s${i}`, `client ${j}`, i);
  }
  assertEquals(pairs(both), MAX_PAIRS);
  both.asked("one more", "client 0", 1000);
  assertEquals(pairs(both), MAX_PAIRS - clients + 1);
  assertEquals([both.counts().s0, both.counts()["one more"]], [undefined, { "client 0": 1 }]);
});
