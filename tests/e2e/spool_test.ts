import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

interface Case {
  readonly what: string;
  /** The names and contents of the records. */
  readonly records: Record<string, string>;
  /** The service and port in the URL. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  /** The line after `Service `; null for up. */
  readonly down: string | null;
}

/** Each has its own service, so that all can be down at once. */
const CASES: readonly Case[] = [
  { what: "nothing", records: {}, path: "free/0", down: null },
  { what: "nothing, with a port", records: {}, path: "free/8080", down: null },
  {
    what: "all fields",
    records: {
      full: '{"reason": "maint", "expiration": 4000000000.125, "creation": 1435694078.778886}',
    },
    path: "full/8080",
    down: "full in down state since 1435694078.778886 until 4000000000.125000: maint",
  },
  {
    what: "no creation and no expiration",
    records: { short: '{"reason": "maint", "expiration": null, "creation": null}' },
    path: "short/0",
    down: "short in down state: maint",
  },
  { what: "an empty file", records: { empty: "" }, path: "empty/0", down: "empty in down state" },
  {
    what: "text",
    records: { text: "see ticket 7\n" },
    path: "text/0",
    down: "text in down state: see ticket 7",
  },
  {
    what: "half a record",
    records: { half: '{"reason": "ma' },
    path: "half/0",
    down: 'half in down state: {"reason": "ma',
  },
  {
    what: "a list",
    records: { list: '["maint", 1]' },
    path: "list/0",
    down: 'list in down state: ["maint", 1]',
  },
  {
    what: "unknown keys and wrong types",
    records: { odd: '{"reason": {"why": "x"}, "expiration": "soon", "creation": [], "by": "me"}' },
    path: "odd/0",
    down: 'odd in down state: {"why":"x"}',
  },
  {
    what: "invalid times",
    records: { senseless: '{"reason": "x", "expiration": -5, "creation": 1e300}' },
    path: "senseless/0",
    down: "senseless in down state: x",
  },
  {
    what: "a reason of several lines",
    records: { lines: '{"reason": "a\\r\\nSet-Cookie: b\\tc"}' },
    path: "lines/0",
    down: "lines in down state: a Set-Cookie: b c",
  },
  {
    what: "a reason beyond ASCII",
    records: { accents: '{"reason": "déménagé \\u2192 \\ud83d\\ude80"}' },
    path: "accents/0",
    down: "accents in down state: déménagé → 🚀",
  },
  {
    what: "an expired record",
    records: { expired: '{"reason": "over", "expiration": 1435694078}' },
    path: "expired/0",
    down: null,
  },
  {
    what: "an expired record before an active one",
    records: { "next": '{"reason": "over", "expiration": 1}', "next:8080": "its port" },
    path: "next/8080",
    down: "next in down state: its port",
  },
  {
    what: "the service before its port",
    records: { "first": "the service", "first:8080": "its port" },
    path: "first/8080",
    down: "first in down state: the service",
  },
  {
    what: "the port",
    records: { "port:8080": "its port" },
    path: "port/8080",
    down: "port in down state: its port",
  },
  {
    what: "another port",
    records: { "other:8080": "its port" },
    path: "other/8081",
    down: null,
  },
  {
    what: "a port, for a check without one",
    records: { "portless:8080": "its port" },
    path: "portless/0",
    down: null,
  },
  {
    what: "the port in the header of HAProxy",
    records: { "stated:8080": "its port" },
    path: "stated/0",
    headers: { "X-Haproxy-Server-State": "UP 1/3; address=127.0.0.1; port=8080; name=web/a" },
    down: "stated in down state: its port",
  },
  {
    what: "the port in the header of HAProxy, before that of the path",
    records: { "over:8080": "its port" },
    path: "over/8080",
    headers: { "X-Haproxy-Server-State": "UP; port=8081" },
    down: null,
  },
  {
    what: "the port before the host",
    records: { "both:8080": "its port", "both:192.0.2.1:8080": "its host" },
    path: "both/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "both in down state: its port",
  },
  {
    what: "the host in the header of HAProxy",
    records: { "host:192.0.2.1:8080": "its host" },
    path: "host/0",
    headers: {
      "X-Haproxy-Server-State": "UP; address=192.0.2.1; port=8080",
      "X-Nerve-Check-IP": "192.0.2.2",
    },
    down: "host in down state: its host",
  },
  {
    what: "the host in the header of Nerve",
    records: { "nerve:192.0.2.1:8080": "its host" },
    path: "nerve/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "nerve in down state: its host",
  },
  {
    what: "an IPv6 host in another spelling",
    records: { "six:2001:db8::1:8080": "its host" },
    path: "six/8080",
    headers: { "X-Nerve-Check-IP": "2001:DB8:0::1" },
    down: "six in down state: its host",
  },
  {
    what: "another host",
    records: { "elsewhere:192.0.2.1:8080": "its host" },
    path: "elsewhere/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.2" },
    down: null,
  },
  {
    what: "a host, for a check of this one",
    records: { "here:192.0.2.1:8080": "its host" },
    path: "here/8080",
    down: null,
  },
  {
    what: "another loopback address, which is not this host",
    records: { "loop:127.0.0.2:8080": "its host" },
    path: "loop/8080",
    down: null,
  },
  {
    what: "a port, for a check of another host",
    records: { "anywhere:8080": "its port" },
    path: "anywhere/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "anywhere in down state: its port",
  },
  {
    what: "invalid names",
    records: { ".nobody": "no", "nobody:": "no", "nobody:0": "no", "nobody:99999": "no" },
    path: "nobody/8080",
    down: null,
  },
  {
    what: "a name that begins with a dot",
    records: { ".dotted": "no" },
    path: ".dotted/0",
    down: null,
  },
];

