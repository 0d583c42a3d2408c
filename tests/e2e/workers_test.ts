import { minimalDaemonFlags } from "../../src/daemon/permissions.ts";
import type { RuntimeReport } from "../../src/metrics/runtime.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Clients, getFromWorkers } from "../support/clients.ts";
import { Debugger } from "../support/debugger.ts";
import {
  Daemon,
  type DaemonOptions,
  hactl,
  run,
  runDaemon,
  TempFolder,
  WORKER_GRANTS,
} from "../support/programs.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

/** Starts a daemon with some workers. */
function start(workers: number, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({
    ...options,
    args: ["-n", String(workers), ...options.args ?? []],
    grants: [...WORKER_GRANTS, ...options.grants ?? []],
  });
}

async function json(daemon: Daemon, path: string) {
  return JSON.parse((await daemon.get(path)).body);
}

/** The runtime report of each worker. */
async function reportsOf(daemon: Daemon): Promise<RuntimeReport[]> {
  return (await json(daemon, "/debug/runtime")).event_loops;
}

/** The number of checks requested of each worker. */
async function requestsOf(daemon: Daemon): Promise<number[]> {
  const reports = await reportsOf(daemon);
  return reports.map(({ checks }) => Object.values(checks).reduce((sum, n) => sum + n, 0));
}

function sumCounters(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Changes the spool by POST, and returns the response. */
async function post(daemon: Daemon, service: string, form: Record<string, string>) {
  const response = await fetch(daemon.url(`/spool/${service}/0/status`), {
    method: "POST",
    headers: { connection: "close" },
    body: new URLSearchParams(form),
  });
  return { status: response.status, body: await response.text() };
}

/** Sends a request often enough to reach every worker, on a new connection each time. */
function requestAll(daemon: Daemon, path: string): Promise<{ status: number; body: string }[]> {
  return Promise.all(Array.from({ length: 8 }, () => daemon.get(path)));
}

serverTest(
  "under load, any worker reports exact counts of all workers",
  ["wrk"],
  async () => {
    const connections = 16;
    const services = 10;
    using folder = new TempFolder();
    const script = folder.write(
      "services.lua",
      `local n = 0
     request = function()
       n = n + 1
       return wrk.format("GET", "/spool/s" .. n % ${services} .. "/0")
     end`,
    );
    await using daemon = await start(4);
    const { code, stdout } = await run("wrk", [
      ...["-t", "2", "-c", String(connections), "-d", "1s", "-s", script],
      daemon.url("/"),
    ]);
    assertEquals(code, 0);
    assert(!/Socket errors|Non-2xx/.test(stdout), stdout);
    const answered = Number(/^\s*(\d+) requests in/m.exec(stdout)![1]);
    assert(answered > 1000, stdout);

    // wrk does not wait for the last response of each connection.
    let counts: Record<string, Record<string, number>> = {};
    const counted = () =>
      sumCounters(Object.values(counts).map((clients) => clients["127.0.0.1"]!));
    await until("all is counted", async () => {
      counts = (await json(daemon, "/status/count")).service_access_counts;
      return counted() >= answered;
    });
    for (const { body } of await requestAll(daemon, "/status/count")) {
      assertEquals(JSON.parse(body), { service_access_counts: counts });
    }
    assert(counted() <= answered + connections, `${counted()} counted, ${answered} answered`);
    const names = Array.from({ length: services }, (_, i) => `s${i}`);
    assertEquals(Object.keys(counts).sort(), names);

    const shares = await requestsOf(daemon);
    assertEquals(shares.length, 4);
    assertEquals(sumCounters(shares), counted());
    assert(
      shares.filter((share) => share > 0).length > 1,
      `one worker got all requests: ${shares}`,
    );

    for (const { body } of await requestAll(daemon, "/recent")) {
      const { seen_services } = JSON.parse(body);
      assertEquals(seen_services.map(([name]: [string]) => name), names);
      for (const [, last] of seen_services) {
        assertEquals({ ...last, ts: 0 }, { code: 200, remote_ip: "127.0.0.1", ts: 0 });
      }
    }
  },
);

Deno.test("/status sums the cache counters of all workers", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "cache_time: 60\n" });
  const requests = 60;
  const answers = Array.from({ length: requests }, () => daemon.get(`/http/web/${service.port}/`));
  await until(
    "all requests are counted",
    async () => sumCounters(await requestsOf(daemon)) === requests,
  );
  await until("each worker with a request checks the service", async () => {
    return service.pending === (await requestsOf(daemon)).filter((n) => n > 0).length;
  });
  const running = service.pending;
  service.respond("fine");
  for (const answer of await Promise.all(answers)) {
    assertEquals(answer, { status: 200, body: "fine" });
  }
  for (let more = 0; more < requests; more++) await daemon.get(`/http/web/${service.port}/`);
  for (const { body } of await requestAll(daemon, "/status")) {
    const { cache, outbound_request_queue_size } = JSON.parse(body);
    assertEquals(outbound_request_queue_size, 0);
    assertEquals(cache, {
      expirations: 0,
      sets: running,
      gets: 2 * requests,
      // Requests during the first check found nothing in the cache.
      hits: requests,
      misses: requests,
    });
  }
});

