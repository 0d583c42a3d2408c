import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

interface Case {
  readonly what: string;
  /** The names and contents of the records there are. */
  readonly records: Record<string, string>;
  /** What is asked: a service and a port. */
  readonly asked: string;
  readonly headers?: Record<string, string>;
  /** What the line says after `Service `; null for up. */
  readonly down: string | null;
}

/** Each of another service, so that all of them can be down at once. */
const CASES: readonly Case[] = [
  { what: "nothing", records: {}, asked: "free/0", down: null },
  { what: "nothing, with a port", records: {}, asked: "free/8080", down: null },
  {
    what: "all that a record can tell",
    records: {
      full: '{"reason": "maint", "expiration": 4000000000.125, "creation": 1435694078.778886}',
    },
    asked: "full/8080",
    down: "full in down state since 1435694078.778886 until 4000000000.125000: maint",
  },
  {
    what: "no creation and no expiration",
    records: { short: '{"reason": "maint", "expiration": null, "creation": null}' },
    asked: "short/0",
    down: "short in down state: maint",
  },
  { what: "an empty file", records: { empty: "" }, asked: "empty/0", down: "empty in down state" },
  {
    what: "text",
    records: { text: "see ticket 7\n" },
    asked: "text/0",
    down: "text in down state: see ticket 7",
  },
  {
    what: "half a record",
    records: { half: '{"reason": "ma' },
    asked: "half/0",
    down: 'half in down state: {"reason": "ma',
  },
  {
    what: "a list",
    records: { list: '["maint", 1]' },
    asked: "list/0",
    down: 'list in down state: ["maint", 1]',
  },
  {
    what: "further keys and unknown types",
    records: { odd: '{"reason": {"why": "x"}, "expiration": "soon", "creation": [], "by": "me"}' },
    asked: "odd/0",
    down: 'odd in down state: {"why":"x"}',
  },
  {
    what: "times that make no sense",
    records: { senseless: '{"reason": "x", "expiration": -5, "creation": 1e300}' },
    asked: "senseless/0",
    down: "senseless in down state: x",
  },
  {
    what: "a reason of several lines",
    records: { lines: '{"reason": "a\\r\\nSet-Cookie: b\\tc"}' },
    asked: "lines/0",
    down: "lines in down state: a Set-Cookie: b c",
  },
  {
    what: "a reason beyond ASCII",
    records: { accents: '{"reason": "déménagé \\u2192 \\ud83d\\ude80"}' },
    asked: "accents/0",
    down: "accents in down state: déménagé → 🚀",
  },
  {
    what: "an expired record",
    records: { expired: '{"reason": "over", "expiration": 1435694078}' },
    asked: "expired/0",
    down: null,
  },
  {
    what: "an expired record before one in force",
    records: { "next": '{"reason": "over", "expiration": 1}', "next:8080": "its port" },
    asked: "next/8080",
    down: "next in down state: its port",
  },
  {
    what: "the service before its port",
    records: { "first": "the service", "first:8080": "its port" },
    asked: "first/8080",
    down: "first in down state: the service",
  },
  {
    what: "the port",
    records: { "port:8080": "its port" },
    asked: "port/8080",
    down: "port in down state: its port",
  },
  {
    what: "another port",
    records: { "other:8080": "its port" },
    asked: "other/8081",
    down: null,
  },
  {
    what: "a port, asked without one",
    records: { "portless:8080": "its port" },
    asked: "portless/0",
    down: null,
  },
  {
    what: "a port that HAProxy gives in its header",
    records: { "stated:8080": "its port" },
    asked: "stated/0",
    headers: { "X-Haproxy-Server-State": "UP 1/3; address=127.0.0.1; port=8080; name=web/a" },
    down: "stated in down state: its port",
  },
  {
    what: "a port that HAProxy gives over that of the path",
    records: { "over:8080": "its port" },
    asked: "over/8080",
    headers: { "X-Haproxy-Server-State": "UP; port=8081" },
    down: null,
  },
  {
    what: "the port before the host",
    records: { "both:8080": "its port", "both:192.0.2.1:8080": "its host" },
    asked: "both/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "both in down state: its port",
  },
  {
    what: "a host of HAProxy's header",
    records: { "host:192.0.2.1:8080": "its host" },
    asked: "host/0",
    headers: {
      "X-Haproxy-Server-State": "UP; address=192.0.2.1; port=8080",
      "X-Nerve-Check-IP": "192.0.2.2",
    },
    down: "host in down state: its host",
  },
  {
    what: "a host of Nerve's header",
    records: { "nerve:192.0.2.1:8080": "its host" },
    asked: "nerve/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "nerve in down state: its host",
  },
  {
    what: "an IPv6 host, spelled otherwise",
    records: { "six:2001:db8::1:8080": "its host" },
    asked: "six/8080",
    headers: { "X-Nerve-Check-IP": "2001:DB8:0::1" },
    down: "six in down state: its host",
  },
  {
    what: "another host",
    records: { "elsewhere:192.0.2.1:8080": "its host" },
    asked: "elsewhere/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.2" },
    down: null,
  },
  {
    what: "a host, asked of this one",
    records: { "here:192.0.2.1:8080": "its host" },
    asked: "here/8080",
    down: null,
  },
  {
    what: "another loopback address, which stays what it is",
    records: { "loop:127.0.0.2:8080": "its host" },
    asked: "loop/8080",
    down: null,
  },
  {
    what: "a port, whatever the host",
    records: { "anywhere:8080": "its port" },
    asked: "anywhere/8080",
    headers: { "X-Nerve-Check-IP": "192.0.2.1" },
    down: "anywhere in down state: its port",
  },
  {
    what: "names that are no record's",
    records: { ".nobody": "no", "nobody:": "no", "nobody:0": "no", "nobody:99999": "no" },
    asked: "nobody/8080",
    down: null,
  },
  {
    what: "a name beginning with a dot, which is nobody's",
    records: { ".dotted": "no" },
    asked: ".dotted/0",
    down: null,
  },
];

