import { type CacheFailures, MAX_RECIPIENTS } from "../../../src/checks/cache.ts";
import type { CacheKeyPart, CheckRequest, Protocol, Verdict } from "../../../src/checks/check.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { newCounters } from "../../../src/metrics/counters.ts";
import { MAX_QUEUED, Pipeline } from "../../../src/checks/pipeline.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";
import { RecordedLog } from "../../support/log.ts";
import { until } from "../../servers/mod.ts";

/** One call of a checker, which the test settles. */
interface Run {
  readonly request: CheckRequest;
  readonly signal: AbortSignal;
  readonly end: (verdict: Verdict) => void;
  readonly fail: (error: unknown) => void;
}

/** A protocol whose checks the test settles. */
class Service implements Protocol {
  readonly runs: Run[] = [];
  readonly varyOn: readonly CacheKeyPart[];

  constructor(...varyOn: CacheKeyPart[]) {
    this.varyOn = varyOn;
  }

  readonly check = (request: CheckRequest, signal: AbortSignal): Promise<Verdict> => {
    const { promise, resolve, reject } = Promise.withResolvers<Verdict>();
    this.runs.push({ request, signal, end: resolve, fail: reject });
    return promise;
  };
}

interface BenchOptions {
  readonly protocols?: Record<string, Protocol>;
  readonly cacheTime?: number;
  readonly cacheFailures?: CacheFailures;
  readonly timeout?: number;
  readonly maxClients?: number;
  readonly clock?: Clock;
}

/** A pipeline with its parts. */
class Bench {
  readonly service = new Service("path");
  readonly spool = new SpoolIndex();
  readonly recorded = new RecordedLog();
  readonly counters = newCounters();
  readonly pipeline: Pipeline;

  constructor(options: BenchOptions = {}) {
    this.pipeline = new Pipeline({
      spool: this.spool,
      protocols: new Map(Object.entries(options.protocols ?? { test: this.service })),
      cacheTime: options.cacheTime ?? 60,
      cacheFailures: options.cacheFailures ?? "once",
      timeout: options.timeout ?? 60,
      maxClients: options.maxClients ?? 10,
      log: this.recorded.log,
      counters: this.counters,
      ...options.clock === undefined ? {} : { clock: options.clock },
    });
  }

  /** Runs a check, by default without bypass. */
  ask(
    request: Partial<CheckRequest> = {},
    bypass = false,
    client = CLIENT,
  ): Verdict | Promise<Verdict> {
    return this.pipeline.check({ ...REQUEST, ...request }, bypass, client);
  }

  /** Runs a check for another client. */
  askAs(client: string, bypass = false): Verdict | Promise<Verdict> {
    return this.ask({}, bypass, client);
  }

  /** Runs a check, and ends the run that this must start. */
  async answered(verdict: Verdict, request: Partial<CheckRequest> = {}): Promise<Verdict> {
    const count = this.service.runs.length;
    const answer = this.ask(request);
    await this.run(count);
    this.service.runs[count]!.end(verdict);
    return await answer;
  }

  /** Waits for a run to begin. */
  async run(index: number): Promise<Run> {
    await until(`run ${index} begins`, () => this.service.runs.length > index);
    return this.service.runs[index]!;
  }
}

const REQUEST: CheckRequest = {
  protocol: "test",
  service: "web",
  host: "127.0.0.1",
  port: 8080,
  path: "/status",
  headers: [],
};

const CLIENT = "10.0.0.1";

const GOOD: Verdict = { code: 200, message: "fine" };
/** The verdict of a check with an internal error. */
const INTERNAL: Verdict = {
  code: 503,
  message: "Internal error in the test check of 127.0.0.1:8080",
  reason: "internal",
};
const BAD: Verdict = { code: 503, message: "ill" };
const DOWN: Verdict = { code: 503, message: "Service web in down state: maint" };

function setDown({ spool }: Bench, name = "web"): void {
  spool.set(name, { mode: "down", reason: "maint", expiration: null, creation: null });
}

Deno.test("Pipeline.supports() knows the spool's protocol and the given ones", () => {
  const { pipeline } = new Bench();
  assertEquals(
    ["spool", "test", "gopher", "", "constructor"].map((name) => pipeline.supports(name)),
    [true, true, false, false, false],
  );
});