Deno.test("/status sums the queued checks of all workers", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "max_clients: 1\n" });
  const answers = Array.from({ length: 30 }, (_, i) => {
    return daemon.get(`/http/web/${service.port}/${i}`);
  });
  await until(
    "all requests are counted",
    async () => sumCounters(await requestsOf(daemon)) === answers.length,
  );
  const busy = (await reportsOf(daemon)).filter((worker) => worker.checks_under_way > 0).length;
  for (const { body } of await requestAll(daemon, "/status")) {
    assertEquals(JSON.parse(body).outbound_request_queue_size, answers.length - busy);
  }
  service.respondToAll("fine");
  await Promise.all(answers);
});

Deno.test("all workers apply a POST before its response", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  await using daemon = await start(4, {
    spool,
    config: "allow_remote_spool_changes: true\n",
    grants: [`--allow-write=${spool}`],
  });
  for (let times = 0; times < caseCount(100); times++) {
    const reason = `downtime ${times}`;
    assertEquals(await post(daemon, "web", { status: "down", reason }), { status: 200, body: "" });
    for (const { status, body } of await requestAll(daemon, "/spool/web/8080")) {
      assertEquals(status, 503);
      assertMatch(body, new RegExp(`^Service web in down state since [0-9.]+: ${reason}$`));
    }
    assertEquals(await post(daemon, "web", { status: "up" }), { status: 200, body: "" });
    for (const answer of await requestAll(daemon, "/spool/web/8080")) {
      assertEquals(answer, { status: 200, body: "" });
    }
    if (times % 5 !== 0) continue;
    assertEquals(await post(daemon, "web", { status: "drain", reason }), { status: 200, body: "" });
    const weight = String(times % 100);
    assertEquals(await post(daemon, "web", { weight, reason }), { status: 200, body: "" });
    for (const { status } of await requestAll(daemon, "/spool/web/8080")) assertEquals(status, 404);
    for (const { body } of await requestAll(daemon, "/status/services/web/8080")) {
      assertEquals(JSON.parse(body).agent_weight, Number(weight));
    }
    for (const { body } of await requestAll(daemon, "/status/downtimes")) {
      const { downtimes: [downtime], weights: [weighed] } = JSON.parse(body);
      assertEquals([downtime.name, downtime.mode, downtime.reason], ["web", "drain", reason]);
      assertEquals([weighed.name, weighed.weight], ["web", Number(weight)]);
    }
    assertEquals(await post(daemon, "web", { status: "up" }), { status: 200, body: "" });
  }
  const shares = await requestsOf(daemon);
  assert(shares.every((share) => share > 0), `some workers got no request: ${shares}`);
});

Deno.test("all workers apply a change of hactl before it returns", async () => {
  await using daemon = await start(4);
  const port = ["-p", String(daemon.port)];
  const done = { code: 0, stdout: "", stderr: "" };
  for (let times = 0; times < caseCount(50); times++) {
    const reason = `downtime ${times}`;
    assertEquals(await hactl(daemon.spool, ["down", "web", "-r", reason, ...port]), done);
    for (const { status, body } of await requestAll(daemon, "/spool/web/8080")) {
      assertEquals(status, 503);
      assert(body.endsWith(`: ${reason}`), body);
    }
    assertEquals(await hactl(daemon.spool, ["up", "web", ...port]), done);
    for (const answer of await requestAll(daemon, "/spool/web/8080")) {
      assertEquals(answer, { status: 200, body: "" });
    }
    if (times % 5 !== 0) continue;
    const weight = String(times);
    assertEquals(await hactl(daemon.spool, ["weight", "web", weight, ...port]), done);
    for (const { body } of await requestAll(daemon, "/status/services/web/8080")) {
      assertEquals(JSON.parse(body).agent_weight, Number(weight));
    }
  }
});

Deno.test("SIGTERM stops all workers after their requests in flight", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "healthcheck_timeout: 60\nmax_clients: 100\n" });
  const answers: Promise<{ status: number; body: string }>[] = [];
  await until("each worker has a check in flight", async () => {
    answers.push(daemon.get(`/http/web/${service.port}/${answers.length}`));
    await until("the check is in flight", () => service.pending === answers.length);
    return (await reportsOf(daemon)).every((worker) => worker.checks_under_way > 0);
  });
  daemon.kill("SIGTERM");
  await until("connections are refused", async () => {
    try {
      await daemon.get("/status");
      return false;
    } catch {
      return true;
    }
  });
  service.respond("fine");
  for (const answer of await Promise.all(answers)) {
    assertEquals(answer, { status: 200, body: "fine" });
  }
  assertEquals((await daemon.ended()).code, 0);
  assertMatch(daemon.log, / INFO stopping on SIGTERM\n$/);
});

