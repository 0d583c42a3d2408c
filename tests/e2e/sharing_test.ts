import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { FaultyServer, silent } from "../servers/faulty.ts";
import { until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

/** A web service that responds with what it received. */
function echo(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { host, "x-site": site, "x-service": service } = Object.fromEntries(request.headers);
    const path = request.url.replace(/^http:\/\/[^/]*/, "");
    return Response.json([path, host, site ?? null, service ?? null]);
  });
}

/** How many checks of a service were requested. */
async function requestedChecks(daemon: Daemon, service: string): Promise<number> {
  const { service_access_counts } = JSON.parse((await daemon.get("/status/count")).body);
  return service_access_counts[service]?.["127.0.0.1"] ?? 0;
}

const CLIENTS = 1000;

for (const cacheTime of [10, 0]) {
  Deno.test(`a thousand clients at once share one request to the service, with a cache_time of ${cacheTime}`, async () => {
    await using service = await DeferredService.start();
    await using daemon = await Daemon.start({ config: `cache_time: ${cacheTime}\n` });
    const responses: Promise<{ status: number; body: string }>[] = [];
    // A thousand connections that have sent nothing yet would count as hanging.
    while (responses.length < CLIENTS) {
      for (let i = 0; i < 100; i++) responses.push(daemon.get(`/http/web/${service.port}/status`));
      await until("all are requested", async () => {
        return await requestedChecks(daemon, "web") === responses.length;
      });
    }
    await until("the service has a request", () => service.pending === 1);
    service.respond("fine");
    for (const response of await Promise.all(responses)) {
      assertEquals(response, { status: 200, body: "fine" });
    }
    assertEquals(service.accepted, 1);
  });
}

Deno.test("checks that differ in what is sent to the service never share a result", async () => {
  await using service = echo();
  const { port } = service.addr;
  await using daemon = await Daemon.start({ config: "http_headers_to_copy: [Host, X-Site]\n" });
  const requests: [path: string, headers: Record<string, string>][] = [
    ["", {}],
    ["?a=1", {}],
    ["?a=2", {}],
    ["/x", {}],
    ["/x?a=1", {}],
    ["/x", { "x-site": "a" }],
    ["/x", { "x-site": "b" }],
    ["/x", { host: "www.example.org" }],
    ["/x", { host: "www.example.org", "x-site": "a" }],
  ];
  const expected = requests.map(([path, headers]) => [
    path.startsWith("/") ? path : `/${path}`,
    headers.host ?? `127.0.0.1:${daemon.port}`,
    headers["x-site"] ?? null,
    null,
  ]);
  const client = Deno.createHttpClient({ allowHost: true });
  try {
    // The second time from the cache.
    for (let times = 1; times <= 2; times++) {
      const bodies = requests.map(async ([path, headers]) => {
        const response = await fetch(daemon.url(`/http/web/${port}${path}`), { client, headers });
        return await response.json();
      });
      assertEquals(await Promise.all(bodies), expected);
    }
  } finally {
    client.close();
  }
  assertEquals((JSON.parse((await daemon.get("/status")).body)).cache, {
    expirations: 0,
    sets: requests.length,
    gets: 2 * requests.length,
    hits: requests.length,
    misses: requests.length,
  });
});

Deno.test("services on one port share a result, unless the name of the service is sent", async () => {
  for (
    const [config, sends] of [
      ["# nothing\n", false],
      ["service_name_header: X-Service\n", true],
    ] as const
  ) {
    await using service = echo();
    await using daemon = await Daemon.start({ config });
    for (const name of ["web", "api"]) {
      const { body } = await daemon.get(`/http/${name}/${service.addr.port}/x`);
      assertEquals(JSON.parse(body)[3], sends ? name : null);
    }
    const { cache } = JSON.parse((await daemon.get("/status")).body);
    assertEquals([cache.sets, cache.hits], sends ? [2, 0] : [1, 1]);
  }
});

Deno.test("a check that bypasses the cache does not delay others, and refreshes the cache", async () => {
  await using service = await DeferredService.start();
  await using daemon = await Daemon.start();
  const path = `/http/web/${service.port}`;
  const first = daemon.get(path);
  await until("the service has a request", () => service.pending === 1);
  service.respond("old");
  assertEquals((await first).body, "old");
  for (const headers of [{ pragma: "no-cache" }, { "cache-control": "no-cache" }]) {
    const { body } = await daemon.get(path);
    const bypassing = daemon.get(path, headers);
    await until("the service has another request", () => service.pending === 1);
    assertEquals((await daemon.get(path)).body, body);
    service.respond(JSON.stringify(headers));
    assertEquals((await bypassing).body, JSON.stringify(headers));
    assertEquals((await daemon.get(path)).body, JSON.stringify(headers));
  }
  assertEquals(service.accepted, 3);
});

Deno.test("max_clients limits the checks in flight, and /status reports the queue", async () => {
  await using service = await DeferredService.start();
  // One service and one client can take half of the slots.
  await using daemon = await Daemon.start({ config: "max_clients: 6\n" });
  const responses = Array.from(
    { length: 10 },
    (_, i) => daemon.get(`/http/web/${service.port}/${i}`),
  );
  const queued = async () =>
    JSON.parse((await daemon.get("/status")).body).outbound_request_queue_size;
  for (const [accepted, inFlight, rest] of [[3, 3, 7], [6, 3, 4], [9, 3, 1], [10, 1, 0]] as const) {
    await until("the next are in flight", async () => {
      return service.pending === inFlight && await queued() === rest;
    });
    assertEquals(service.accepted, accepted);
    // A check of the spool takes no slot.
    assertEquals((await daemon.get("/spool/web/0")).status, 200);
    service.respond("fine");
  }
  for (const response of await Promise.all(responses)) {
    assertEquals(response, { status: 200, body: "fine" });
  }
});

Deno.test("the time in the queue counts towards healthcheck_timeout", async () => {
  await using service = await FaultyServer.start(silent);
  await using daemon = await Daemon.start({ config: "max_clients: 1\nhealthcheck_timeout: 0.5\n" });
  const responses = Array.from(
    { length: 20 },
    (_, i) => daemon.get(`/http/web/${service.port}/${i}`),
  );
  for (const { status } of await Promise.all(responses)) assertEquals(status, 503);
  // If the time began with the slot, each check would reach the service.
  assert(service.accepted < responses.length, `${service.accepted} reached the service`);
});