Deno.test("Pipeline.check() checks only the spool for the protocol spool, with a port or without", () => {
  const bench = new Bench();
  for (const port of [0, 8080]) {
    assertEquals(bench.ask({ protocol: "spool", port }), { code: 200, message: "" });
  }
  setDown(bench);
  for (const port of [0, 8080]) assertEquals(bench.ask({ protocol: "spool", port }), DOWN);
});

Deno.test("Pipeline.check() asks no service that is down in the spool, cached or not, with a port or without", async () => {
  const bench = new Bench();
  assertEquals(await bench.answered(GOOD), GOOD);
  setDown(bench);
  for (const bypass of [false, true]) {
    assertEquals(bench.ask({}, bypass), DOWN);
    assertEquals(bench.ask({ port: 0 }, bypass), DOWN);
  }
  bench.spool.delete("web");
  assertEquals(bench.ask(), GOOD);
  assertEquals(bench.service.runs.length, 1);
});

Deno.test("Pipeline.check() reports a downtime that began during the check", async () => {
  const bench = new Bench();
  const [shared, alone] = [bench.ask(), bench.ask({}, true)];
  await bench.run(1);
  setDown(bench, "web:8080");
  for (const run of bench.service.runs) run.end(GOOD);
  assertEquals(await Promise.all([shared, alone]), [DOWN, DOWN]);
  bench.spool.delete("web:8080");
  assertEquals(bench.ask(), GOOD);
});

Deno.test("Pipeline.check() needs a port to connect to", () => {
  const bench = new Bench();
  assertEquals(bench.ask({ port: 0 }), {
    code: 400,
    message:
      "No port to connect to: expected one from 1 to 65535 in the path or in port= of X-Haproxy-Server-State",
  });
  assertEquals(bench.service.runs.length, 0);
});

Deno.test("Pipeline.check() reuses a good verdict, without a promise", async () => {
  for (const verdict of [GOOD, { code: 302, message: "" }, { code: 204, message: "" }]) {
    const bench = new Bench();
    assertEquals(await bench.answered(verdict), verdict);
    assertEquals([bench.ask(), bench.ask(), bench.askAs("10.0.0.2")], [verdict, verdict, verdict]);
    assertEquals(bench.service.runs.length, 1);
  }
});

Deno.test("Pipeline.check() gives a failure to each client once, and then asks the service again", async () => {
  for (const failure of [BAD, { code: 404, message: "" }, { code: 500, message: "" }]) {
    const bench = new Bench();
    // The second shares the run of the first, the third comes later.
    const answers = [bench.askAs("10.0.0.1"), bench.askAs("10.0.0.2")];
    (await bench.run(0)).end(failure);
    assertEquals(await Promise.all(answers), [failure, failure]);
    assertEquals(bench.askAs("10.0.0.3"), failure);
    assertEquals(bench.service.runs.length, 1);

    const again = ["10.0.0.2", "10.0.0.3", "10.0.0.1"].map((client) => bench.askAs(client));
    assertEquals(bench.askAs("10.0.0.4"), failure, "a client that was not given it does not wait");
    (await bench.run(1)).end(GOOD);
    assertEquals(await Promise.all(again), [GOOD, GOOD, GOOD]);
    assertEquals(bench.askAs("10.0.0.1"), GOOD);
    assertEquals(bench.service.runs.length, 2);
  }
});

Deno.test("Pipeline.check() gives a failure once to a client that asks the moment it is known", async () => {
  const bench = new Bench();
  const first = bench.ask();
  (await bench.run(0)).end(BAD);
  // In the same step in which the failure is cached, before the first promise resolves.
  let again: Verdict | Promise<Verdict> | undefined;
  let isOver = false;
  Promise.resolve(first).then(() => isOver = true);
  while (!isOver) {
    await undefined;
    if (bench.pipeline.cache.counters.sets === 1) again ??= bench.ask();
  }
  assert(again !== undefined);
  (await bench.run(1)).end(GOOD);
  assertEquals([await first, await again], [BAD, GOOD]);
});

Deno.test("Pipeline.check() asks a failing service for many balancers as often as for one", async () => {
  const bench = new Bench();
  const clients = Array.from({ length: 100 }, (_, i) => `10.0.0.${i}`);
  for (let round = 0; round < 10; round++) {
    // All ask once in each round, one after another and each at its own time.
    for (const client of clients) {
      const answer = bench.askAs(client);
      if (answer instanceof Promise) (await bench.run(round)).end({ ...BAD, message: `${round}` });
      assertEquals(await answer, { code: 503, message: `${round}` });
    }
  }
  assertEquals(bench.service.runs.length, 10);
});

