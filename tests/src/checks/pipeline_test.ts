import { type CacheFailures, MAX_RECIPIENTS } from "../../../src/checks/cache.ts";
import type { CacheKeyPart, CheckRequest, Protocol, Verdict } from "../../../src/checks/check.ts";
import { newCounters } from "../../../src/metrics/counters.ts";
import { Durations } from "../../../src/metrics/durations.ts";
import { MAX_QUEUED, Pipeline } from "../../../src/checks/pipeline.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { until } from "../../servers/mod.ts";

/** One run of a checker: it ends when the test says so. */
interface Run {
  readonly request: CheckRequest;
  readonly signal: AbortSignal;
  readonly end: (verdict: Verdict) => void;
  readonly fail: (error: unknown) => void;
}

/** A protocol whose services answer when the test says so. */
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
}

/** A pipeline, and all that it works with. */
class Bench {
  readonly service = new Service("path");
  readonly spool = new SpoolIndex();
  readonly recorded = new RecordedLog();
  readonly counters = newCounters();
  readonly durations = new Durations();
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
      durations: this.durations,
      counters: this.counters,
    });
  }

  /** Asks, by default for what may be in the cache. */
  ask(
    request: Partial<CheckRequest> = {},
    fresh = false,
    client = CLIENT,
  ): Verdict | Promise<Verdict> {
    return this.pipeline.check({ ...REQUEST, ...request }, fresh, client);
  }

  /** Asks as another client. */
  askAs(client: string, fresh = false): Verdict | Promise<Verdict> {
    return this.ask({}, fresh, client);
  }

  /** Asks, and ends the run that this must start. */
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
const BAD: Verdict = { code: 503, message: "ill" };
const DOWN: Verdict = { code: 503, message: "Service web in down state: maint" };

function markDown({ spool }: Bench, name = "web"): void {
  spool.set(name, { mode: "down", reason: "maint", expiration: null, creation: null });
}

Deno.test("the pipeline knows the spool's protocol and those it was given", () => {
  const { pipeline } = new Bench();
  assertEquals(
    ["spool", "test", "gopher", "", "constructor"].map((name) => pipeline.supports(name)),
    [true, true, false, false, false],
  );
});

Deno.test("a check of the spool asks nobody else, with a port or without", () => {
  const bench = new Bench();
  for (const port of [0, 8080]) {
    assertEquals(bench.ask({ protocol: "spool", port }), { code: 200, message: "" });
  }
  markDown(bench);
  for (const port of [0, 8080]) assertEquals(bench.ask({ protocol: "spool", port }), DOWN);
});

Deno.test("a service that is marked down is not asked, whatever the cache says and with a port or without", async () => {
  const bench = new Bench();
  assertEquals(await bench.answered(GOOD), GOOD);
  markDown(bench);
  for (const fresh of [false, true]) {
    assertEquals(bench.ask({}, fresh), DOWN);
    assertEquals(bench.ask({ port: 0 }, fresh), DOWN);
  }
  bench.spool.delete("web");
  assertEquals(bench.ask(), GOOD);
  assertEquals(bench.service.runs.length, 1);
});

Deno.test("a service that is marked down while it is asked is down, whatever it says", async () => {
  const bench = new Bench();
  const [shared, alone] = [bench.ask(), bench.ask({}, true)];
  await bench.run(1);
  markDown(bench, "web:8080");
  for (const run of bench.service.runs) run.end(GOOD);
  assertEquals(await Promise.all([shared, alone]), [DOWN, DOWN]);
  bench.spool.delete("web:8080");
  assertEquals(bench.ask(), GOOD);
});

Deno.test("a service that must be connected to needs a port", () => {
  const bench = new Bench();
  assertEquals(bench.ask({ port: 0 }), {
    code: 400,
    message:
      "No port to connect to: expected one from 1 to 65535 in the path or in port= of X-Haproxy-Server-State",
  });
  assertEquals(bench.service.runs.length, 0);
});

