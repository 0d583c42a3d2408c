import { AsyncLocalStorage } from "node:async_hooks";
import type { CheckRequest, Verdict } from "../../../src/checks/check.ts";
import { Pipeline } from "../../../src/checks/pipeline.ts";
import {
  CheckTracer,
  type Span,
  type SpanOptions,
  type Tracer,
} from "../../../src/checks/traces.ts";
import { newCounters } from "../../../src/metrics/counters.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";
import { RecordedLog } from "../../support/log.ts";
import { until } from "../../servers/mod.ts";

const REQUEST: CheckRequest = {
  protocol: "test",
  service: "web",
  host: "127.0.0.1",
  port: 8080,
  path: "/",
  headers: [["Host", "web"], ["Traceparent", "00-of-the-balancer"]],
};

/** A span in memory. */
class RecordedSpan implements Span {
  readonly name: string;
  readonly startTime: number | undefined;
  readonly attributes: Record<string, string | number>;
  /** The request in whose asynchronous context it started. */
  readonly parent = currentRequest.getStore();
  status: { readonly code: number; readonly message: string } | null = null;
  ends = 0;

  constructor(name: string, { attributes, startTime }: SpanOptions) {
    this.name = name;
    this.startTime = startTime;
    this.attributes = { ...attributes };
  }

  spanContext = () => ({ traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 });

  setAttribute(key: string, value: string | number): void {
    this.attributes[key] = value;
  }

  setStatus(status: { readonly code: number; readonly message: string }): void {
    this.status = status;
  }

  end(): void {
    this.ends++;
  }
}

/** Deno's own asynchronous context of a request is not active in tests; this one propagates in the same way. */
const currentRequest = new AsyncLocalStorage<string>();

class RecordingTracer implements Tracer {
  readonly spans: RecordedSpan[] = [];

  startSpan(name: string, options: SpanOptions): Span {
    const span = new RecordedSpan(name, options);
    this.spans.push(span);
    return span;
  }
}

Deno.test("CheckTracer.find() finds no tracer without OTEL_DENO=true", () => {
  assertEquals(CheckTracer.find(true), undefined);
});

Deno.test("CheckSpan.end() records the verdict: its code, state, phases, and why it failed", () => {
  const tracer = new RecordingTracer();
  const checks = new CheckTracer(tracer, false);
  const phases = { connect: 1, tls: 2, first_byte: 3, rest: 4 };
  checks.begin(REQUEST, 0).end({ code: 302, message: "moved", phases });
  const message = `${"x".repeat(300)}\ny`;
  checks.begin(REQUEST, 5).end({ code: 503, message, reason: "reset" });
  checks.begin(REQUEST, 5).end({ code: 404, message: "a\nb" });
  const [good, failed, other] = tracer.spans;
  const common = {
    "hacheck.protocol": "test",
    "hacheck.service": "web",
    "server.address": "127.0.0.1",
    "server.port": 8080,
  };
  assertEquals(good!.name, "check test");
  assertEquals(good!.status, null);
  assertEquals(good!.startTime, undefined);
  assertEquals(good!.attributes, {
    ...common,
    "hacheck.queue_ms": 0,
    "hacheck.connect_ms": 1,
    "hacheck.tls_ms": 2,
    "hacheck.first_byte_ms": 3,
    "hacheck.rest_ms": 4,
    "hacheck.code": 302,
    "hacheck.state": "up",
  });
  assertEquals(failed!.status, { code: 2, message: "x".repeat(200) });
  assert(failed!.startTime !== undefined);
  assertEquals(failed!.attributes, {
    ...common,
    "hacheck.queue_ms": 5,
    "hacheck.code": 503,
    "hacheck.state": "down",
    "error.type": "reset",
  });
  assertEquals(other!.status, { code: 2, message: "a" });
  assertEquals(tracer.spans.map(({ ends }) => ends), [1, 1, 1]);
});