Deno.test("Pipeline.check() counts the failure of a bypass as given to its client alone", async () => {
  const bench = new Bench();
  await bench.answered(GOOD);
  const bypassing = bench.askAs("10.0.0.2", true);
  (await bench.run(1)).end(BAD);
  assertEquals([await bypassing, bench.askAs("10.0.0.1")], [BAD, BAD]);
  const again = [bench.askAs("10.0.0.2"), bench.askAs("10.0.0.1")];
  (await bench.run(2)).end(GOOD);
  assertEquals(await Promise.all(again), [GOOD, GOOD]);
});

Deno.test("Pipeline.check() gives a failure again and again with cache_failures: always", async () => {
  const bench = new Bench({ cacheFailures: "always" });
  assertEquals(await bench.answered(BAD), BAD);
  assertEquals([bench.ask(), bench.ask(), bench.askAs("10.0.0.2")], [BAD, BAD, BAD]);
  assertEquals(bench.service.runs.length, 1);
});

Deno.test("Pipeline.check() does not reuse a failure that more than MAX_RECIPIENTS clients share", async () => {
  const bench = new Bench();
  const answers = [];
  for (let i = 0; i <= MAX_RECIPIENTS; i++) {
    answers.push(bench.askAs(`2001:db8::${i.toString(16)}`));
  }
  (await bench.run(0)).end(BAD);
  await Promise.all(answers);
  const next = bench.ask();
  (await bench.run(1)).end(GOOD);
  assertEquals(await next, GOOD);
});

Deno.test("Pipeline.check() reuses a verdict for cache_time, and no longer", async () => {
  const bench = new Bench({ cacheTime: 0.2 });
  await bench.answered(GOOD);
  assertEquals(bench.ask(), GOOD);
  let answer: Verdict | Promise<Verdict> = GOOD;
  await until("the verdict has expired", () => (answer = bench.ask()) instanceof Promise);
  (await bench.run(1)).end(BAD);
  assertEquals([await answer, bench.askAs("10.0.0.2")], [BAD, BAD]);
});

Deno.test("Pipeline.check() reuses no verdict with cache_time: 0", async () => {
  const bench = new Bench({ cacheTime: 0 });
  for (const verdict of [GOOD, BAD, GOOD]) assertEquals(await bench.answered(verdict), verdict);
});

Deno.test("Pipeline.check() shares one run among a thousand clients", async () => {
  for (const cacheTime of [0, 60]) {
    const bench = new Bench({ cacheTime });
    const answers = Array.from({ length: 1000 }, () => bench.ask());
    (await bench.run(0)).end(GOOD);
    assertEquals(new Set(await Promise.all(answers)), new Set([GOOD]));
    assertEquals(bench.service.runs.length, 1);
  }
});

/** Parts of two requests, and whether they may share a verdict. */
type Pair = readonly [first: Partial<CheckRequest>, second: Partial<CheckRequest>, share: boolean];

const HOST_A = { headers: [["Host", "a"]] } as const;
const TWO = { headers: [["Host", "a"], ["X-Site", "b"]] } as const;

const ALWAYS: readonly Pair[] = [
  [{}, {}, true],
  [{}, { host: "127.0.0.2" }, false],
  [{}, { port: 8081 }, false],
  [{ host: "127.0.0.1", port: 18 }, { host: "127.0.0.11", port: 8 }, false],
];

const VARYING: readonly [varyOn: CacheKeyPart[], pairs: readonly Pair[]][] = [
  [[], [...ALWAYS, [{}, { path: "/x", service: "db", ...HOST_A }, true]]],
  [["path"], [
    ...ALWAYS,
    [{}, { path: "/other" }, false],
    [{ path: "/a" }, { path: "/a?" }, false],
    [{ path: "/a?x=1" }, { path: "/a?x=2" }, false],
    [{ path: "/a" }, { path: "/A" }, false],
    [{ path: "/a" }, { path: "/%61" }, false],
    [{}, { service: "db", ...HOST_A }, true],
  ]],
  [["path", "headers"], [
    ...ALWAYS,
    [{}, HOST_A, false],
    [HOST_A, { headers: [["Host", "A"]] }, false],
    [HOST_A, TWO, false],
    [{ headers: [["X", "a"]] }, { headers: [["Y", "a"]] }, false],
    [TWO, TWO, true],
    [{}, { service: "db" }, true],
  ]],
  [["path", "headers", "service"], [
    ...ALWAYS,
    [{}, { service: "db" }, false],
    [{ headers: [["X", ""]], service: "a" }, { headers: [], service: "a" }, false],
  ]],
];

