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

/** Starts a daemon with some event loops. */
function start(loops: number, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({
    ...options,
    args: ["-n", String(loops), ...options.args ?? []],
    grants: [...WORKER_GRANTS, ...options.grants ?? []],
  });
}

async function json(daemon: Daemon, path: string) {
  return JSON.parse((await daemon.get(path)).body);
}

/** How each event loop is. */
async function loopsOf(daemon: Daemon): Promise<RuntimeReport[]> {
  return (await json(daemon, "/debug/runtime")).event_loops;
}

/** What each event loop has been asked for. */
async function asked(daemon: Daemon): Promise<number[]> {
  const loops = await loopsOf(daemon);
  return loops.map(({ checks }) => Object.values(checks).reduce((sum, n) => sum + n, 0));
}

function sumCounters(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Marks a service by POST, and returns the status of the answer. */
async function post(daemon: Daemon, service: string, form: Record<string, string>) {
  const response = await fetch(daemon.url(`/spool/${service}/0/status`), {
    method: "POST",
    headers: { connection: "close" },
    body: new URLSearchParams(form),
  });
  return { status: response.status, body: await response.text() };
}

/** Asks the same often enough that every event loop is asked, each time on a connection of its own. */
function askAll(daemon: Daemon, path: string): Promise<{ status: number; body: string }[]> {
  return Promise.all(Array.from({ length: 8 }, () => daemon.get(path)));
}

serverTest(
  "under load, any event loop tells exactly what all of them were asked",
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

    // What was sent last, each connection may have gone without waiting for.
    let counts: Record<string, Record<string, number>> = {};
    const counted = () =>
      sumCounters(Object.values(counts).map((clients) => clients["127.0.0.1"]!));
    await until("all is counted", async () => {
      counts = (await json(daemon, "/status/count")).service_access_counts;
      return counted() >= answered;
    });
    for (const { body } of await askAll(daemon, "/status/count")) {
      assertEquals(JSON.parse(body), { service_access_counts: counts });
    }
    assert(counted() <= answered + connections, `${counted()} counted, ${answered} answered`);
    const names = Array.from({ length: services }, (_, i) => `s${i}`);
    assertEquals(Object.keys(counts).sort(), names);

    const shares = await asked(daemon);
    assertEquals(shares.length, 4);
    assertEquals(sumCounters(shares), counted());
    assert(shares.filter((share) => share > 0).length > 1, `one event loop did it all: ${shares}`);

    for (const { body } of await askAll(daemon, "/recent")) {
      const { seen_services } = JSON.parse(body);
      assertEquals(seen_services.map(([name]: [string]) => name), names);
      for (const [, last] of seen_services) {
        assertEquals({ ...last, ts: 0 }, { code: 200, remote_ip: "127.0.0.1", ts: 0 });
      }
    }
  },
);

Deno.test("/status sums up what the caches of all event loops have done", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "cache_time: 60\n" });
  const requests = 60;
  const answers = Array.from({ length: requests }, () => daemon.get(`/http/web/${service.port}/`));
  await until("all have asked", async () => sumCounters(await asked(daemon)) === requests);
  await until("each event loop that was asked asks", async () => {
    return service.pending === (await asked(daemon)).filter((n) => n > 0).length;
  });
  const running = service.pending;
  service.respond("fine");
  for (const answer of await Promise.all(answers)) {
    assertEquals(answer, { status: 200, body: "fine" });
  }
  for (let more = 0; more < requests; more++) await daemon.get(`/http/web/${service.port}/`);
  for (const { body } of await askAll(daemon, "/status")) {
    const { cache, outbound_request_queue_size } = JSON.parse(body);
    assertEquals(outbound_request_queue_size, 0);
    assertEquals(cache, {
      expirations: 0,
      sets: running,
      gets: 2 * requests,
      // Who asked while the first was under way found nothing in the cache.
      hits: requests,
      misses: requests,
    });
  }
});

Deno.test("/status sums up who waits at all event loops", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "max_clients: 1\n" });
  const answers = Array.from({ length: 30 }, (_, i) => {
    return daemon.get(`/http/web/${service.port}/${i}`);
  });
  await until("all have asked", async () => sumCounters(await asked(daemon)) === answers.length);
  const busy = (await loopsOf(daemon)).filter((loop) => loop.checks_under_way > 0).length;
  for (const { body } of await askAll(daemon, "/status")) {
    assertEquals(JSON.parse(body).outbound_request_queue_size, answers.length - busy);
  }
  let answered = 0;
  for (const answer of answers) answer.then(() => answered++);
  await until("all are answered", () => {
    service.respond("fine");
    return answered === answers.length;
  });
});