Deno.test("a good result is reused, and given at once", async () => {
  for (const verdict of [GOOD, { code: 302, message: "" }, { code: 204, message: "" }]) {
    const bench = new Bench();
    assertEquals(await bench.answered(verdict), verdict);
    assertEquals([bench.ask(), bench.ask(), bench.askAs("10.0.0.2")], [verdict, verdict, verdict]);
    assertEquals(bench.service.runs.length, 1);
  }
});

Deno.test("a failure is given to each client once, and then the service is asked again", async () => {
  for (const failure of [BAD, { code: 404, message: "" }, { code: 500, message: "" }]) {
    const bench = new Bench();
    // The second shares the run of the first, the third comes later.
    const answers = [bench.askAs("10.0.0.1"), bench.askAs("10.0.0.2")];
    (await bench.run(0)).end(failure);
    assertEquals(await Promise.all(answers), [failure, failure]);
    assertEquals(bench.askAs("10.0.0.3"), failure);
    assertEquals(bench.service.runs.length, 1);

    const again = ["10.0.0.2", "10.0.0.3", "10.0.0.1"].map((client) => bench.askAs(client));
    assertEquals(bench.askAs("10.0.0.4"), failure, "who was not given it yet need not wait");
    (await bench.run(1)).end(GOOD);
    assertEquals(await Promise.all(again), [GOOD, GOOD, GOOD]);
    assertEquals(bench.askAs("10.0.0.1"), GOOD);
    assertEquals(bench.service.runs.length, 2);
  }
});