Deno.test("Pipeline.check() shares a verdict between requests that agree in what the protocol varies on", async () => {
  for (const [varyOn, pairs] of VARYING) {
    for (const [first, second, share] of pairs) {
      const what = JSON.stringify([varyOn, first, second]);
      const service = new Service(...varyOn);
      const bench = new Bench({ protocols: { test: service } });
      const answers = [bench.ask(first), bench.ask(second)];
      await until(`${what} begin`, () => service.runs.length === (share ? 1 : 2));
      for (const [i, run] of service.runs.entries()) run.end({ code: 200, message: `${i}` });
      const verdicts = await Promise.all(answers);
      assertEquals(verdicts.map(({ message }) => message), share ? ["0", "0"] : ["0", "1"], what);
      assertEquals([bench.ask(first), bench.ask(second)], verdicts, what);
    }
  }
});

Deno.test("Pipeline.check() shares no verdict between protocols", async () => {
  const [a, b] = [new Service(), new Service()];
  const bench = new Bench({ protocols: { a, b } });
  const answers = [bench.ask({ protocol: "a" }), bench.ask({ protocol: "b" })];
  await until("both begin", () => a.runs.length === 1 && b.runs.length === 1);
  a.runs[0]!.end(GOOD);
  b.runs[0]!.end(BAD);
  assertEquals(await Promise.all(answers), [GOOD, BAD]);
});

Deno.test("Pipeline.check() asks again with bypass, and caches the verdict for later clients", async () => {
  const bench = new Bench();
  await bench.answered(GOOD);
  const bypassing = bench.ask({}, true);
  const run = await bench.run(1);
  assertEquals(bench.ask(), GOOD, "others still get the cached verdict meanwhile");
  run.end(BAD);
  assertEquals([await bypassing, bench.askAs("10.0.0.2")], [BAD, BAD]);
  assertEquals(bench.service.runs.length, 2);
});

Deno.test("Pipeline.check() starts a run of its own with bypass, and leaves the one in flight alone", async () => {
  const bench = new Bench();
  const shared = [bench.ask()];
  await bench.run(0);
  const bypassing = bench.ask({}, true);
  await bench.run(1);
  shared.push(bench.ask());
  bench.service.runs[1]!.end(BAD);
  assertEquals(await bypassing, BAD);
  assertEquals(bench.service.runs.length, 2);
  bench.service.runs[0]!.end(GOOD);
  assertEquals(await Promise.all(shared), [GOOD, GOOD]);
});

Deno.test("Pipeline.check() does not overwrite the verdict of a run that began later", async () => {
  const bench = new Bench();
  const older = bench.ask();
  await bench.run(0);
  const begun = performance.now();
  await until("the clock advances", () => performance.now() > begun);
  const newer = bench.ask({}, true);
  (await bench.run(1)).end(BAD);
  assertEquals(await newer, BAD);
  bench.service.runs[0]!.end(GOOD);
  assertEquals(await older, GOOD);
  assertEquals(bench.askAs("10.0.0.2"), BAD);
});

Deno.test("Pipeline.check() has max_clients checks in flight, and queues the others", async () => {
  const bench = new Bench({ maxClients: 2 });
  // Of other services, and for other clients: neither may have more than half of the slots.
  const answers = [0, 1, 2, 3].map((i) => bench.ask({ port: 8000 + i }, false, `10.0.0.${i}`));
  await bench.run(1);
  assertEquals([bench.service.runs.length, bench.pipeline.queued], [2, 2]);
  bench.service.runs[1]!.end(BAD);
  assertEquals(await answers[1], BAD);
  await bench.run(2);
  assertEquals([bench.service.runs.length, bench.pipeline.queued], [3, 1]);
  for (const i of [0, 2, 3]) {
    const run = await bench.run(i);
    assertEquals(run.request.port, 8000 + i);
    run.end(GOOD);
  }
  assertEquals(await Promise.all(answers), [GOOD, BAD, GOOD, GOOD]);
  assertEquals(bench.pipeline.queued, 0);
});