Deno.test("a POST is obeyed by all event loops once it is answered", async () => {
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
    for (const { status, body } of await askAll(daemon, "/spool/web/8080")) {
      assertEquals(status, 503);
      assertMatch(body, new RegExp(`^Service web in down state since [0-9.]+: ${reason}$`));
    }
    assertEquals(await post(daemon, "web", { status: "up" }), { status: 200, body: "" });
    for (const answer of await askAll(daemon, "/spool/web/8080")) {
      assertEquals(answer, { status: 200, body: "" });
    }
    if (times % 5 !== 0) continue;
    assertEquals(await post(daemon, "web", { status: "drain", reason }), { status: 200, body: "" });
    const weight = String(times % 100);
    assertEquals(await post(daemon, "web", { weight, reason }), { status: 200, body: "" });
    for (const { status } of await askAll(daemon, "/spool/web/8080")) assertEquals(status, 404);
    for (const { body } of await askAll(daemon, "/status/services/web/8080")) {
      assertEquals(JSON.parse(body).agent_weight, Number(weight));
    }
    for (const { body } of await askAll(daemon, "/status/downtimes")) {
      const { downtimes: [downtime], weights: [weighed] } = JSON.parse(body);
      assertEquals([downtime.name, downtime.mode, downtime.reason], ["web", "drain", reason]);
      assertEquals([weighed.name, weighed.weight], ["web", Number(weight)]);
    }
    assertEquals(await post(daemon, "web", { status: "up" }), { status: 200, body: "" });
  }
  const shares = await asked(daemon);
  assert(shares.every((share) => share > 0), `some event loops were never asked: ${shares}`);
});

Deno.test("hactl's word is obeyed by all event loops once it has returned", async () => {
  await using daemon = await start(4);
  const port = ["-p", String(daemon.port)];
  const done = { code: 0, stdout: "", stderr: "" };
  for (let times = 0; times < caseCount(50); times++) {
    const reason = `downtime ${times}`;
    assertEquals(await hactl(daemon.spool, ["down", "web", "-r", reason, ...port]), done);
    for (const { status, body } of await askAll(daemon, "/spool/web/8080")) {
      assertEquals(status, 503);
      assert(body.endsWith(`: ${reason}`), body);
    }
    assertEquals(await hactl(daemon.spool, ["up", "web", ...port]), done);
    for (const answer of await askAll(daemon, "/spool/web/8080")) {
      assertEquals(answer, { status: 200, body: "" });
    }
    if (times % 5 !== 0) continue;
    const weight = String(times);
    assertEquals(await hactl(daemon.spool, ["weight", "web", weight, ...port]), done);
    for (const { body } of await askAll(daemon, "/status/services/web/8080")) {
      assertEquals(JSON.parse(body).agent_weight, Number(weight));
    }
  }
});