Deno.test("a client that asks at the moment a failure is known is not given it twice", async () => {
  const bench = new Bench();
  const first = bench.ask();
  (await bench.run(0)).end(BAD);
  // In the very step in which the failure is kept, before the first is answered.
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

Deno.test("many balancers make a failing service be asked as often as one of them would", async () => {
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

Deno.test("who has the service asked anew has been given its failure, and the others have not", async () => {
  const bench = new Bench();
  await bench.answered(GOOD);
  const anew = bench.askAs("10.0.0.2", true);
  (await bench.run(1)).end(BAD);
  assertEquals([await anew, bench.askAs("10.0.0.1")], [BAD, BAD]);
  const again = [bench.askAs("10.0.0.2"), bench.askAs("10.0.0.1")];
  (await bench.run(2)).end(GOOD);
  assertEquals(await Promise.all(again), [GOOD, GOOD]);
});

Deno.test("a failure is given to all who ask where the configuration says so", async () => {
  const bench = new Bench({ cacheFailures: "always" });
  assertEquals(await bench.answered(BAD), BAD);
  assertEquals([bench.ask(), bench.ask(), bench.askAs("10.0.0.2")], [BAD, BAD, BAD]);
  assertEquals(bench.service.runs.length, 1);
});

Deno.test("a failure that more clients share than are remembered is given to nobody else", async () => {
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

Deno.test("a result is reused for as long as the configuration says, and no longer", async () => {
  const bench = new Bench({ cacheTime: 0.2 });
  await bench.answered(GOOD);
  assertEquals(bench.ask(), GOOD);
  let answer: Verdict | Promise<Verdict> = GOOD;
  await until("the result is too old", () => (answer = bench.ask()) instanceof Promise);
  (await bench.run(1)).end(BAD);
  assertEquals([await answer, bench.askAs("10.0.0.2")], [BAD, BAD]);
});

Deno.test("no result is reused where the configuration says so", async () => {
  const bench = new Bench({ cacheTime: 0 });
  for (const verdict of [GOOD, BAD, GOOD]) assertEquals(await bench.answered(verdict), verdict);
});

Deno.test("a thousand who ask the same at once are answered by one run", async () => {
  for (const cacheTime of [0, 60]) {
    const bench = new Bench({ cacheTime });
    const answers = Array.from({ length: 1000 }, () => bench.ask());
    (await bench.run(0)).end(GOOD);
    assertEquals(new Set(await Promise.all(answers)), new Set([GOOD]));
    assertEquals(bench.service.runs.length, 1);
  }
});

/** Parts of two requests, and whether they may share an answer. */
type Pair = readonly [first: Partial<CheckRequest>, second: Partial<CheckRequest>, share: boolean];

const HOST_A = { headers: [["Host", "a"]] } as const;
const TWO = { headers: [["Host", "a"], ["X-Site", "b"]] } as const;

const ALWAYS: readonly Pair[] = [
  [{}, {}, true],
  [{}, { host: "127.0.0.2" }, false],
  [{}, { port: 8081 }, false],
  [{ host: "127.0.0.1", port: 18 }, { host: "127.0.0.11", port: 8 }, false],
];

const SHAPED: readonly [varyOn: CacheKeyPart[], pairs: readonly Pair[]][] = [
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

Deno.test("two checks share an answer where they agree in all that shapes it", async () => {
  for (const [varyOn, pairs] of SHAPED) {
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

Deno.test("two protocols never share an answer", async () => {
  const [a, b] = [new Service(), new Service()];
  const bench = new Bench({ protocols: { a, b } });
  const answers = [bench.ask({ protocol: "a" }), bench.ask({ protocol: "b" })];
  await until("both begin", () => a.runs.length === 1 && b.runs.length === 1);
  a.runs[0]!.end(GOOD);
  b.runs[0]!.end(BAD);
  assertEquals(await Promise.all(answers), [GOOD, BAD]);
});

Deno.test("who wants no cached result has the service asked anew, for all who come later", async () => {
  const bench = new Bench();
  await bench.answered(GOOD);
  const anew = bench.ask({}, true);
  const run = await bench.run(1);
  assertEquals(bench.ask(), GOOD, "neighbours still have the cached result meanwhile");
  run.end(BAD);
  assertEquals([await anew, bench.askAs("10.0.0.2")], [BAD, BAD]);
  assertEquals(bench.service.runs.length, 2);
});

Deno.test("who wants no cached result has a run of its own, and does not disturb the one under way", async () => {
  const bench = new Bench();
  const shared = [bench.ask()];
  await bench.run(0);
  const anew = bench.ask({}, true);
  await bench.run(1);
  shared.push(bench.ask());
  bench.service.runs[1]!.end(BAD);
  assertEquals(await anew, BAD);
  assertEquals(bench.service.runs.length, 2);
  bench.service.runs[0]!.end(GOOD);
  assertEquals(await Promise.all(shared), [GOOD, GOOD]);
});

Deno.test("a run that began earlier and ends later does not overwrite the newer result", async () => {
  const bench = new Bench();
  const older = bench.ask();
  await bench.run(0);
  const begun = performance.now();
  await until("time goes on", () => performance.now() > begun);
  const newer = bench.ask({}, true);
  (await bench.run(1)).end(BAD);
  assertEquals(await newer, BAD);
  bench.service.runs[0]!.end(GOOD);
  assertEquals(await older, GOOD);
  assertEquals(bench.askAs("10.0.0.2"), BAD);
});

Deno.test("so many checks are in flight at once, and the others are queued", async () => {
  const bench = new Bench({ maxClients: 2 });
  // Of other services, and for other clients: neither may hold more than half of the places.
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
    // By whatever name and path, and for whatever client.
    hanging: (i) => [{ service: `web-${i}`, path: `/${i}` }, `10.0.1.${i}`],
    queued: [[{ path: "/other" }, "10.0.0.3"]],
  },
];

for (const { what, hanging, queued } of HOLDING) {
  Deno.test(`${what} can hold half of the places, and the others are answered at once`, async () => {
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

Deno.test("a queued check is not shared with a client that can have a place, but its answer is", async () => {
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
  // What is known by then is not asked again.
  assertEquals(await Promise.all([hanging, ...queued]), [BAD, GOOD, GOOD]);
  assertEquals(bench.service.runs.length, 2);
});

Deno.test("a queued check whose turn comes while another client's is in flight shares that one", async () => {
  const bench = new Bench({ maxClients: 4 });
  const hanging = [8000, 8001].map((port) => bench.ask({ port }, false, "10.0.0.2"));
  const queued = bench.askAs("10.0.0.2");
  const honest = bench.askAs("10.0.0.3");
  await bench.run(2);
  assertEquals(bench.pipeline.queued, 1);
  for (const i of [0, 1]) bench.service.runs[i]!.end(GOOD);
  assertEquals(await Promise.all(hanging), [GOOD, GOOD]);
  await until("it has had its turn", () => bench.pipeline.queued === 0);
  await until("it has given its place up", () => bench.pipeline.inFlight === 1);
  assertEquals(bench.service.runs.length, 3);
  bench.service.runs[2]!.end(BAD);
  assertEquals(await Promise.all([queued, honest]), [BAD, BAD]);
  // Both have been given that failure.
  const again = [bench.askAs("10.0.0.2"), bench.askAs("10.0.0.3")];
  (await bench.run(3)).end(GOOD);
  assertEquals(await Promise.all(again), [GOOD, GOOD]);
});

Deno.test("a check that was queued for long is not shared, and its failure is given to nobody else", async () => {
  const bench = new Bench({ maxClients: 4, timeout: 2 });
  const start = performance.now();
  const hanging = [8000, 8001].map((port) => bench.ask({ port }, false, "10.0.0.2"));
  const queued = bench.askAs("10.0.0.2");
  await until("most of its time is over", () => performance.now() - start > 1300);
  (await bench.run(0)).end(GOOD);
  const hasty = await bench.run(2);
  const honest = bench.askAs("10.0.0.3");
  const calm = await bench.run(3);
  await until("its time is over", () => hasty.signal.aborted);
  assert(!calm.signal.aborted);
  hasty.end({ code: 503, message: "timed out" });
  bench.service.runs[1]!.end(GOOD);
  await Promise.all(hanging);
  assertMatch((await queued).message, /^timed out, and 1\.\d\ds waiting for a place$/);
  const late = bench.askAs("10.0.0.4");
  calm.end(GOOD);
  assertEquals(await Promise.all([honest, late]), [GOOD, GOOD]);
  assertEquals(bench.service.runs.length, 4);
});

Deno.test("a probe that was queued is not answered by what was known before", async () => {
  const bench = new Bench({ maxClients: 2 });
  await bench.answered(GOOD);
  const hanging = bench.ask({ port: 8000 }, false, "10.0.0.2");
  const probe = bench.pipeline.probe(REQUEST, "10.0.0.2");
  assertEquals(bench.pipeline.queued, 1);
  (await bench.run(1)).end(BAD);
  (await bench.run(2)).end(BAD);
  assertEquals([await hanging, await probe], [BAD, BAD]);
});

Deno.test("a check that was not made is no failure to be given to others", async () => {
  const bench = new Bench({ maxClients: 2, timeout: 0.1 });
  const hanging = bench.ask({ port: 8000 }, false, "10.0.0.2");
  const queued = bench.askAs("10.0.0.2");
  assertMatch((await queued).message, /^Not checked: timed out after 0\.10s in the queue: /);
  (await bench.run(0)).end(BAD);
  assertEquals(await hanging, BAD);
  const other = bench.askAs("10.0.0.3");
  (await bench.run(1)).end(GOOD);
  assertEquals(await other, GOOD);
});

Deno.test("who has waited out the whole time is not asked", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.1 });
  // A service that does not even let go when it should.
  const first = bench.ask({ path: "/0" });
  const run = await bench.run(0);
  assertEquals(await bench.ask({ path: "/1" }), {
    code: 503,
    message: "Not checked: timed out after 0.10s in the queue: " +
      "1 checks of service 127.0.0.1:8080 are in flight, of at most 1 (half of max_clients)",
  });
  assert(run.signal.aborted);
  run.end(BAD);
  assertEquals(await first, BAD);
  assertEquals(bench.service.runs.length, 1);
  assertEquals(bench.recorded.lines, []);
});

Deno.test("the wait for one's turn counts towards the time that a check has", async () => {
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
  const letGo = setInterval(() => {
    for (const { signal, end } of hasty.service.runs) if (signal.aborted) end(BAD);
  }, 1);
  const codes = (await Promise.all(answers)).map(({ code }) => code);
  clearInterval(letGo);
  assertEquals(new Set(codes), new Set([503]));
  // Each of them would have its turn if its time began with that.
  const { length } = hasty.service.runs;
  assert(length < answers.length, `${length} were asked`);
});

Deno.test("a response of the service is passed on as it is though the deadline passed meanwhile", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 2 });
  const first = bench.ask({ path: "/0" });
  await bench.run(0);
  const second = bench.ask({ path: "/1" });
  const waited = performance.now();
  await until("the second has waited", () => performance.now() - waited > 50);
  bench.service.runs[0]!.end(GOOD);
  const { signal, end } = await bench.run(1);
  await until("its time is over", () => signal.aborted);
  end(GOOD);
  assertEquals(await Promise.all([first, second]), [GOOD, GOOD]);
});

Deno.test("a check that was late for want of a place says so", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 2 });
  const first = bench.ask({ path: "/0" });
  await bench.run(0);
  const second = bench.ask({ path: "/1" });
  const waited = performance.now();
  await until("the second has waited", () => performance.now() - waited > 50);
  bench.service.runs[0]!.end(GOOD);
  const { signal, end } = await bench.run(1);
  await until("its time is over", () => signal.aborted);
  end({ code: 503, message: "timed out" });
  assertEquals(await first, GOOD);
  const { code, message } = await second;
  assertEquals(code, 503);
  assertMatch(message, /^timed out, and \d+\.\d\ds waiting for a place$/);
});

Deno.test("who would wait behind too many is answered at once", async () => {
  const bench = new Bench({ maxClients: 1, cacheTime: 0 });
  const answers = [bench.ask({ path: "/0" })];
  const half = MAX_QUEUED / 2;
  for (const client of ["10.0.0.1", "10.0.0.2"]) {
    for (let i = 1; i <= half; i++) answers.push(bench.ask({ path: `/${i}` }, false, client));
    assertEquals(bench.pipeline.queued, answers.length - 1);
    const message = answers.length - 1 < MAX_QUEUED
      ? "5000 checks of client 10.0.0.1 wait already"
      : "10000 checks wait already";
    assertEquals(await bench.ask({ path: "/one more" }, false, client), {
      code: 503,
      message: `Not checked: ${message}`,
    });
  }
  // Each one lets the next one in, in no time.
  for (let i = 0; i < answers.length; i++) {
    while (bench.service.runs.length <= i) await undefined;
    bench.service.runs[i]!.end(GOOD);
  }
  await Promise.all(answers);
  assertEquals(bench.pipeline.queued, 0);
});

/** How many checks were counted, and how many seconds they took together. */
function counted({ durations }: Bench): [count: number, seconds: number] {
  const { buckets = [], sum = 0 } = durations.report().test ?? {};
  return [buckets.reduce((sum, count) => sum + count, 0), sum];
}

Deno.test("it is counted how long services were asked, whatever came of it, and nothing else", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.1 });
  markDown(bench);
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
  assertMatch((await bench.ask({ path: "/waits" })).message, /^Not checked: timed out/);
  run.end(BAD);
  await slow;
  assertEquals(counted(bench)[0], 3);
});

Deno.test("the wait for a place is not counted as time that a service was asked", async () => {
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
  // One after another they took no longer than all of it.
  assert(seconds > 0 && seconds <= elapsed, `${seconds} s of ${elapsed} s`);
});

Deno.test("a checker that fails by itself is down, and told of", async () => {
  for (
    const fail of [
      (run: Run) => run.fail(new Error("a slip")),
      (run: Run) => run.fail(undefined),
    ]
  ) {
    const bench = new Bench({ maxClients: 1 });
    const answer = bench.ask();
    fail(await bench.run(0));
    const failed = { code: 503, message: "The test check failed by itself" };
    assertEquals(await answer, failed);
    assertEquals(bench.askAs("10.0.0.2"), failed);
    assertEquals(bench.recorded.lines.length, 1);
    assert(bench.recorded.lines[0]!.startsWith("ERROR test check of web failed by itself: "));
    assertEquals(bench.counters.errors.checks, 1);
    assertEquals(await bench.answered(GOOD, { path: "/next" }), GOOD);
  }
});

Deno.test("a checker that throws instead of answering is down, and told of", async () => {
  const protocol: Protocol = {
    varyOn: [],
    check: () => {
      throw new Error("a slip");
    },
  };
  const bench = new Bench({ protocols: { test: protocol } });
  assertEquals(await bench.ask(), { code: 503, message: "The test check failed by itself" });
  assertEquals(bench.recorded.lines, ["ERROR test check of web failed by itself: Error: a slip"]);
});

Deno.test("a checker that does not heed its deadline is down, and gives its place up", async () => {
  const bench = new Bench({ maxClients: 1, timeout: 0.05 });
  const failed = { code: 503, message: "The test check failed by itself" };
  const answer = bench.ask();
  const run = await bench.run(0);
  assertEquals(await answer, failed);
  assert(run.signal.aborted);
  assertEquals(bench.recorded.lines, [
    "ERROR test check of web failed by itself: Error: it did not heed its deadline",
  ]);
  assertEquals([bench.counters.errors.checks, bench.pipeline.inFlight], [1, 0]);
  // What it says in the end is heard by nobody.
  run.end(GOOD);
  assertEquals(bench.askAs("10.0.0.2"), failed);
  assertEquals(await bench.answered(GOOD, { path: "/next" }), GOOD);
  run.fail(new Error("too late"));
});

Deno.test("a checker that ends soon after its deadline is heard", async () => {
  const bench = new Bench({ timeout: 0.05 });
  const answer = bench.ask();
  const { signal, end } = await bench.run(0);
  await until("its time is over", () => signal.aborted);
  end(BAD);
  assertEquals(await answer, BAD);
  assertEquals([bench.recorded.lines, bench.counters.errors.checks], [[], 0]);
});

Deno.test("a checker whose rejection comes after the deadline has failed by itself", async () => {
  const bench = new Bench({ timeout: 0.05 });
  const answer = bench.ask();
  const { signal, fail } = await bench.run(0);
  await until("its time is over", () => signal.aborted);
  fail(new Error("a slip"));
  assertEquals(await answer, { code: 503, message: "The test check failed by itself" });
  assertEquals(bench.counters.errors.checks, 1);
});

Deno.test("a checker that answers nonsense is down, and told of", async () => {
  for (const verdict of [undefined, null, 5, {}, { code: 200 }]) {
    const bench = new Bench();
    const answer = bench.ask();
    (await bench.run(0)).end(verdict as unknown as Verdict);
    assertEquals(await answer, { code: 503, message: "The test check failed by itself" });
    assertEquals(bench.counters.errors.checks, 1);
  }
});

Deno.test("a code is passed on where it is a registered one that ends an exchange, else it is 503", async () => {
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
    assertEquals(await new Bench().answered({ code, message: "m" }), { code: 503, message: "m" });
  }
});