/** The request and the client of one check. */
type Asking = readonly [request: Partial<CheckRequest>, client: string];

/** Checks that hang, as many as can be, and what then is queued. */
const HOLDING: readonly {
  readonly what: string;
  readonly hanging: (i: number) => Asking;
  readonly queued: readonly Asking[];
}[] = [
  {
    what: "One client",
    hanging: (i) => [{ port: 8000 + i }, "10.0.0.2"],
    queued: [[{ port: 9000 }, "10.0.0.2"]],
  },
  {
    what: "One service",
    // By any name and path, and for any client.
    hanging: (i) => [{ service: `web-${i}`, path: `/${i}` }, `10.0.1.${i}`],
    queued: [[{ path: "/other" }, "10.0.0.3"]],
  },
];

for (const { what, hanging, queued } of HOLDING) {
  Deno.test(`${what} can have half of the slots, and the others are checked at once`, async () => {
    const bench = new Bench({ maxClients: 20 });
    const ask = ([request, client]: Asking) => bench.ask(request, false, client);
    const held = Array.from({ length: 15 }, (_, i) => ask(hanging(i)));
    await bench.run(9);
    const more = queued.map(ask);
    assertEquals([bench.pipeline.inFlight, bench.pipeline.queued], [10, 5 + more.length]);
    for (let i = 0; i < 10; i++) {
      const honest = ask([{ port: 7000 + i }, `10.0.2.${i}`]);
      (await bench.run(10 + i)).end(GOOD);
      assertEquals(await honest, GOOD);
    }
    const runs = held.length + more.length + 10;
    for (let i = 0; i < runs; i++) (await bench.run(i)).end(BAD);
    for (const verdict of await Promise.all([...held, ...more])) assertEquals(verdict, BAD);
  });
}

Deno.test("Pipeline.check() shares no queued check with a client that can have a slot, but its verdict", async () => {
  const bench = new Bench({ maxClients: 2 });
  const greedy = "10.0.0.2";
  const hanging = bench.ask({ port: 8000 }, false, greedy);
  // The second shares the first: both are the same client's, and queued.
  const queued = [bench.askAs(greedy), bench.askAs(greedy)];
  assertEquals(bench.pipeline.queued, 1);
  const honest = bench.askAs("10.0.0.3");
  (await bench.run(1)).end(GOOD);
  assertEquals(await honest, GOOD);
  (await bench.run(0)).end(BAD);
  // A verdict that is known by then is not asked for again.
  assertEquals(await Promise.all([hanging, ...queued]), [BAD, GOOD, GOOD]);
  assertEquals(bench.service.runs.length, 2);
});

Deno.test("Pipeline.check() lets a queued check share another client's in flight when its turn comes", async () => {
  const bench = new Bench({ maxClients: 4 });
  const hanging = [8000, 8001].map((port) => bench.ask({ port }, false, "10.0.0.2"));
  const queued = bench.askAs("10.0.0.2");
  const honest = bench.askAs("10.0.0.3");
  await bench.run(2);
  assertEquals(bench.pipeline.queued, 1);
  for (const i of [0, 1]) bench.service.runs[i]!.end(GOOD);
  assertEquals(await Promise.all(hanging), [GOOD, GOOD]);
  await until("it has had its turn", () => bench.pipeline.queued === 0);
  await until("it has released its slot", () => bench.pipeline.inFlight === 1);
  assertEquals(bench.service.runs.length, 3);
  bench.service.runs[2]!.end(BAD);
  assertEquals(await Promise.all([queued, honest]), [BAD, BAD]);
  // Both have been given that failure.
  const again = [bench.askAs("10.0.0.2"), bench.askAs("10.0.0.3")];
  (await bench.run(3)).end(GOOD);
  assertEquals(await Promise.all(again), [GOOD, GOOD]);
});

Deno.test("Pipeline.check() does not share a check that was queued for long, nor its failure", async () => {
  const bench = new Bench({ maxClients: 4, timeout: 2 });
  const start = performance.now();
  const hanging = [8000, 8001].map((port) => bench.ask({ port }, false, "10.0.0.2"));
  const queued = bench.askAs("10.0.0.2");
  await until("most of its time has passed", () => performance.now() - start > 1300);
  (await bench.run(0)).end(GOOD);
  const hasty = await bench.run(2);
  const honest = bench.askAs("10.0.0.3");
  const calm = await bench.run(3);
  await until("its deadline has passed", () => hasty.signal.aborted);
  assert(!calm.signal.aborted);
  hasty.end({ code: 503, message: "timed out" });
  bench.service.runs[1]!.end(GOOD);
  await Promise.all(hanging);
  assertMatch((await queued).message, /^timed out, after 1\.\d\ds in the queue$/);
  const late = bench.askAs("10.0.0.4");
  calm.end(GOOD);
  assertEquals(await Promise.all([honest, late]), [GOOD, GOOD]);
  assertEquals(bench.service.runs.length, 4);
});

