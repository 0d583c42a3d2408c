import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, run } from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { serverTest, until } from "../servers/mod.ts";
import { pipelined, StalledClients, withClosedWindow } from "../support/stalled_clients.ts";

const MIB = 1024 * 1024;

/** The most bytes that a process has used, and those that the kernel uses for the sockets of its port. */
async function heldBytes(pid: number, port: number): Promise<number> {
  // The tests have no permission to read there.
  const { stdout: status } = await run("cat", [`/proc/${pid}/status`]);
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(status)!;
  const { stdout: sockets } = await run("ss", [
    ...["--tcp", "--all", "--memory", "--numeric", "--no-header", `sport = :${port}`],
  ]);
  const queued = [...sockets.matchAll(/,w(\d+),/g)];
  return Number(kilobytes) * 1024 + queued.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

/** Requests checks of so many services that `/recent` and `/status/count` are large. */
async function requestMany(daemon: Daemon): Promise<void> {
  const paths = Array.from(
    { length: 5000 },
    (_, i) => `/spool/service-with-a-name-of-some-length-${i}/0`,
  );
  // A connection may end after any response; the rest is sent again.
  while (paths.length > 0) {
    using connection = await RawConnection.open(daemon.port);
    const requests = paths.slice(0, 100).map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n`);
    await connection.send(`${requests.join("\r\n")}Connection: close\r\n\r\n`);
    const responses = (await connection.readAll()).split("HTTP/1.1 200 OK\r\n").length - 1;
    paths.splice(0, responses);
  }
  const { body } = await daemon.get("/recent");
  assert(body.length > 400_000, `${body.length} characters`);
}

interface Attack {
  readonly name: string;
  readonly connections: number;
  readonly bytes: Uint8Array;
  /** Whether the daemon responds between two connections. */
  readonly isPaced?: true;
}

const ATTACKS: readonly Attack[] = [
  {
    name: "HTTP/2 clients with closed windows that request a large page",
    connections: 10,
    bytes: withClosedWindow("/recent", 200),
  },
  {
    name: "HTTP/2 clients with closed windows that request small pages",
    connections: 400,
    bytes: withClosedWindow("/nothing", 200),
    // Deno parses all requests that it has received before the daemon runs: on a busy machine those of all
    // connections, 80,000 at once.
    isPaced: true,
  },
  {
    name: "HTTP/1.1 clients that request a large page and do not read it",
    connections: 600,
    bytes: pipelined("/recent"),
  },
  {
    name: "HTTP/1.1 clients that send requests without end and do not read",
    connections: 300,
    bytes: pipelined("/nothing", 10_000),
  },
  {
    name: "HTTP/1.1 clients that request responses without a body and do not read",
    connections: 300,
    bytes: pipelined("/spool/web/0", 10_000),
  },
  {
    name: "HTTP/1.1 clients that send HEAD and do not read",
    connections: 300,
    bytes: pipelined("/status", 10_000, "HEAD"),
  },
];

for (const { name, connections, bytes, isPaced } of ATTACKS) {
  const promise = "the daemon takes at most 100 MiB more, and responds to checks, beside";
  serverTest(`${promise} ${name}`, ["ss"], async () => {
    await using daemon = await Daemon.start();
    await requestMany(daemon);
    const before = await heldBytes(daemon.pid, daemon.port);
    let most = 0;
    let received = 0;
    let isOver = false;
    const measuring = (async () => {
      while (!isOver || received < 20) {
        most = Math.max(most, await heldBytes(daemon.pid, daemon.port));
        // The connection of a check may be cut; a balancer repeats it.
        const check = await daemon.get("/spool/web/0").catch(() => null);
        if (check !== null) assertEquals(check, { status: 200, body: "" });
        if (check !== null) received++;
      }
    })();
    const pace = () => daemon.get("/spool/web/0").catch(() => null);
    using _clients = await StalledClients.open(
      daemon.port,
      connections,
      bytes,
      isPaced ? pace : undefined,
    );
    isOver = true;
    await measuring;
    const more = Math.round((most - before) / MIB);
    assert(more < 100, `${more} MiB more`);
  });
}

Deno.test("large pages are rejected while others wait for clients, and small ones are not", async () => {
  await using daemon = await Daemon.start();
  await requestMany(daemon);
  {
    using _clients = await StalledClients.open(daemon.port, 1, withClosedWindow("/recent", 100));
    await until("large pages are rejected", async () => {
      const { status, body } = await daemon.get("/recent");
      return status === 503 && body.startsWith("Too many bytes of large pages wait");
    });
    assertEquals((await daemon.get("/spool/web/0")).status, 200);
    assertEquals((await daemon.get("/status")).status, 200);
  }
  // The connection is closed, so its bytes no longer count.
  await until("they are sent again", async () => (await daemon.get("/recent")).status === 200);
});

Deno.test("a client that requests all of many records again and again delays no check", async () => {
  await using daemon = await Daemon.start();
  for (let i = 0; i < 10_000; i++) {
    daemon.writeRecord(`service-${i}`, '{"reason": "maint", "creation": 1}');
  }
  await until("all records are known", async () => {
    const { spool } = JSON.parse((await daemon.get("/status")).body);
    return spool.records === 10_000;
  });
  using _clients = await StalledClients.open(
    daemon.port,
    4,
    withClosedWindow("/status/downtimes", 2000),
  );
  // A balancer gives up after some seconds.
  const balancer = AbortSignal.timeout(5000);
  for (let i = 0; i < 20; i++) {
    const url = `http://127.0.0.1:${daemon.port}/spool/service-${i}/0`;
    const { status, body } = await fetch(url, { signal: balancer });
    await body?.cancel();
    assertEquals(status, 503);
  }
});
