import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { getInNetwork, IN_NETWORK_NAMESPACE, NETWORK_PROGRAMS } from "../support/network.ts";
import { Daemon, WORKER_GRANTS } from "../support/programs.ts";
import { ClosedPort } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

const PAGE = "/debug/runtime";

async function runtime(daemon: Daemon) {
  const response = await fetch(daemon.url(PAGE), { headers: { connection: "close" } });
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "application/json; charset=UTF-8");
  return await response.json();
}

for (const workers of [1, 3]) {
  Deno.test(`/debug/runtime reports versions, permissions and the state of ${workers} workers`, async () => {
    await using daemon = await Daemon.start({
      args: ["-n", String(workers)],
      grants: WORKER_GRANTS,
    });
    const { versions, permissions, event_loops, ...others } = await runtime(daemon);
    assertEquals(others, {});
    assertEquals(versions, { hacheck: VERSION, ...Deno.version });
    assertEquals(permissions, {
      everything: {
        read: "prompt",
        write: "prompt",
        net: "granted",
        env: "prompt",
        sys: "prompt",
        run: "prompt",
        ffi: "prompt",
        import: "prompt",
      },
      spool: { read: "granted", write: "prompt" },
    });
    assertEquals(event_loops.length, workers);
    for (const { memory, event_loop_delay: delay, ...counts } of event_loops) {
      assertEquals(Object.keys(memory).sort(), ["external", "heapTotal", "heapUsed", "rss"]);
      for (const [name, bytes] of Object.entries(memory)) {
        assert(Number.isInteger(bytes) && bytes as number > 0, `${name}: ${bytes}`);
      }
      assert(memory.heapUsed <= memory.heapTotal && memory.heapTotal < memory.rss);
      assertEquals(Object.keys(delay).sort(), ["last", "max", "mean"]);
      const { request_headers, ...rest } = counts;
      assertEquals(rest, { checks_under_way: 0, checks_queued: 0, checks: {} });
      assertEquals([request_headers.source, request_headers.reason], ["private field", null]);
    }
    await until("the delay of every worker is measured", async () => {
      const { event_loops } = await runtime(daemon);
      return event_loops.every(({ event_loop_delay: { last, mean, max } }: {
        event_loop_delay: Record<string, number>;
      }) => max! > 0 && max! >= last! && max! >= mean! && mean! > 0);
    });
  });
}

Deno.test("/debug/runtime counts requested checks by protocol", async () => {
  using port = await ClosedPort.open();
  await using daemon = await Daemon.start({ config: "cache_time: 60\n" });
  for (
    const [path, status] of [
      [`/tcp/web/${port.port}`, 503],
      [`/tcp/web/${port.port}`, 503],
      [`/tcp/api/${port.port}`, 503],
      [`/http/web/${port.port}/x`, 503],
      ["/spool/web/0", 200],
      ["/http/web/0/x", 400],
      // These are no checks.
      ["/gopher/web/70", 404],
      ["/http/web/99999/x", 400],
      ["/status", 200],
      ["/status/services/web/0", 200],
    ] as const
  ) {
    assertEquals([path, (await daemon.get(path)).status], [path, status]);
  }
  const { event_loops: [{ checks }] } = await runtime(daemon);
  assertEquals(checks, { tcp: 3, http: 2, spool: 1 });
});

Deno.test("/debug/runtime reports checks in flight and queued", async () => {
  await using service = await DeferredService.start();
  await using daemon = await Daemon.start({ config: "max_clients: 4\n" });
  const request = (path: string) => daemon.get(`/http/web/${service.port}/${path}`);
  const answers = ["a", "a", "b", "c", "d", "e"].map(request);
  const now = async () => {
    const { event_loops: [{ checks_under_way, checks_queued }] } = await runtime(daemon);
    return [checks_under_way, checks_queued];
  };
  for (const expected of [[2, 3], [2, 1], [1, 0]]) {
    await until(`it reports ${expected}`, async () => String(await now()) === String(expected));
    await until("the checks have reached the service", () => service.pending === expected[0]);
    service.respond("fine");
  }
  for (const answer of await Promise.all(answers)) {
    assertEquals(answer, { status: 200, body: "fine" });
  }
  assertEquals(await now(), [0, 0]);
});

Deno.test("/debug/runtime reports whether the daemon may write its spool", async () => {
  const spool = Deno.makeTempDirSync();
  try {
    await using daemon = await Daemon.start({
      spool,
      config: "allow_remote_spool_changes: true\n",
      grants: [`--allow-write=${spool}`],
    });
    const { permissions } = await runtime(daemon);
    assertEquals(permissions.spool, { read: "granted", write: "granted" });
    assertEquals(permissions.everything.write, "prompt");
  } finally {
    Deno.removeSync(spool);
  }
});

/** The address of a daemon, the addresses of a request and its client, and whether it gets the report. */
const CLIENTS: readonly [bind: string, host: string, from: string, isAllowed: boolean][] = [
  ["0.0.0.0", "127.0.0.1", "127.0.0.1", true],
  ["0.0.0.0", "127.0.0.1", "127.0.0.2", true],
  ["0.0.0.0", "10.9.8.7", "10.9.8.7", false],
  ["0.0.0.0", "127.0.0.1", "10.9.8.7", false],
  ["::", "::1", "::1", true],
  ["::", "fd00::7", "fd00::7", false],
  ["::", "127.0.0.1", "127.0.0.1", true],
  ["::", "10.9.8.7", "10.9.8.7", false],
];

serverTest(
  "/debug/runtime is for clients on this host, and IPv4 clients have one name on all pages",
  NETWORK_PROGRAMS,
  async () => {
    for (const bind of new Set(CLIENTS.map(([bind]) => bind))) {
      await using daemon = await Daemon.start({
        wrapper: IN_NETWORK_NAMESPACE,
        args: ["-B", bind, "-v"],
      });
      for (const [, host, from, isAllowed] of CLIENTS.filter(([own]) => own === bind)) {
        const request = (path: string) =>
          getInNetwork(daemon, path, {}, host, ["--interface", from]);
        const { status, body } = await request(PAGE);
        assertEquals([bind, host, from, status], [bind, host, from, isAllowed ? 200 : 403]);
        if (!isAllowed) assertEquals(body, "Only for clients on this host");
        await request(`/spool/${from.replaceAll(":", "-")}/0`);
        await daemon.logged(new RegExp(`/debug/runtime \\(${from.replaceAll(".", "\\.")}\\) `));
      }
      const counts = await getInNetwork(
        daemon,
        "/status/count",
        {},
        bind === "::" ? "::1" : undefined,
      );
      for (const [name, clients] of Object.entries(JSON.parse(counts.body).service_access_counts)) {
        assertEquals(Object.keys(clients as object), [name.replaceAll("-", ":")]);
      }
    }
  },
);