Deno.test("SIGTERM stops all event loops once what is under way at each of them is answered", async () => {
  await using service = await DeferredService.start();
  await using daemon = await start(3, { config: "healthcheck_timeout: 60\nmax_clients: 100\n" });
  const answers: Promise<{ status: number; body: string }>[] = [];
  await until("each event loop has a check under way", async () => {
    answers.push(daemon.get(`/http/web/${service.port}/${answers.length}`));
    await until("it is under way", () => service.pending === answers.length);
    return (await loopsOf(daemon)).every((loop) => loop.checks_under_way > 0);
  });
  daemon.kill("SIGTERM");
  await until("nothing more is accepted", async () => {
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

Deno.test("an event loop that hangs does not keep the daemon from stopping", async () => {
  await using daemon = await start(2, {
    config: "healthcheck_timeout: 0.5\n",
    grants: [Debugger.GRANT],
  });
  {
    // Deno does not let a program end while it is debugged.
    await using debug = await Debugger.attach(daemon, 2);
    await debug.hang(debug.workers[0]!);
  }
  await until("the other tells that it does not answer", async () => {
    const answers = await getFromWorkers(daemon, "/debug/runtime");
    return answers.some((answer) => JSON.parse(answer).event_loops.length === 1);
  });
  daemon.kill("SIGTERM");
  let code: number | undefined;
  const ended = daemon.ended().then((status) => code = status.code);
  await until("it has ended", () => code !== undefined);
  assertEquals(await ended, 0);
});

Deno.test("event loops share every port, and find one where any will do", async () => {
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
    const before = await asked(daemon);
    await until("each event loop was asked by this port", async () => {
      const response = await fetch(`http://127.0.0.1:${own}/tcp/web/${service.addr.port}`, {
        headers: { connection: "close" },
      });
      assertEquals(response.status, 200);
      await response.body?.cancel();
      return (await asked(daemon)).every((share, loop) => share > before[loop]!);
    });
  }
});

Deno.test("several event loops need the grant to read their own code, and say so in one line", async () => {
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

Deno.test("an event loop survives a fault that nobody caught, and tells of it", async () => {
  await using daemon = await start(2, { grants: [Debugger.GRANT] });
  await using debug = await Debugger.attach(daemon, 2);
  const { workers } = debug;
  for (
    const [code, told] of [
      ['setTimeout(() => { throw new Error("struck") });', "Error: struck"],
      ['Promise.reject(new Error("dropped"));', "Error: dropped"],
    ] as const
  ) {
    const isTold = async () => {
      await loopsOf(daemon);
      return daemon.log.includes(`ERROR internal error: ${told}`);
    };
    await debug.runUntil("it is told of", isTold, code, workers[0]!);
  }
  await until("both answer", async () => (await loopsOf(daemon)).length === 2);
  assertEquals(debug.workers, workers);
});

Deno.test("an event loop that dies is replaced, and the daemon answers throughout", async () => {
  await using daemon = await start(3, { grants: [Debugger.GRANT] });
  await using debug = await Debugger.attach(daemon, 3);
  daemon.writeRecord("web", "maint");
  await until("it is known", async () => {
    return (await askAll(daemon, "/spool/web/0")).every(({ status }) => status === 503);
  });
  const clients = new Clients(4, daemon, "/spool/web/0", 503);
  await using _stops = clients;
  for (let deaths = 1; deaths <= 5; deaths++) {
    const [victim] = debug.workers;
    await clients.more();
    await debug.kill(victim!);
    await until("it is replaced", async () => {
      return !debug.workers.includes(victim!) && (await loopsOf(daemon)).length === 3;
    });
    const told = new RegExp(
      `(?:ERROR a worker crashed and is replaced: .*struck[^]*){${deaths}}`,
    );
    await daemon.logged(told);
    // What was asked before is answered, or known to be lost.
    await clients.more();
    const { lost } = clients;
    await clients.more();
    assertEquals(clients.lost, lost);
    // Whoever was just being answered, or was accepted by the one that died.
    assert(lost <= 2 * 4 * deaths, `${lost} requests lost by ${deaths} deaths`);
  }
  assertEquals(clients.wrong, 0);
});

/** What keeps an event loop from starting, and what ends it. */
const HINDRANCES = [
  {
    hindrance: "the spool is away",
    why:
      /ERROR a crashed worker cannot be replaced yet: Cannot read spool .*: there is no such folder/g,
    begin: ({ spool }: Daemon) => Deno.renameSync(spool, `${spool}.away`),
    end: ({ spool }: Daemon) => Deno.renameSync(`${spool}.away`, spool),
  },
  {
    hindrance: "its code is away",
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

for (const { hindrance, why, begin, end } of HINDRANCES) {
  Deno.test(`an event loop that dies is replaced later if ${hindrance}`, async () => {
    await using daemon = await start(3, { grants: [Debugger.GRANT] });
    await using debug = await Debugger.attach(daemon, 3);
    const tries = () => (daemon.log.match(why) ?? []).length;
    await begin(daemon, debug);
    await debug.kill(debug.workers[0]!);
    await until("it was tried more than once", () => tries() >= 3);
    // Who is too busy to answer is left out.
    await until("two are left", async () => (await loopsOf(daemon)).length === 2);
    for (const { status } of await askAll(daemon, "/spool/web/0")) assertEquals(status, 200);

    await end(daemon, debug);
    await until("it is replaced", async () => (await loopsOf(daemon)).length === 3);
    // Those that could not start are gone, and nobody tries any more.
    let tried = -1;
    await until(
      "nobody tries any more",
      () => {
        const isOver = tries() === tried;
        tried = tries();
        return isOver;
      },
      undefined,
      1500,
    );
    assertEquals(debug.workers.length, 3);
    await until("all answer", async () => (await loopsOf(daemon)).length === 3);
  });
}

Deno.test("a daemon that was killed starts again on its port at once, and knows what is down", async () => {
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
