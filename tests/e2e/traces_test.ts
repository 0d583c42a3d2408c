import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { getFromWorkers } from "../support/clients.ts";
import { Daemon, type DaemonOptions, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../servers/certificates.ts";
import { Collector, type ReceivedSpan } from "../servers/collector.ts";
import { DeferredService } from "../servers/deferred_service.ts";
import { ClosedPort, FaultyServer, silent } from "../servers/faulty.ts";
import { Grpc, GRPC_PROGRAMS } from "../servers/grpc.ts";
import { missingPrograms, serverTest, until } from "../servers/mod.ts";

/** The trace of a client, and its header. */
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const traceparent = `00-${TRACE}-${CLIENT_SPAN}-01`;

/** Starts a daemon that sends its traces to a collector. */
function startTracing(collector: Collector, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({ ...options, wrapper: collector.tracing() });
}

/** A web service, or a HAProxy whose backend `web` is up. It keeps the headers of the last request. */
class HeaderService implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  headers = new Headers();

  constructor(tls: Partial<Deno.TlsCertifiedKeyPem> = {}) {
    const options = { hostname: "127.0.0.1", port: 0, onListen() {}, ...tls };
    this.#server = Deno.serve(options, ({ url, headers }) => {
      this.headers = headers;
      return new Response(url.endsWith("/;csv") ? "# pxname,svname,status\nweb,BACKEND,UP\n" : "");
    });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Waits for the spans of checks, and for their parents. */
async function checksOf(collector: Collector, count: number): Promise<ReceivedSpan[]> {
  await until(`${count} checks and their requests are traced`, () => {
    const { checks } = collector;
    return checks.length >= count &&
      checks.every(({ parentSpanId }) => collector.find(parentSpanId) !== undefined);
  });
  assertEquals(collector.checks.length, count);
  return collector.checks;
}

/** The path of the request that a check belongs to. */
function requestOf(collector: Collector, { parentSpanId }: ReceivedSpan): string {
  return String(collector.find(parentSpanId)!.attributes["url.path"]);
}

Deno.test("a check is a span within that of its request, in the client's trace", async () => {
  await using collector = new Collector();
  await using service = new HeaderService();
  await using daemon = await startTracing(collector);
  const path = `/http/web/${service.port}/status`;
  assertEquals((await daemon.get(path, { traceparent })).status, 200);

  const [check] = await checksOf(collector, 1);
  assertEquals(check!.name, "check http");
  assertEquals(check!.traceId, TRACE);
  assertEquals(check!.status.code, 0);
  const request = collector.find(check!.parentSpanId)!;
  assertEquals(request.attributes["url.path"], path);
  assertEquals(request.parentSpanId, CLIENT_SPAN);

  const { attributes } = check!;
  for (const phase of ["connect", "first_byte", "rest"]) {
    const time = attributes[`hacheck.${phase}_ms`];
    assert(typeof time === "number" && time >= 0, `${phase}: ${time}`);
  }
  assertEquals(
    Object.fromEntries(Object.entries(attributes).filter(([name]) => !/_ms$/.test(name))),
    {
      "hacheck.protocol": "http",
      "hacheck.service": "web",
      "hacheck.code": 200,
      "hacheck.state": "up",
      "server.address": "127.0.0.1",
      "server.port": service.port,
    },
  );
  assertEquals(attributes["hacheck.queue_ms"], 0);
  assertEquals(service.headers.get("traceparent"), null);
});

Deno.test("the span of a failed check has the status error, the reason and the message", async () => {
  await using collector = new Collector();
  using closed = await ClosedPort.open();
  await using daemon = await startTracing(collector);
  const { body } = await daemon.get(`/tcp/web/${closed.port}/`);
  const [check] = await checksOf(collector, 1);
  assertEquals(check!.name, "check tcp");
  assertEquals(check!.status, { code: 2, message: body });
  assertEquals(check!.attributes["error.type"], "refused");
  assertEquals(check!.attributes["hacheck.code"], 503);
  assertEquals(check!.attributes["hacheck.state"], "down");
});

Deno.test("requests that share a check, and those answered by the cache or the spool, have no span of a check", async () => {
  await using collector = new Collector();
  await using service = await DeferredService.start();
  await using daemon = await startTracing(collector);
  const path = `/http/web/${service.port}/`;
  const first = daemon.get(path);
  await until("the service has a request", () => service.pending === 1);
  const second = daemon.get(path);
  await until("both are requested", async () => {
    const { service_access_counts } = JSON.parse((await daemon.get("/status/count")).body);
    return service_access_counts["web"]?.["127.0.0.1"] === 2;
  });
  service.respondToAll("fine");
  await Promise.all([first, second]);
  await daemon.get(path);
  daemon.writeRecord("db", "maint");
  await until("db is down", async () => (await daemon.get("/spool/db/1/")).status === 503);
  await daemon.get("/tcp/db/1/");
  // The spans of later requests are sent last.
  await daemon.get(`/http/last/${service.port}/last`);
  const paths = (await checksOf(collector, 2)).map((check) => requestOf(collector, check));
  assertEquals(paths.toSorted(), [path, `/http/last/${service.port}/last`].toSorted());
});

