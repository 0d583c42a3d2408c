import { METRICS } from "../../src/metrics/exposition.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { getFromWorkers } from "../support/clients.ts";
import { Debugger } from "../support/debugger.ts";
import { samplesOf } from "../support/metrics.ts";
import { Daemon, type DaemonOptions, WORKER_GRANTS } from "../support/programs.ts";
import { codeAfter, itemsOf } from "../support/docs.ts";
import { afterRequest, ClosedPort, FaultyServer, sending } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";
import { Prometheus, PROMETHEUS_PROGRAMS } from "../servers/prometheus.ts";

/** Starts a daemon with some workers. */
function start(workers: number, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({
    ...options,
    args: ["-n", String(workers), ...options.args ?? []],
    grants: [...WORKER_GRANTS, ...options.grants ?? []],
  });
}

/** The samples of `/metrics`, by series. */
async function samples(daemon: Daemon): Promise<Map<string, number>> {
  const { status, body } = await daemon.get("/metrics");
  assertEquals(status, 200, body);
  return samplesOf(body);
}

/** The sum of all series of a metric. */
function sumCounters(samples: Map<string, number>, metric: string): number {
  return [...samples].filter(([series]) => series.startsWith(metric))
    .reduce((sum, [, value]) => sum + value, 0);
}

/** Sends requests, each on a new connection. */
async function request(daemon: Daemon, path: string, times: number, status: number): Promise<void> {
  for (let i = 0; i < times; i++) assertEquals((await daemon.get(path)).status, status, path);
}

/** The documented configuration of Prometheus, with other targets. */
function scrapeConfigs(daemon: Daemon): string {
  const code = codeAfter("metrics.md", "In Prometheus' configuration:");
  const own = code.replace(/(targets: )\[.*\]/, `$1["127.0.0.1:${daemon.port}"]`);
  assert(own !== code);
  return own;
}

/** The packaged alerts. */
function alerts(): string {
  return Deno.readTextFileSync(new URL("../../deploy/prometheus-alerts.yml", import.meta.url));
}

/** A service that sends every request the same response. */
function constantService(content: string): Promise<FaultyServer> {
  const response = `HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n${content}`;
  return FaultyServer.start(afterRequest(sending(response, (socket) => socket.end())));
}

for (const workers of [1, 3]) {
  serverTest(
    `Prometheus scrapes exact counts of ${workers} workers`,
    PROMETHEUS_PROGRAMS,
    async () => {
      await using service = await constantService("fine");
      using closed = await ClosedPort.open();
      await using daemon = await start(workers, { config: "cache_time: 60\n" });
      daemon.writeRecord("db", "maint");
      daemon.writeRecord("old", '{"reason":"","expiration":1}');
      await until("db is down", async () => {
        return JSON.parse((await daemon.get("/status/services/db/0")).body).kept_out_by !== null;
      });
      await using prometheus = await Prometheus.start({
        scrapeConfigs: scrapeConfigs(daemon),
        rules: alerts(),
      });
      await prometheus.scraped();

      await request(daemon, "/spool/web/0", 41, 200);
      await request(daemon, "/spool/db/0", 7, 503);
      await request(daemon, `/http/web/${service.port}/`, 20, 200);
      await request(daemon, `/tcp/web/${closed.port}`, 5, 503);
      await request(daemon, "/http/web/0/", 3, 400);
      await request(daemon, "/spool/web/99999", 2, 400);
      await request(daemon, "/gopher/web/70", 9, 404);
      assertEquals(
        (await daemon.get("/tcp/web/80", { "X-Nerve-Check-IP": "10.9.8.7" })).status,
        403,
      );
      await prometheus.scraped();

      // Each worker checks the service once.
      const runs = service.accepted;
      const checks = "hacheck_check_duration_seconds_count";
      for (
        const [expression, value] of [
          ['hacheck_requests_total{protocol="spool",code="200"}', 41],
          ['hacheck_requests_total{protocol="spool",code="503"}', 7],
          ['hacheck_requests_total{protocol="spool",code="400"}', 2],
          ['hacheck_requests_total{protocol="http",code="200"}', 20],
          ['hacheck_requests_total{protocol="http",code="400"}', 3],
          ['hacheck_requests_total{protocol="tcp",code="503"}', 5],
          ['hacheck_requests_total{protocol="tcp",code="403"}', 1],
          ["sum(hacheck_requests_total)", 41 + 7 + 2 + 20 + 3 + 5 + 1],
          ['sum(hacheck_requests_total{code=~"5.."})', 12],
          ["count(hacheck_requests_total)", 7],
          [`${checks}{protocol="http"}`, runs],
          [`sum(${checks}) - sum(hacheck_cache_misses_total)`, 0],
          ["hacheck_cache_hits_total + hacheck_cache_misses_total", 25],
          ['hacheck_check_duration_seconds_bucket{protocol="http",le="+Inf"}', runs],
          ["sum(resets(hacheck_requests_total[5m]))", 0],
          ["hacheck_checks_in_flight", 0],
          ["hacheck_checks_queued", 0],
          ['hacheck_spool_records{state="down"}', 1],
          ['hacheck_spool_records{state="drain"}', 0],
          ['hacheck_spool_records{state="expired"}', 1],
          ['hacheck_spool_records{state="faulty"}', 0],
          ["hacheck_spool_healthy", 1],
          ["hacheck_refused_targets_total", 1],
          ["hacheck_event_loops", workers],
          [`hacheck_build_info{version="${VERSION}",deno="${Deno.version.deno}"}`, 1],
          ["sum(hacheck_faults_total)", 0],
          ["abs(time() - process_start_time_seconds - hacheck_uptime_seconds) < bool 5", 1],
          ["process_resident_memory_bytes > bool hacheck_heap_used_bytes", 1],
        ] as const
      ) {
        const found = await prometheus.figure(expression);
        assertEquals([expression, found], [expression, value]);
      }
      assert(runs >= 1 && runs <= workers, `${runs} runs`);

      const rules = await prometheus.rules();
      assertEquals(rules.length, alerts().match(/- alert:/g)!.length);
      await until("the alerts were evaluated", async () => {
        return (await prometheus.rules()).every(({ health }) => health !== "unknown");
      });
      for (const { name, health, lastError } of await prometheus.rules()) {
        assertEquals([name, health, lastError ?? ""], [name, "ok", ""]);
      }
    },
  );
}

