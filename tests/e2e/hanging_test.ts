import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, run, WORKER_GRANTS } from "../support/programs.ts";
import { parseResponse, RawConnection } from "../support/raw_http.ts";
import { until } from "../servers/mod.ts";

/** Runs a program that may have so many files open. */
function limited(descriptors: number): string[] {
  return ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh"];
}

/** Waits until a moment has come, by the clock of `performance.now`. */
function moment(at: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));
}

/** Clients that say something, and then hold their connections open. */
class Hanging implements Disposable {
  readonly #connections: RawConnection[] = [];
  /** How many were refused or cut before they had said it. */
  lost = 0;

  /**
   * Opens connections.
   *
   * @param port The port of 127.0.0.1 that they go to.
   * @param count How many.
   * @param perSecond How many a second.
   * @param says What each of them says.
   */
  async open(port: number, count: number, perSecond: number, says: string): Promise<void> {
    const start = performance.now();
    const opening: Promise<void>[] = [];
    for (let opened = 0; opened < count; opened++) {
      await moment(start + opened * 1000 / perSecond);
      opening.push(this.#one(port, says));
    }
    await Promise.all(opening);
  }

  async #one(port: number, says: string): Promise<void> {
    try {
      const connection = await RawConnection.open(port);
      this.#connections.push(connection);
      await connection.send(says);
    } catch {
      this.lost++;
    }
  }

  /** Closes them all. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection[Symbol.dispose]();
  }
}

/** What became of honest checks. */
interface Outcome {
  asked: number;
  answered: number;
  wrong: string[];
  lost: string[];
}

/** Asks for checks at a steady rate, each on a connection of its own. */
async function askSteadily(
  port: number,
  count: number,
  perSecond: number,
  checks: readonly { readonly path: string; readonly status: number }[],
): Promise<Outcome> {
  const outcome: Outcome = { asked: 0, answered: 0, wrong: [], lost: [] };
  const start = performance.now();
  const one = async ({ path, status }: typeof checks[number]) => {
    try {
      using connection = await RawConnection.open(port);
      await connection.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const answer = parseResponse(await connection.readAll());
      outcome.answered++;
      if (answer.status !== status) outcome.wrong.push(`${path}: ${answer.status} ${answer.body}`);
    } catch (error) {
      outcome.lost.push(`${path}: ${(error as Error).message}`);
    }
  };
  const asking: Promise<void>[] = [];
  while (outcome.asked < count) {
    await moment(start + outcome.asked * 1000 / perSecond);
    asking.push(one(checks[outcome.asked++ % checks.length]!));
  }
  await Promise.all(asking);
  return outcome;
}

/** A service that is up, what is marked down, and a port that nobody listens on. */
async function honestChecks(daemon: Daemon, service: Deno.HttpServer<Deno.NetAddr>) {
  daemon.writeRecord("down", "maint");
  await until("it is known", async () => (await daemon.get("/spool/down/0")).status === 503);
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

for (const loops of [1, 2]) {
  Deno.test(`with -n ${loops} and 1,024 descriptors, 5,000 connections that hang at half a request line cost at most 1 of 100 checks`, async () => {
    await using service = serve();
    await using daemon = await Daemon.start({
      wrapper: limited(1024),
      args: ["-n", String(loops)],
      grants: WORKER_GRANTS,
      // Each check of the service is one of its own.
      config: "cache_time: 0\n",
    });
    const checks = await honestChecks(daemon, service);
    {
      using hanging = new Hanging();
      const [during] = await Promise.all([
        askSteadily(daemon.port, 550, 50, checks),
        hanging.open(daemon.port, 5000, 500, "GET /spool/we"),
      ]);
      assertEquals(during.wrong, []);
      assert(during.answered >= 0.99 * during.asked, JSON.stringify(during));
    }
    const after = await askSteadily(daemon.port, 100, 50, checks);
    assertEquals(after, { asked: 100, answered: 100, wrong: [], lost: [] });
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

Deno.test("10,000 connections that say nothing are cut as well, and take no more than 1,024 descriptors for long", async () => {
  await using service = serve();
  await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
  const checks = await honestChecks(daemon, service);
  {
    using hanging = new Hanging();
    const [during] = await Promise.all([
      askSteadily(daemon.port, 500, 50, checks),
      hanging.open(daemon.port, 10_000, 1000, ""),
    ]);
    assertEquals(during.wrong, []);
    assert(during.answered >= 0.99 * during.asked, JSON.stringify(during));
    await until("most are cut", async () => await openBy(daemon) < 1024);
  }
  const after = await askSteadily(daemon.port, 100, 50, checks);
  assertEquals(after, { asked: 100, answered: 100, wrong: [], lost: [] });
});

Deno.test("a daemon whose file descriptors are used up at once is there again as soon as that is over", async () => {
  await using service = serve();
  await using daemon = await Daemon.start({ wrapper: limited(128), config: "cache_time: 0\n" });
  const startedAt = performance.now();
  const checks = await honestChecks(daemon, service);
  {
    using hanging = new Hanging();
    const [during] = await Promise.all([
      askSteadily(daemon.port, 100, 50, checks.filter(({ path }) => path.startsWith("/spool/"))),
      hanging.open(daemon.port, 3000, 3000, "GET /spool/we"),
    ]);
    assertEquals(during.wrong, []);
  }
  await until("it answers", async () => (await daemon.get("/spool/web/0")).status === 200);
  const after = await askSteadily(daemon.port, 100, 50, checks);
  assertEquals(after, { asked: 100, answered: 100, wrong: [], lost: [] });
  const { renewals, falls } = await listenersOf(daemon);
  assert(renewals + falls > 0);
  // Each kind of line is logged once in ten seconds, however long a busy machine takes.
  const periods = Math.ceil((performance.now() - startedAt) / 10_000);
  assert(daemon.log.split("\n").length < 6 + 6 * periods, `it logs too much: ${daemon.log}`);
});