Deno.test("the span of a queued check belongs to its own request, and has its time in the queue", async () => {
  await using collector = new Collector();
  await using service = await DeferredService.start();
  await using daemon = await startTracing(collector, { config: "max_clients: 1\n" });
  const paths = ["a", "b", "c"].map((name) => `/http/${name}/${service.port}/${name}`);
  const requests = [daemon.get(paths[0]!)];
  await until("the service has a request", () => service.pending === 1);
  for (const path of paths.slice(1)) requests.push(daemon.get(path));
  await until("the others are queued", async () => {
    return JSON.parse((await daemon.get("/status")).body).outbound_request_queue_size === 2;
  });
  service.respondToAll("fine");
  for (const { status } of await Promise.all(requests)) assertEquals(status, 200);
  const checks = await checksOf(collector, 3);
  for (const check of checks) {
    const { attributes } = check;
    const name = attributes["hacheck.service"];
    assertEquals(requestOf(collector, check), `/http/${name}/${service.port}/${name}`);
    const queued = attributes["hacheck.queue_ms"] as number;
    assertEquals(queued > 0, name !== "a");
  }
});

serverTest(
  "forward_traceparent continues the trace in http, https, haproxy and grpc services",
  [...CERTIFICATE_PROGRAMS, ...GRPC_PROGRAMS],
  async () => {
    using folder = new TempFolder();
    const { certificate, key } = await issueSelfSigned(folder, "web", "DNS:web.example");
    await using collector = new Collector();
    await using plain = new HeaderService();
    await using secure = new HeaderService({
      cert: Deno.readTextFileSync(certificate),
      key: Deno.readTextFileSync(key),
    });
    await using grpc = await Grpc.start({});
    await using daemon = await startTracing(collector, {
      config: "forward_traceparent: true\nhttp_headers_to_copy: [Host, Traceparent]\n",
    });
    const received: (string | null)[] = [];
    for (
      const [path, service] of [
        [`/http/web/${plain.port}/`, plain],
        [`/https/web/${secure.port}/`, secure],
        [`/haproxy/web/${plain.port}/`, plain],
      ] as const
    ) {
      assertEquals((await daemon.get(path, { traceparent })).status, 200, path);
      received.push(service.headers.get("traceparent"));
    }
    const { body } = await daemon.get(`/grpc/web/${grpc.port}/its-traceparent`, { traceparent });
    received.push(/gRPC status 2 (\S+)/.exec(body)?.[1] ?? body);
    const checks = await checksOf(collector, 4);
    const names = ["http", "https", "haproxy", "grpc"].map((protocol) => `check ${protocol}`);
    assertEquals(
      received,
      names.map((name) => {
        const { spanId } = checks.find((check) => check.name === name)!;
        return `00-${TRACE}-${spanId}-01`;
      }),
    );
  },
);

Deno.test("services get no traceparent without forward_traceparent, nor without OTEL_DENO=true", async () => {
  await using collector = new Collector();
  await using service = new HeaderService();
  const hasGrpc = missingPrograms(GRPC_PROGRAMS).length === 0;
  for (
    const options of [
      { wrapper: collector.tracing() },
      { config: "forward_traceparent: true\n" },
    ]
  ) {
    await using daemon = await Daemon.start(options);
    if ("config" in options) {
      await daemon.logged(/forward_traceparent has no effect without OTEL_DENO=true/);
    }
    for (const path of [`/http/web/${service.port}/`, `/haproxy/web/${service.port}/`]) {
      assertEquals((await daemon.get(path, { traceparent })).status, 200);
      assertEquals(service.headers.get("traceparent"), null);
    }
    if (!hasGrpc) continue;
    await using grpc = await Grpc.start({});
    const { body } = await daemon.get(`/grpc/web/${grpc.port}/its-traceparent`, { traceparent });
    assertMatch(body, /gRPC status 2 none$/);
  }
});

Deno.test("workers trace their checks", async () => {
  await using collector = new Collector();
  await using service = new HeaderService();
  await using daemon = await startTracing(collector, {
    args: ["-n", "2"],
    grants: WORKER_GRANTS,
    config: "cache_time: 0\n",
  });
  const path = `/http/web/${service.port}/`;
  const responses = await getFromWorkers(daemon, path);
  await until("checks are traced", () => collector.checks.length >= 2);
  assert(responses.length >= 2);
  await daemon.stop();
});

Deno.test("a daemon whose collector is away or hangs answers checks, and stops", async () => {
  await using collector = new Collector();
  await using service = new HeaderService();
  using closed = await ClosedPort.open();
  await using hanging = await FaultyServer.start(silent);
  for (const { port } of [closed, hanging]) {
    const wrapper = collector.tracing(
      `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${port}`,
      "OTEL_EXPORTER_OTLP_TIMEOUT=500",
    );
    await using daemon = await Daemon.start({ wrapper });
    assertEquals((await daemon.get(`/http/web/${service.port}/`)).status, 200);
    await daemon.stop();
  }
});

Deno.test("OTEL_DENO_CONSOLE=ignore sends no log, and OTEL_DENO_METRICS=false no metrics", async () => {
  await using collector = new Collector();
  await using service = new HeaderService();
  await using daemon = await Daemon.start({
    wrapper: collector.tracing("OTEL_DENO_CONSOLE=ignore", "OTEL_DENO_METRICS=false"),
  });
  assertEquals((await daemon.get(`/http/web/${service.port}/`)).status, 200);
  await checksOf(collector, 1);
  await daemon.stop();
  assertEquals([...collector.paths], ["/v1/traces"]);
});