Deno.test("a hanging worker does not keep the daemon from stopping", async () => {
  await using daemon = await start(2, {
    config: "healthcheck_timeout: 0.5\n",
    grants: [Debugger.GRANT],
  });
  {
    // Deno does not end while a debugger is attached.
    await using debug = await Debugger.attach(daemon, 2);
    await debug.hang(debug.workers[0]!);
  }
  await until("the other worker reports without it", async () => {
    const answers = await getFromWorkers(daemon, "/debug/runtime");
    return answers.some((answer) => JSON.parse(answer).event_loops.length === 1);
  });
  daemon.kill("SIGTERM");
  let code: number | undefined;
  const ended = daemon.ended().then((status) => code = status.code);
  await until("the daemon has ended", () => code !== undefined);
  assertEquals(await ended, 0);
});

Deno.test("workers share every port, and choose a free one for port 0", async () => {
  const port = freePort();
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("fine"),
  );
  await using daemon = await start(3, { args: ["-p", "0", "-p", String(port)] });
  await daemon.logged(new RegExp(`listens on 127.0.0.1 port ${port}\n`));
  const listening = [...daemon.log.matchAll(/listens on 127\.0\.0\.1 port (\d+)/g)];
  assertEquals(listening.map(([, number]) => Number(number)), [daemon.port, port]);
  for (const own of [daemon.port, port]) {
    const before = await requestsOf(daemon);
    await until("each worker got a request on this port", async () => {
      const response = await fetch(`http://127.0.0.1:${own}/tcp/web/${service.addr.port}`, {
        headers: { connection: "close" },
      });
      assertEquals(response.status, 200);
      await response.body?.cancel();
      return (await requestsOf(daemon)).every((share, worker) => share > before[worker]!);
    });
  }
});

Deno.test("a daemon with -n 2 needs permission to read its code, and names the flag", async () => {
  using folder = new TempFolder();
  assertEquals(
    await runDaemon(
      ["-n", "2", "-p", "0", "-B", "127.0.0.1", "--spool-root", folder.path],
      minimalDaemonFlags(folder.path),
    ),
    {
      code: 1,
      stdout: "",
      stderr: `hacheck: -n above 1 needs ${WORKER_GRANTS[0]}\n`,
    },
  );
});

for (const [first, second] of [[1, 1], [1, 2], [2, 1], [2, 2]] as const) {
  Deno.test(`a daemon with -n ${second} does not share the port of one with -n ${first}`, async () => {
    await using daemon = await start(first);
    const { code, stdout, stderr } = await runDaemon(
      [
        ...["-n", String(second), "-p", String(daemon.port)],
        ...["-B", "127.0.0.1", "--spool-root", daemon.spool],
      ],
      [...minimalDaemonFlags(daemon.spool), ...WORKER_GRANTS],
    );
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertEquals(
      stderr,
      `hacheck: Cannot listen on 127.0.0.1 port ${daemon.port}: Address already in use (os error 98)\n`,
    );
    assertEquals((await daemon.get("/status")).status, 200);
  });
}

Deno.test("a worker survives an uncaught error, and logs it", async () => {
  await using daemon = await start(2, { grants: [Debugger.GRANT] });
  await using debug = await Debugger.attach(daemon, 2);
  const { workers } = debug;
  for (
    const [code, message] of [
      ['setTimeout(() => { throw new Error("struck") });', "Error: struck"],
      ['Promise.reject(new Error("dropped"));', "Error: dropped"],
    ] as const
  ) {
    const isLogged = async () => {
      await reportsOf(daemon);
      return daemon.log.includes(`ERROR internal error: ${message}`);
    };
    await debug.runUntil("the error is logged", isLogged, code, workers[0]!);
  }
  await until("both workers respond", async () => (await reportsOf(daemon)).length === 2);
  assertEquals(debug.workers, workers);
});