/** Writes records as an operator with an editor would, and waits until the daemon has seen the last. */
async function write(daemon: Daemon, records: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries({ ...records, "written": "" })) {
    daemon.writeRecord(name, content);
  }
  await until("all is seen", async () => (await daemon.get("/spool/written/0")).status === 503);
}

function answer(down: string | null): { status: number; body: string } {
  return down === null ? { status: 200, body: "" } : { status: 503, body: `Service ${down}` };
}

Deno.test("/spool answers what stands in the spool, to the byte", async () => {
  await using daemon = await Daemon.start();
  await write(daemon, Object.assign({}, ...CASES.map(({ records }) => records)));
  for (const { what, asked, headers, down } of CASES) {
    assertEquals(await daemon.get(`/spool/${asked}`, headers), answer(down), what);
    assertEquals(await daemon.get(`/spool/${asked}/status?deep=1`, headers), answer(down), what);
  }
});

Deno.test("What stands in the spool when the daemon starts is in force from the first answer", async () => {
  await using first = await Daemon.start();
  await write(first, Object.assign({}, ...CASES.map(({ records }) => records)));
  await using daemon = await Daemon.start({ spool: first.spool });
  for (const { what, asked, headers, down } of CASES) {
    assertEquals(await daemon.get(`/spool/${asked}`, headers), answer(down), what);
  }
});

Deno.test("HEAD and OPTIONS get the status of GET", async () => {
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

Deno.test("all is down before everything else, under its own name", async () => {
  await using daemon = await Daemon.start();
  await write(daemon, { "web": "the service", "web:8080": "its port", "all": "everything" });
  await until("all is seen", async () => (await daemon.get("/spool/api/0")).status === 503);
  for (const path of ["/spool/web/8080", "/spool/api/0", "/spool/all/0", "/tcp/web/1"]) {
    assertEquals(await daemon.get(path), answer("all in down state: everything"), path);
  }
  daemon.writeRecord("all", '{"reason": "over", "expiration": 5}');
  await until("all is over", async () => (await daemon.get("/spool/api/0")).status === 200);
  assertEquals(await daemon.get("/spool/web/8080"), answer("web in down state: the service"));
});

Deno.test("A live service that is marked down is down by every protocol, and up again after", async () => {
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("alive"),
  );
  const { port } = service.addr;
  await using daemon = await Daemon.start();
  const paths = [`/tcp/web/${port}`, `/http/web/${port}/status`, `/spool/web/${port}`];
  const statuses = () => Promise.all(paths.map(async (path) => (await daemon.get(path)).status));
  // Twice, so that the second time there is a good result in the cache.
  for (const name of ["web", `web:${port}`]) {
    assertEquals(await statuses(), [200, 200, 200]);
    daemon.writeRecord(name, "maint");
    await until("web is down", async () => (await daemon.get(paths[2]!)).status === 503);
    for (const path of paths) {
      assertEquals(await daemon.get(path), answer("web in down state: maint"), path);
    }
    // Neither another service on that port nor the port's own answer is touched.
    assertEquals((await daemon.get(`/tcp/api/${port}`)).status, 200);
    Deno.removeSync(`${daemon.spool}/${name}`);
    await until("web is up", async () => (await daemon.get(paths[2]!)).status === 200);
  }
  assertEquals(await statuses(), [200, 200, 200]);
});

Deno.test("A record ends by itself while the daemon runs", async () => {
  await using daemon = await Daemon.start();
  const path = `${daemon.spool}/web`;
  let expiration = 0;
  let moment = 1;
  // As long as it takes a busy machine to notice.
  await until("web is down", async () => {
    if (Date.now() / 1000 > expiration) {
      expiration = Date.now() / 1000 + moment;
      moment *= 2;
      Deno.writeTextFileSync(path, JSON.stringify({ reason: "a moment", expiration }));
    }
    return (await daemon.get("/spool/web/0")).status === 503;
  });
  await until("web is up", async () => (await daemon.get("/spool/web/0")).status === 200);
  assert(Date.now() / 1000 > expiration);
  // The daemon may not write: nothing was removed.
  assert(Deno.statSync(path).isFile);
});

const own = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !address.startsWith("127.") && !address.startsWith("169.254.")
)?.address;

Deno.test({
  name: "An address of this machine's own counts as 127.0.0.1, in records and in headers",
  ignore: own === undefined,
  fn: async () => {
    await using daemon = await Daemon.start();
    await write(daemon, { [`web:${own}:8080`]: "own", "api:8080": "local" });
    for (const address of [own!, "127.0.0.1"]) {
      const headers = { "X-Nerve-Check-IP": address };
      assertEquals(await daemon.get("/spool/web/8080", headers), answer("web in down state: own"));
      assertEquals(
        await daemon.get("/spool/api/8080", headers),
        answer("api in down state: local"),
      );
    }
    assertEquals(await daemon.get("/spool/web/8080"), answer("web in down state: own"));
    assertEquals(
      await daemon.get("/spool/web/8080", { "X-Nerve-Check-IP": "192.0.2.1" }),
      answer(null),
    );
  },
});