Deno.test("Pipeline.probe() returns no verdict from before it was queued", async () => {
  const bench = new Bench({ maxClients: 2 });
  await bench.answered(GOOD);
  const hanging = bench.ask({ port: 8000 }, false, "10.0.0.2");
  const probe = bench.pipeline.probe(REQUEST, "10.0.0.2");
  assertEquals(bench.pipeline.queued, 1);
  (await bench.run(1)).end(BAD);
  (await bench.run(2)).end(BAD);
  assertEquals([await hanging, await probe], [BAD, BAD]);
});

Deno.test("Pipeline.check() does not cache that a check was not made", async () => {
  const bench = new Bench({ maxClients: 2, timeout: 0.1 });
  const hanging = bench.ask({ port: 8000 }, false, "10.0.0.2");
  const queued = bench.askAs("10.0.0.2");
  assertMatch(
    (await queued).message,
    /^Not checked at 127\.0\.0\.1:8080: timed out after 0\.10s in the queue: /,
  );
  (await bench.run(0)).end(BAD);
  assertEquals(await hanging, BAD);
  const other = bench.askAs("10.0.0.3");
  (await bench.run(1)).end(GOOD);
  assertEquals(await other, GOOD);
});

Deno.test("Pipeline.check() does not ask a service after its whole timeout in the queue", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.1 });
  // A checker that does not settle at its deadline.
  const first = bench.ask({ path: "/0" });
  const run = await bench.run(0);
  assertEquals(await bench.ask({ path: "/1" }), {
    code: 503,
    reason: "limit" as const,
    message: "Not checked at 127.0.0.1:8080: timed out after 0.10s in the queue: " +
      "1 checks of service 127.0.0.1:8080 are in flight, of at most 1 (half of max_clients)",
  });
  assert(run.signal.aborted);
  run.end(BAD);
  assertEquals(await first, BAD);
  assertEquals(bench.service.runs.length, 1);
  assertEquals(bench.recorded.lines, []);
});

Deno.test("Pipeline.check() counts the time in the queue towards the timeout", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 60 });
  const first = bench.ask({ path: "/0" });
  await bench.run(0);
  const second = bench.ask({ path: "/1" });
  const waited = performance.now();
  await until("the second has waited", () => performance.now() - waited > 50);
  bench.service.runs[0]!.end(GOOD);
  (await bench.run(1)).end(GOOD);
  assertEquals([await first, await second], [GOOD, GOOD]);

  const hasty = new Bench({ maxClients: 1, timeout: 0.5 });
  const answers = Array.from({ length: 20 }, (_, i) => hasty.ask({ path: `/${i}` }));
  const ending = setInterval(() => {
    for (const { signal, end } of hasty.service.runs) if (signal.aborted) end(BAD);
  }, 1);
  const codes = (await Promise.all(answers)).map(({ code }) => code);
  clearInterval(ending);
  assertEquals(new Set(codes), new Set([503]));
  // All of them would be asked if the timeout began after the queue.
  const { length } = hasty.service.runs;
  assert(length < answers.length, `${length} were asked`);
});

/** Queues a check behind another one, and lets its deadline pass while it is in flight. */
async function queuedTimeout(): Promise<
  [first: Verdict | Promise<Verdict>, second: Verdict | Promise<Verdict>, end: Run["end"]]
> {
  const bench = new Bench({ maxClients: 1, timeout: 2 });
  const first = bench.ask({ path: "/0" });
  await bench.run(0);
  const second = bench.ask({ path: "/1" });
  const waited = performance.now();
  await until("the second has waited", () => performance.now() - waited > 50);
  bench.service.runs[0]!.end(GOOD);
  const { signal, end } = await bench.run(1);
  await until("its deadline has passed", () => signal.aborted);
  return [first, second, end];
}