Deno.test("CheckTracer.begin() replaces the balancer's traceparent where the span's is forwarded", () => {
  const tracer = new RecordingTracer();
  assertEquals(new CheckTracer(tracer, false).begin(REQUEST, 0).request, REQUEST);
  assertEquals(new CheckTracer(tracer, true).begin(REQUEST, 0).request, {
    ...REQUEST,
    headers: [["Host", "web"]],
    traceparent: ["traceparent", `00-${"a".repeat(32)}-${"b".repeat(16)}-01`],
  });
});

/** A pipeline that traces, whose checks the test settles. */
class Bench {
  readonly tracer = new RecordingTracer();
  readonly clock = new TestClock();
  readonly runs: { readonly port: number; readonly end: () => void }[] = [];
  readonly #pipeline: Pipeline;

  constructor(maxClients: number) {
    const check = ({ port }: CheckRequest) =>
      new Promise<Verdict>((resolve) => {
        this.runs.push({ port, end: () => resolve({ code: 200, message: "" }) });
      });
    this.#pipeline = new Pipeline({
      spool: new SpoolIndex(),
      protocols: new Map([["test", { check, varyOn: [] }]]),
      cacheTime: 60,
      timeout: 1,
      maxClients,
      log: new RecordedLog().log,
      counters: newCounters(),
      tracer: new CheckTracer(this.tracer, false),
      clock: this.clock,
    });
  }

  /** Asks for a check in the asynchronous context of a request. */
  ask(name: string, port: number, client = "10.0.0.1"): Verdict | Promise<Verdict> {
    return currentRequest.run(
      name,
      () => this.#pipeline.check({ ...REQUEST, port }, false, client),
    );
  }

  /** The spans: in the context of which request, their times in the queue in full seconds, and the reasons. */
  get spans(): unknown[] {
    return this.tracer.spans.map(({ parent, attributes }) => [
      ...[parent, Math.floor(attributes["hacheck.queue_ms"] as number / 1000)],
      attributes["error.type"],
    ]);
  }

  /** Waits until as many checks have been run. */
  async ran(count: number): Promise<void> {
    await until(`${count} checks are run`, () => this.runs.length === count);
  }
}

Deno.test("a check has one span, in the context of the request that started it", async () => {
  const bench = new Bench(1);
  const first = bench.ask("first", 1);
  const shared = bench.ask("shared", 1);
  const queued = bench.ask("queued", 2);
  await bench.ran(1);
  await bench.clock.advance(200);
  bench.runs[0]!.end();
  await bench.ran(2);
  bench.runs[1]!.end();
  for (const verdict of [first, shared, queued]) assertEquals((await verdict).code, 200);
  assertEquals((await bench.ask("cached", 1)).code, 200);
  const expected = [["first", 0, undefined], ["queued", 0, undefined]];
  assertEquals(bench.spans, expected);
  assertEquals(bench.tracer.spans.map(({ ends }) => ends), [1, 1]);
  assertEquals(bench.tracer.spans[1]!.attributes["hacheck.queue_ms"], 200);
});

Deno.test("a check that times out in the queue has a span in the context of its request", async () => {
  const bench = new Bench(1);
  // A checker that does not settle at its deadline keeps its slot.
  const first = bench.ask("first", 1);
  await bench.ran(1);
  await bench.clock.advance(500);
  const late = [bench.ask("second", 2), bench.ask("third", 3)];
  await bench.clock.advance(1100);
  for (const verdict of late) assertEquals((await verdict).reason, "limit");
  bench.runs[0]!.end();
  await first;
  assertEquals(bench.spans, [
    ["first", 0, undefined],
    ["second", 1, "limit"],
    ["third", 1, "limit"],
  ]);
});

Deno.test("a queued check that shares another one beyond its own deadline has a span in the context of its request", async () => {
  const bench = new Bench(4);
  const own = [bench.ask("own", 1), bench.ask("own", 2)];
  const queued = bench.ask("queued", 3);
  await bench.clock.advance(500);
  const other = bench.ask("other", 3, "10.0.0.2");
  await bench.ran(3);
  bench.runs[0]!.end();
  await bench.clock.advance(600);
  assertEquals((await queued).reason, "limit");
  for (const { end } of bench.runs) end();
  await Promise.all([...own, other]);
  assertEquals(bench.spans.at(-1), ["queued", 1, "limit"]);
  assertEquals(bench.spans.length, 4);
});
