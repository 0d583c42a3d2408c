import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, run, WORKER_GRANTS } from "../support/programs.ts";
import { parseResponse, RawConnection } from "../support/raw_http.ts";
import { until } from "../servers/mod.ts";

/** Runs a program with a limit of open files. */
function limited(descriptors: number): string[] {
  return ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh"];
}

/** Waits until a time, by `performance.now()`. */
function waitUntil(at: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));
}

/** Clients that send a text, and then hold their connections open. */
class HangingClients implements Disposable {
  readonly #connections: RawConnection[] = [];
  /** How many were refused or cut before they had sent it. */
  lost = 0;

  /**
   * Opens connections.
   *
   * @param port The port on 127.0.0.1.
   * @param count How many.
   * @param perSecond How many a second.
   * @param text What each of them sends.
   */
  async open(port: number, count: number, perSecond: number, text: string): Promise<void> {
    const start = performance.now();
    const opening: Promise<void>[] = [];
    for (let opened = 0; opened < count; opened++) {
      await waitUntil(start + opened * 1000 / perSecond);
      opening.push(this.#one(port, text));
    }
    await Promise.all(opening);
  }

  async #one(port: number, text: string): Promise<void> {
    try {
      const connection = await RawConnection.open(port);
      this.#connections.push(connection);
      await connection.send(text);
    } catch {
      this.lost++;
    }
  }

  /** Closes them all. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection[Symbol.dispose]();
  }
}

/** The outcome of normal checks. */
interface Outcome {
  sent: number;
  received: number;
  wrong: string[];
  lost: string[];
}

/** Requests checks at a steady rate, each on its own connection. */
async function checkSteadily(
  port: number,
  count: number,
  perSecond: number,
  checks: readonly { readonly path: string; readonly status: number }[],
): Promise<Outcome> {
  const outcome: Outcome = { sent: 0, received: 0, wrong: [], lost: [] };
  const start = performance.now();
  const one = async ({ path, status }: typeof checks[number]) => {
    try {
      using connection = await RawConnection.open(port);
      await connection.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const response = parseResponse(await connection.readAll());
      outcome.received++;
      if (response.status !== status) {
        outcome.wrong.push(`${path}: ${response.status} ${response.body}`);
      }
    } catch (error) {
      outcome.lost.push(`${path}: ${(error as Error).message}`);
    }
  };
  const sending: Promise<void>[] = [];
  while (outcome.sent < count) {
    await waitUntil(start + outcome.sent * 1000 / perSecond);
    sending.push(one(checks[outcome.sent++ % checks.length]!));
  }
  await Promise.all(sending);
  return outcome;
}

/** Checks of a service that is up and of one that is down. */
async function normalChecks(daemon: Daemon, service: Deno.HttpServer<Deno.NetAddr>) {
  daemon.writeRecord("down", "maint");
  await until(
    "the record is known",
    async () => (await daemon.get("/spool/down/0")).status === 503,
  );
  const { port } = service.addr;
  return [
    { path: "/spool/web/0", status: 200 },
    { path: "/spool/down/0", status: 503 },
    { path: `/http/web/${port}/`, status: 200 },
    { path: `/tcp/web/${port}`, status: 200 },
    { path: `/http/down/${port}/`, status: 503 },
  ];
}

async function listenersOf(daemon: Daemon) {
  return JSON.parse((await daemon.get("/status")).body).listeners;
}

function serve(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("fine"),
  );
}

for (const workers of [1, 2]) {
  Deno.test(`with -n ${workers} and 1,024 descriptors, 5,000 connections that hang within a request line cost at most 1 of 100 checks`, async () => {
    await using service = serve();
    await using daemon = await Daemon.start({
      wrapper: limited(1024),
      args: ["-n", String(workers)],
      grants: WORKER_GRANTS,
      // No two checks of the service share a result.
      config: "cache_time: 0\n",
    });
    const checks = await normalChecks(daemon, service);
    {
      using hanging = new HangingClients();
      const [during] = await Promise.all([
        checkSteadily(daemon.port, 550, 50, checks),
        hanging.open(daemon.port, 5000, 500, "GET /spool/we"),
      ]);
      assertEquals(during.wrong, []);
      assert(during.received >= 0.99 * during.sent, JSON.stringify(during));
    }
    const after = await checkSteadily(daemon.port, 100, 50, checks);
    assertEquals(after, { sent: 100, received: 100, wrong: [], lost: [] });
    assert((await listenersOf(daemon)).renewals > 0);
    await daemon.logged(
      / WARNING \d+ file descriptors are in use: closing hanging connections to port \d+\n/,
    );
  });
}

/** How many file descriptors a daemon has open. */
async function openBy({ pid }: Daemon): Promise<number> {
  return (await run("ls", [`/proc/${pid}/fd`])).stdout.trim().split("\n").length;
}

Deno.test("10,000 connections that send nothing are cut, and take no more than 1,024 descriptors for long", async () => {
  await using service = serve();
  await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
  const checks = await normalChecks(daemon, service);
  {
    using hanging = new HangingClients();
    const [during] = await Promise.all([
      checkSteadily(daemon.port, 500, 50, checks),
      hanging.open(daemon.port, 10_000, 1000, ""),
    ]);
    assertEquals(during.wrong, []);
    assert(during.received >= 0.99 * during.sent, JSON.stringify(during));
    await until("most are cut", async () => await openBy(daemon) < 1024);
  }
  const after = await checkSteadily(daemon.port, 100, 50, checks);
  assertEquals(after, { sent: 100, received: 100, wrong: [], lost: [] });
});

Deno.test("a daemon without free file descriptors responds again as soon as it has some", async () => {
  await using service = serve();
  await using daemon = await Daemon.start({ wrapper: limited(128), config: "cache_time: 0\n" });
  const startedAt = performance.now();
  const checks = await normalChecks(daemon, service);
  {
    using hanging = new HangingClients();
    const [during] = await Promise.all([
      checkSteadily(daemon.port, 100, 50, checks.filter(({ path }) => path.startsWith("/spool/"))),
      hanging.open(daemon.port, 3000, 3000, "GET /spool/we"),
    ]);
    assertEquals(during.wrong, []);
  }
  await until("it responds", async () => (await daemon.get("/spool/web/0")).status === 200);
  const after = await checkSteadily(daemon.port, 100, 50, checks);
  assertEquals(after, { sent: 100, received: 100, wrong: [], lost: [] });
  const { renewals, falls } = await listenersOf(daemon);
  assert(renewals + falls > 0);
  // Each kind of line is logged once in ten seconds, however long a busy machine takes.
  const periods = Math.ceil((performance.now() - startedAt) / 10_000);
  assert(daemon.log.split("\n").length < 6 + 6 * periods, `it logs too much: ${daemon.log}`);
});