serverTest(
  "promtool accepts the metrics and the packaged alerts",
  PROMETHEUS_PROGRAMS,
  async () => {
    await using service = await constantService("fine");
    await using daemon = await start(1);
    const promtool = async (args: readonly string[], input = "") => {
      const process = new Deno.Command("promtool", {
        args: [...args],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const writer = process.stdin.getWriter();
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
      const { code, stdout, stderr } = await process.output();
      const decoder = new TextDecoder();
      return { code, said: decoder.decode(stdout) + decoder.decode(stderr) };
    };
    const silent = { code: 0, said: "" };
    // Without and with a series of each metric.
    const checked = async () => promtool(["check", "metrics"], (await daemon.get("/metrics")).body);
    assertEquals(await checked(), silent);
    await request(daemon, `/http/web/${service.port}/`, 2, 200);
    assertEquals(await checked(), silent);

    const rules = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      await Deno.writeTextFile(rules, alerts());
      const { code, said } = await promtool(["check", "rules", rules]);
      assertEquals(code, 0, said);
    } finally {
      await Deno.remove(rules);
    }
  },
);

Deno.test("the counts of a crashed worker stay, and the crash is counted", async () => {
  await using daemon = await start(3, { grants: [Debugger.GRANT] });
  await using debug = await Debugger.attach(daemon, 3);
  await request(daemon, "/spool/web/0", 40, 200);
  const requests = 'hacheck_requests_total{protocol="spool",code="200"}';
  assertEquals((await samples(daemon)).get(requests), 40);
  for (let crashes = 1; crashes <= 3; crashes++) {
    const [victim] = debug.workers;
    await debug.kill(victim!);
    await until("the worker is replaced", async () => {
      return !debug.workers.includes(victim!) &&
        (await samples(daemon)).get("hacheck_event_loops") === 3;
    });
    const now = await samples(daemon);
    assertEquals([now.get(requests), now.get("hacheck_event_loop_deaths_total")], [40, crashes]);
  }
  await request(daemon, "/spool/web/0", 2, 200);
  assertEquals((await samples(daemon)).get(requests), 42);
});

Deno.test("the counts of a hanging worker stay, and hacheck_event_loops leaves it out", async () => {
  await using daemon = await start(2, { grants: [Debugger.GRANT] });
  await request(daemon, "/spool/web/0", 40, 200);
  const requests = 'hacheck_requests_total{protocol="spool",code="200"}';
  assertEquals((await samples(daemon)).get(requests), 40);
  {
    await using debug = await Debugger.attach(daemon, 2);
    await debug.hang(debug.workers[0]!);
  }
  await until("the other worker reports without it", async () => {
    const reports = (await getFromWorkers(daemon, "/metrics")).map(samplesOf);
    for (const samples of reports) assertEquals(samples.get(requests), 40);
    return reports.some((samples) => samples.get("hacheck_event_loops") === 1);
  });
});

for (const workers of [1, 3]) {
  Deno.test(`no counter of ${workers} workers decreases at SIGHUP`, async () => {
    await using service = await constantService("fine");
    const config = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      await Deno.writeTextFile(config, "cache_time: 60\n");
      await using daemon = await start(workers, {
        args: ["-c", config],
        grants: [`--allow-read=${config}`],
      });
      await request(daemon, `/http/web/${service.port}/`, 30, 200);
      const before = await samples(daemon);
      const runs = before.get("hacheck_cache_misses_total")!;
      assertEquals(before.get("hacheck_cache_hits_total"), 30 - runs);
      daemon.kill("SIGHUP");
      await daemon.logged(/the configuration was read again/);
      const after = await samples(daemon);
      for (const { name, type } of METRICS) {
        if (type === "gauge") continue;
        assertEquals([name, sumCounters(after, name)], [name, sumCounters(before, name)]);
      }
    } finally {
      await Deno.remove(config);
    }
  });
}