Deno.test("Pipeline.check() returns a verdict that was known before the deadline unchanged", async () => {
  const [first, second, end] = await queuedTimeout();
  end(GOOD);
  assertEquals(await Promise.all([first, second]), [GOOD, GOOD]);
});

Deno.test("Pipeline.check() reports the time in the queue of a check that timed out", async () => {
  const [first, second, end] = await queuedTimeout();
  end({ code: 503, message: "timed out" });
  assertEquals(await first, GOOD);
  const { code, message } = await second;
  assertEquals(code, 503);
  assertMatch(message, /^timed out, after \d+\.\d\ds in the queue$/);
});

Deno.test("Pipeline.check() fails at once if too many checks are queued", async () => {
  const bench = new Bench({ maxClients: 1, cacheTime: 0 });
  const answers = [bench.ask({ path: "/0" })];
  const half = MAX_QUEUED / 2;
  for (const client of ["10.0.0.1", "10.0.0.2"]) {
    for (let i = 1; i <= half; i++) answers.push(bench.ask({ path: `/${i}` }, false, client));
    assertEquals(bench.pipeline.queued, answers.length - 1);
    const message = answers.length - 1 < MAX_QUEUED
      ? "5000 checks of client 10.0.0.1 are already queued"
      : "10000 checks are already queued";
    assertEquals(await bench.ask({ path: "/one more" }, false, client), {
      code: 503,
      reason: "limit" as const,
      message: `Not checked at 127.0.0.1:8080: ${message}`,
    });
  }
  // Each one starts the next one at once.
  for (let i = 0; i < answers.length; i++) {
    while (bench.service.runs.length <= i) await undefined;
    bench.service.runs[i]!.end(GOOD);
  }
  await Promise.all(answers);
  assertEquals(bench.pipeline.queued, 0);
});

/** How many checks were counted, and how many seconds they took together. */
function counted({ counters }: Bench): [count: number, seconds: number] {
  const { buckets = [], sum = 0 } = counters.protocols.test?.durations ?? {};
  return [buckets.reduce((sum, count) => sum + count, 0), sum];
}

Deno.test("Pipeline.check() measures how long checkers take, whatever their verdicts, and nothing else", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.1 });
  setDown(bench);
  assertEquals([bench.ask(), counted(bench)], [DOWN, [0, 0]]);
  bench.spool.delete("web");
  await bench.answered(GOOD);
  assertEquals([bench.ask(), counted(bench)[0]], [GOOD, 1]);

  const [failing, sharing] = [bench.ask({ path: "/fails" }), bench.ask({ path: "/fails" })];
  (await bench.run(1)).fail(new Error("struck"));
  await Promise.all([failing, sharing]);
  assertEquals(counted(bench)[0], 2);

  const slow = bench.ask({ path: "/slow" });
  const run = await bench.run(2);
  assertMatch(
    (await bench.ask({ path: "/waits" })).message,
    /^Not checked at 127\.0\.0\.1:8080: timed out/,
  );
  run.end(BAD);
  await slow;
  assertEquals(counted(bench)[0], 3);
});

Deno.test("Pipeline.check() does not measure the time in the queue", async () => {
  const bench = new Bench({ maxClients: 1 });
  const start = performance.now();
  const answers = ["/0", "/1", "/2"].map((path) => bench.ask({ path }));
  for (const i of [0, 1, 2]) {
    const run = await bench.run(i);
    await new Promise((resolve) => setTimeout(resolve, 20));
    run.end(GOOD);
  }
  await Promise.all(answers);
  const elapsed = (performance.now() - start) / 1000;
  const [count, seconds] = counted(bench);
  assertEquals(count, 3);
  // They ran one after another.
  assert(seconds > 0 && seconds <= elapsed, `${seconds} s of ${elapsed} s`);
});

Deno.test("Pipeline.check() counts and logs the rejection of a checker as an internal error", async () => {
  for (
    const fail of [
      (run: Run) => run.fail(new Error("a slip")),
      (run: Run) => run.fail(undefined),
    ]
  ) {
    const bench = new Bench({ maxClients: 1 });
    const answer = bench.ask();
    fail(await bench.run(0));
    const failed = INTERNAL;
    assertEquals(await answer, failed);
    assertEquals(bench.askAs("10.0.0.2"), failed);
    assertEquals(bench.recorded.lines.length, 1);
    assert(bench.recorded.lines[0]!.startsWith("ERROR Internal error in the test check of web: "));
    assertEquals(bench.counters.errors.checks, 1);
    assertEquals(await bench.answered(GOOD, { path: "/next" }), GOOD);
  }
});