/** Writes records, and waits until the daemon has read the last one. */
async function write(daemon: Daemon, records: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries({ ...records, "written": "" })) {
    daemon.writeRecord(name, content);
  }
  await until(
    "all records are read",
    async () => (await daemon.get("/spool/written/0")).status === 503,
  );
}

function responseFor(down: string | null): { status: number; body: string } {
  return down === null ? { status: 200, body: "" } : { status: 503, body: `Service ${down}` };
}

Deno.test("/spool returns the exact line of the record that matches", async () => {
  await using daemon = await Daemon.start();
  await write(daemon, Object.assign({}, ...CASES.map(({ records }) => records)));
  for (const { what, path, headers, down } of CASES) {
    assertEquals(await daemon.get(`/spool/${path}`, headers), responseFor(down), what);
    assertEquals(
      await daemon.get(`/spool/${path}/status?deep=1`, headers),
      responseFor(down),
      what,
    );
  }
});

Deno.test("records are in force from the first response of a daemon", async () => {
  await using first = await Daemon.start();
  await write(first, Object.assign({}, ...CASES.map(({ records }) => records)));
  await using daemon = await Daemon.start({ spool: first.spool });
  for (const { what, path, headers, down } of CASES) {
    assertEquals(await daemon.get(`/spool/${path}`, headers), responseFor(down), what);
  }
});

Deno.test("/spool returns the status of GET for HEAD and OPTIONS", async () => {
  await using daemon = await Daemon.start();
  await write(daemon, { web: "maint" });
  for (const [path, status] of [["/spool/web/0", 503], ["/spool/api/0", 200]] as const) {
    for (const method of ["HEAD", "OPTIONS"]) {
      const response = await fetch(daemon.url(path), { method });
      const body = method === "HEAD" || status === 200 ? "" : "Service web in down state: maint";
      assertEquals([response.status, await response.text()], [status, body], method);
    }
  }
});

Deno.test("/spool returns the record of all before others", async () => {
  await using daemon = await Daemon.start();
  await write(daemon, { "web": "the service", "web:8080": "its port", "all": "everything" });
  await until(
    "all records are read",
    async () => (await daemon.get("/spool/api/0")).status === 503,
  );
  for (const path of ["/spool/web/8080", "/spool/api/0", "/spool/all/0", "/tcp/web/1"]) {
    assertEquals(await daemon.get(path), responseFor("all in down state: everything"), path);
  }
  daemon.writeRecord("all", '{"reason": "over", "expiration": 5}');
  await until("all has expired", async () => (await daemon.get("/spool/api/0")).status === 200);
  assertEquals(await daemon.get("/spool/web/8080"), responseFor("web in down state: the service"));
});

Deno.test("a record takes a service that works out of every protocol, until it is removed", async () => {
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("alive"),
  );
  const { port } = service.addr;
  await using daemon = await Daemon.start();
  const paths = [`/tcp/web/${port}`, `/http/web/${port}/status`, `/spool/web/${port}`];
  const statuses = () => Promise.all(paths.map(async (path) => (await daemon.get(path)).status));
  // The second time there is a good result in the cache.
  for (const name of ["web", `web:${port}`]) {
    assertEquals(await statuses(), [200, 200, 200]);
    daemon.writeRecord(name, "maint");
    await until("web is down", async () => (await daemon.get(paths[2]!)).status === 503);
    for (const path of paths) {
      assertEquals(await daemon.get(path), responseFor("web in down state: maint"), path);
    }
    // Another service on that port is not affected.
    assertEquals((await daemon.get(`/tcp/api/${port}`)).status, 200);
    Deno.removeSync(`${daemon.spool}/${name}`);
    await until("web is up", async () => (await daemon.get(paths[2]!)).status === 200);
  }
  assertEquals(await statuses(), [200, 200, 200]);
});

Deno.test("a record expires while the daemon runs", async () => {
  await using daemon = await Daemon.start();
  const path = `${daemon.spool}/web`;
  let expiration = 0;
  let seconds = 1;
  // With more time at each turn, for a busy machine.
  await until("web is down", async () => {
    if (Date.now() / 1000 > expiration) {
      expiration = Date.now() / 1000 + seconds;
      seconds *= 2;
      Deno.writeTextFileSync(path, JSON.stringify({ reason: "a moment", expiration }));
    }
    return (await daemon.get("/spool/web/0")).status === 503;
  });
  await until("web is up", async () => (await daemon.get("/spool/web/0")).status === 200);
  assert(Date.now() / 1000 > expiration);
  // The daemon has no permission to remove it.
  assert(Deno.statSync(path).isFile);
});

const own = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !address.startsWith("127.") && !address.startsWith("169.254.")
)?.address;

Deno.test({
  name: "an address of this machine counts as 127.0.0.1, in records and in headers",
  ignore: own === undefined,
  fn: async () => {
    await using daemon = await Daemon.start();
    await write(daemon, { [`web:${own}:8080`]: "own", "api:8080": "local" });
    for (const address of [own!, "127.0.0.1"]) {
      const headers = { "X-Nerve-Check-IP": address };
      assertEquals(
        await daemon.get("/spool/web/8080", headers),
        responseFor("web in down state: own"),
      );
      assertEquals(
        await daemon.get("/spool/api/8080", headers),
        responseFor("api in down state: local"),
      );
    }
    assertEquals(await daemon.get("/spool/web/8080"), responseFor("web in down state: own"));
    assertEquals(
      await daemon.get("/spool/web/8080", { "X-Nerve-Check-IP": "192.0.2.1" }),
      responseFor(null),
    );
  },
});