Deno.test("/metrics reports checks in flight and queued", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(1, { config: "max_clients: 4\n" });
  const answers = ["a", "b", "c", "d", "e"].map((path) =>
    daemon.get(`/http/web/${service.port}/${path}`)
  );
  const now = async () => {
    const found = await samples(daemon);
    return [found.get("hacheck_checks_in_flight"), found.get("hacheck_checks_queued")];
  };
  for (const expected of [[2, 3], [2, 1], [1, 0]]) {
    await until(`it reports ${expected}`, async () => String(await now()) === String(expected));
    await until("the checks have reached the service", () => service.pending === expected[0]);
    service.respond("fine");
  }
  await Promise.all(answers);
  assertEquals(await now(), [0, 0]);
  const found = await samples(daemon);
  assertEquals(found.get('hacheck_check_duration_seconds_count{protocol="http"}'), 5);
});

Deno.test("/metrics reports a missing spool and invalid records", async () => {
  await using daemon = await start(1);
  const state = async () => {
    const found = await samples(daemon);
    const states = ["down", "drain", "weight", "expired", "faulty"];
    return [
      ...states.map((state) => found.get(`hacheck_spool_records{state="${state}"}`)),
      found.get("hacheck_spool_healthy"),
    ];
  };
  assertEquals(await state(), [0, 0, 0, 0, 0, 1]);
  daemon.writeRecord("web", "maint");
  daemon.writeRecord("api", '{"expiration":"soon"}');
  daemon.writeRecord("db", '{"expiration":1}');
  daemon.writeRecord("mail", '{"mode":"drain"}');
  daemon.writeRecord("mail:25", '{"mode":"drain"}');
  daemon.writeRecord(".weight:web", '{"weight":50}');
  daemon.writeRecord(".weight:api", '{"weight":50,"expiration":1}');
  await until("the records are counted", async () => String(await state()) === "1,2,1,2,1,1");
  Deno.renameSync(daemon.spool, `${daemon.spool}.away`);
  await until("the spool is unhealthy", async () => String(await state()) === "1,2,1,2,1,0");
  Deno.renameSync(`${daemon.spool}.away`, daemon.spool);
  await until("the spool is healthy", async () => String(await state()) === "1,2,1,2,1,1");
});

Deno.test("/metrics responds to GET and HEAD, and to allowed clients only", async () => {
  await using daemon = await start(1);
  for (const method of ["GET", "HEAD", "POST", "OPTIONS"]) {
    const headers = { connection: "close" };
    const response = await fetch(daemon.url("/metrics"), { method, headers });
    const body = await response.text();
    const known = method === "GET" || method === "HEAD";
    assertEquals([method, response.status], [method, known ? 200 : 405]);
    assertEquals(body.startsWith("# HELP "), method === "GET");
    const type = known ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain;charset=UTF-8";
    assertEquals(response.headers.get("content-type"), type);
    if (!known) assertEquals(response.headers.get("allow"), "GET, HEAD");
  }
  await using closed = await start(1, { config: "allowed_clients: [10.0.0.0/8]\n" });
  assertEquals(await closed.get("/metrics"), { status: 403, body: "Forbidden" });
});

Deno.test("docs/metrics.md names exactly the metrics that exist", () => {
  const documented = itemsOf("metrics.md").map((item) =>
    /^(`\w+` \(\w+(?:; .*?)?\)): \S/.exec(item)?.[1]
  ).filter((item) => item !== undefined);
  const existing = METRICS.map(({ name, type, labels }) => {
    const named = labels.map((label) => `\`${label}\``).join(", ");
    return `\`${name}\` (${type}${named === "" ? "" : `; ${named}`})`;
  });
  assertEquals(documented.sort(), existing.sort());
});