Deno.test("Pipeline.check() treats a checker that throws like one that rejects", async () => {
  const protocol: Protocol = {
    varyOn: [],
    check: () => {
      throw new Error("a slip");
    },
  };
  const bench = new Bench({ protocols: { test: protocol } });
  assertEquals(await bench.ask(), INTERNAL);
  assertEquals(bench.recorded.lines, [
    "ERROR Internal error in the test check of web: Error: a slip",
  ]);
});

Deno.test("Pipeline.check() releases the slot of a checker that does not settle after its deadline", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.05 });
  const failed = INTERNAL;
  const answer = bench.ask();
  const run = await bench.run(0);
  assertEquals(await answer, failed);
  assert(run.signal.aborted);
  assertEquals(bench.recorded.lines, [
    "ERROR Internal error in the test check of web: Error: the checker did not settle within 1000 ms of its deadline",
  ]);
  assertEquals([bench.counters.errors.checks, bench.pipeline.inFlight], [1, 0]);
  // Its late verdict is ignored.
  run.end(GOOD);
  assertEquals(bench.askAs("10.0.0.2"), failed);
  assertEquals(await bench.answered(GOOD, { path: "/next" }), GOOD);
  run.fail(new Error("too late"));
});

Deno.test("Pipeline.check() returns the verdict of a checker that settles soon after its deadline", async () => {
  const bench = new Bench({ timeout: 0.05 });
  const answer = bench.ask();
  const { signal, end } = await bench.run(0);
  await until("its deadline has passed", () => signal.aborted);
  end(BAD);
  assertEquals(await answer, BAD);
  assertEquals([bench.recorded.lines, bench.counters.errors.checks], [[], 0]);
});

Deno.test("Pipeline.check() returns a verdict that a checker has after stalls over its deadline and its grace", async () => {
  for (const stall of [900, 1100, 5000]) {
    const clock = new TestClock();
    const bench = new Bench({ timeout: 1, clock });
    const answer = bench.ask();
    const { signal, end } = await bench.run(0);
    clock.stall(stall + 1000);
    for (let stalls = 0; !signal.aborted && stalls < 5; stalls++) {
      await clock.advance(5);
      clock.stall(200);
    }
    assertEquals(signal.aborted, false);
    await clock.advance(150);
    assertEquals(signal.aborted, true);
    // The checker needs a few milliseconds to settle.
    for (let stalls = 0; stalls < 5; stalls++) {
      clock.stall(stall);
      await clock.advance(5);
    }
    end(BAD);
    assertEquals(await answer, BAD);
    assertEquals([bench.recorded.lines, bench.counters.errors.checks], [[], 0]);
  }
});

Deno.test("Pipeline.check() treats a rejection after the deadline as an internal error", async () => {
  const bench = new Bench({ timeout: 0.05 });
  const answer = bench.ask();
  const { signal, fail } = await bench.run(0);
  await until("its deadline has passed", () => signal.aborted);
  fail(new Error("a slip"));
  assertEquals(await answer, INTERNAL);
  assertEquals(bench.counters.errors.checks, 1);
});

Deno.test("Pipeline.check() treats a malformed verdict as an internal error", async () => {
  for (const verdict of [undefined, null, 5, {}, { code: 200 }]) {
    const bench = new Bench();
    const answer = bench.ask();
    (await bench.run(0)).end(verdict as unknown as Verdict);
    assertEquals(await answer, INTERNAL);
    assertEquals(bench.counters.errors.checks, 1);
  }
});

Deno.test("Pipeline.check() returns a registered status that ends an exchange, and 503 for any other code", async () => {
  for (
    const code of [200, 201, 204, 205, 206, 226, 301, 302, 304, 308, 400, 404, 418, 451, 500, 511]
  ) {
    assertEquals(await new Bench().answered({ code, message: "m" }), { code, message: "m" });
  }
  for (
    const code of [
      299,
      399,
      499,
      599,
      600,
      999,
      1000,
      100,
      101,
      103,
      199,
      0,
      -1,
      200.5,
      NaN,
      Infinity,
    ]
  ) {
    assertEquals(await new Bench().answered({ code, message: "m" }), {
      ...{ code: 503, message: "m", reason: "status" },
    });
  }
});