Deno.test("a crashed worker is replaced, and the daemon responds throughout", async () => {
  await using daemon = await start(3, { grants: [Debugger.GRANT] });
  await using debug = await Debugger.attach(daemon, 3);
  daemon.writeRecord("web", "maint");
  await until("the record is known", async () => {
    return (await requestAll(daemon, "/spool/web/0")).every(({ status }) => status === 503);
  });
  const clients = new Clients(4, daemon, "/spool/web/0", 503);
  await using _stops = clients;
  for (let crashes = 1; crashes <= 5; crashes++) {
    const [victim] = debug.workers;
    await clients.more();
    await debug.kill(victim!);
    await until("the worker is replaced", async () => {
      return !debug.workers.includes(victim!) && (await reportsOf(daemon)).length === 3;
    });
    const crashed = new RegExp(
      `(?:ERROR a worker crashed and is replaced: .*struck[^]*){${crashes}}`,
    );
    await daemon.logged(crashed);
    // Requests from before have a response or are counted as lost.
    await clients.more();
    const { lost } = clients;
    await clients.more();
    assertEquals(clients.lost, lost);
    // The requests in flight, and those that the crashed worker had accepted.
    assert(lost <= 2 * 4 * crashes, `${lost} requests lost by ${crashes} crashes`);
  }
  assertEquals(clients.wrong, 0);
});

for (const how of ["waiting", "busy"] as const) {
  Deno.test(`the daemon exits if a worker hangs, ${how}, so that systemd starts it anew`, async () => {
    await using daemon = await start(2, { grants: [Debugger.GRANT] });
    {
      await using debug = await Debugger.attach(daemon, 2);
      await debug.hang(debug.workers[0]!, how);
    }
    assertEquals((await daemon.ended()).code, 1);
    assertMatch(
      daemon.log,
      / ERROR a worker hangs: no sign of life for 7 s: exiting, to be started anew\n$/,
    );
  });
}

Deno.test("the daemon does not exit after it was stopped as a whole for a while", async () => {
  await using daemon = await start(2);
  daemon.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 9000));
  daemon.kill("SIGCONT");
  await until("both workers report", async () => (await reportsOf(daemon)).length === 2);
  // Long enough for pings that were missed during the stop to count.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert(!(await daemon.stop()).includes("hangs"));
});

/** Reasons why a worker cannot start, and how to begin and end them. */
const OBSTACLES = [
  {
    obstacle: "the spool is missing",
    why:
      /ERROR a crashed worker cannot be replaced yet: Cannot read spool .*: there is no such folder/g,
    begin: ({ spool }: Daemon) => Deno.renameSync(spool, `${spool}.away`),
    end: ({ spool }: Daemon) => Deno.renameSync(`${spool}.away`, spool),
  },
  {
    obstacle: "its code is missing",
    why: /ERROR a crashed worker cannot be replaced yet: .*worker\.[jt]s\.away/g,
    begin: (_: Daemon, debug: Debugger) =>
      debug.run(`const There = Worker;
        Worker = class extends There {
          constructor(url, options) {
            super(url + ".away", options);
          }
        };`),
    end: (_: Daemon, debug: Debugger) => debug.run("Worker = There;"),
  },
] as const;

for (const { obstacle, why, begin, end } of OBSTACLES) {
  Deno.test(`a crashed worker is replaced later if ${obstacle}`, async () => {
    await using daemon = await start(3, { grants: [Debugger.GRANT] });
    await using debug = await Debugger.attach(daemon, 3);
    const attempts = () => (daemon.log.match(why) ?? []).length;
    await begin(daemon, debug);
    await debug.kill(debug.workers[0]!);
    await until("several attempts are logged", () => attempts() >= 3);
    // A worker that is too busy to respond is left out.
    await until("two workers are left", async () => (await reportsOf(daemon)).length === 2);
    for (const { status } of await requestAll(daemon, "/spool/web/0")) assertEquals(status, 200);

    await end(daemon, debug);
    await until("the worker is replaced", async () => (await reportsOf(daemon)).length === 3);
    // Failed workers are gone, and no more attempts are made.
    let before = -1;
    await until(
      "no more attempts are made",
      () => {
        const isOver = attempts() === before;
        before = attempts();
        return isOver;
      },
      undefined,
      1500,
    );
    assertEquals(debug.workers.length, 3);
    await until("all workers respond", async () => (await reportsOf(daemon)).length === 3);
  });
}

Deno.test("a killed daemon can restart on its port at once, with all records", async () => {
  const port = String(freePort());
  using folder = new TempFolder();
  const options = {
    spool: folder.path,
    args: ["-p", port],
    config: "allow_remote_spool_changes: true\n",
    grants: [`--allow-write=${folder.path}`],
  };
  let daemon = await start(3, options);
  try {
    await post(daemon, "web", { status: "down", reason: "maint" });
    for (let times = 1; times <= 3; times++) {
      const clients = new Clients(4, daemon, "/spool/web/0", 503);
      await using _stops = clients;
      await clients.more();
      assertEquals(clients.lost, 0);
      daemon.kill("SIGKILL");
      await daemon[Symbol.asyncDispose]();
      daemon = await start(3, options);
      await clients.more();
      const { lost } = clients;
      await clients.more();
      assertEquals([clients.wrong, clients.lost], [0, lost]);
    }
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
});
