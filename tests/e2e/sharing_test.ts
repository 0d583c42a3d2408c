import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { FaultyServer, silent } from "../servers/faulty.ts";
import { until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

/** A web service that answers with all that it was asked. */
function echo(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { host, "x-site": site, "x-service": service } = Object.fromEntries(request.headers);
    const path = request.url.replace(/^http:\/\/[^/]*/, "");
    return Response.json([path, host, site ?? null, service ?? null]);
  });
}

/** How many checks of a service the daemon has been asked for. */
async function askedFor(daemon: Daemon, service: string): Promise<number> {
  const { service_access_counts } = JSON.parse((await daemon.get("/status/count")).body);
  return service_access_counts[service]?.["127.0.0.1"] ?? 0;
}

const CLIENTS = 1000;

for (const cacheTime of [10, 0]) {
  Deno.test(`a thousand clients at once cost a service one request, with a cache_time of ${cacheTime}`, async () => {
    await using service = await DeferredService.start();
    await using daemon = await Daemon.start({ config: `cache_time: ${cacheTime}\n` });
    const answers: Promise<{ status: number; body: string }>[] = [];
    // So many that have connected and asked nothing yet would be taken for connections that hang.
    while (answers.length < CLIENTS) {
      for (let i = 0; i < 100; i++) answers.push(daemon.get(`/http/web/${service.port}/status`));
      await until("all have asked", async () => await askedFor(daemon, "web") === answers.length);
    }
    await until("the service is asked", () => service.pending === 1);
    service.respond("fine");
    for (const answer of await Promise.all(answers)) {
      assertEquals(answer, { status: 200, body: "fine" });
    }
    assertEquals(service.accepted, 1);
  });
}

Deno.test("checks that differ in what is sent to the service never share an answer", async () => {
  await using service = echo();
  const { port } = service.addr;
  await using daemon = await Daemon.start({ config: "http_headers_to_copy: [Host, X-Site]\n" });
  const questions: [path: string, headers: Record<string, string>][] = [
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
  const expected = questions.map(([path, headers]) => [
    path.startsWith("/") ? path : `/${path}`,
    headers.host ?? `127.0.0.1:${daemon.port}`,
    headers["x-site"] ?? null,
    null,
  ]);
  const client = Deno.createHttpClient({ allowHost: true });
  try {
    // At once, and then again from the cache.
    for (let times = 1; times <= 2; times++) {
      const answers = questions.map(async ([path, headers]) => {
        const response = await fetch(daemon.url(`/http/web/${port}${path}`), { client, headers });
        return await response.json();
      });
      assertEquals(await Promise.all(answers), expected);
    }
  } finally {
    client.close();
  }
  assertEquals((JSON.parse((await daemon.get("/status")).body)).cache, {
    expirations: 0,
    sets: questions.length,
    gets: 2 * questions.length,
    hits: questions.length,
    misses: questions.length,
  });
});

Deno.test("services on one port share an answer, unless they are told their names", async () => {
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

Deno.test("who wants no cached result does not keep neighbours waiting, and refreshes theirs", async () => {
  await using service = await DeferredService.start();
  await using daemon = await Daemon.start();
  const path = `/http/web/${service.port}`;
  const first = daemon.get(path);
  await until("the service is asked", () => service.pending === 1);
  service.respond("old");
  assertEquals((await first).body, "old");
  for (const headers of [{ pragma: "no-cache" }, { "cache-control": "no-cache" }]) {
    const { body } = await daemon.get(path);
    const anew = daemon.get(path, headers);
    await until("the service is asked again", () => service.pending === 1);
    assertEquals((await daemon.get(path)).body, body);
    service.respond(JSON.stringify(headers));
    assertEquals((await anew).body, JSON.stringify(headers));
    assertEquals((await daemon.get(path)).body, JSON.stringify(headers));
  }
  assertEquals(service.accepted, 3);
});

Deno.test("so many services are asked at once as the configuration says, and /status tells of the rest", async () => {
  await using service = await DeferredService.start();
  await using daemon = await Daemon.start({ // One service, and one client, can hold half of them.
    config: "max_clients: 6\n",
  });
  const answers = Array.from(
    { length: 10 },
    (_, i) => daemon.get(`/http/web/${service.port}/${i}`),
  );
  const queued = async () =>
    JSON.parse((await daemon.get("/status")).body).outbound_request_queue_size;
  for (const [accepted, asking, rest] of [[3, 3, 7], [6, 3, 4], [9, 3, 1], [10, 1, 0]] as const) {
    await until("the next are asked", async () => {
      return service.pending === asking && await queued() === rest;
    });
    assertEquals(service.accepted, accepted);
    // What needs no service needs no place either.
    assertEquals((await daemon.get("/spool/web/0")).status, 200);
    service.respond("fine");
  }
  for (const answer of await Promise.all(answers)) {
    assertEquals(answer, { status: 200, body: "fine" });
  }
});

Deno.test("the wait behind services that hang counts towards the time that a check has", async () => {
  await using service = await FaultyServer.start(silent);
  await using daemon = await Daemon.start({ config: "max_clients: 1\nhealthcheck_timeout: 0.5\n" });
  const answers = Array.from(
    { length: 20 },
    (_, i) => daemon.get(`/http/web/${service.port}/${i}`),
  );
  for (const { status } of await Promise.all(answers)) assertEquals(status, 503);
  // Each of them would have its turn if its time began with that.
  assert(service.accepted < answers.length, `${service.accepted} were asked`);
});
