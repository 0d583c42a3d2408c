import { newCounters } from "../../../src/metrics/counters.ts";
import {
  ConnectionReaper,
  REAPER_TIMES,
  type ReaperTimes,
} from "../../../src/server/connection_reaper.ts";
import { Listener, SERVERS_PER_PORT } from "../../../src/server/listener.ts";
import type { Router } from "../../../src/server/router.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { RawConnection, sendRaw } from "../../support/raw_http.ts";
import { until } from "../../servers/mod.ts";
import { closeSync, openSync } from "node:fs";

const REQUEST = "GET /x HTTP/1.0\r\n\r\n";

/** Longer than any test, in milliseconds. */
const NEVER = 1e9;

/** How many requests are in flight. */
const MANY = 4 * SERVERS_PER_PORT;

/** How many connections hang: enough that each server gets one, which the kernel decides at random. */
const HANGING = 12 * SERVERS_PER_PORT;

/** Returns how many descriptors this process uses: the system assigns the lowest free one. */
function inUse(): number {
  const lowest = openSync("/", "r");
  closeSync(lowest);
  return lowest;
}

/** A listener with a reaper, and its clients. */
class ReapedListener implements AsyncDisposable {
  readonly #responses: ((response: Response) => void)[] = [];
  readonly #hanging: RawConnection[] = [];
  readonly #listener: Listener;
  readonly #reaper: ConnectionReaper;
  readonly recorded = new RecordedLog();
  readonly counters = newCounters().listeners;

  /**
   * @param times When the reaper acts.
   * @param count How many descriptors there are.
   * @param isAll Whether the process cannot get more.
   * @param path The path of the probe.
   * @param inUse Returns how many descriptors are in use, by the requests in flight; the real number by default.
   */
  constructor(
    times: Partial<ReaperTimes>,
    count = NEVER,
    isAll = true,
    path = "/",
    inUse?: (inFlight: number) => number,
  ) {
    const { log } = this.recorded;
    const router: Router = ({ url }) =>
      url.endsWith("/slow")
        ? new Promise((resolve) => this.#responses.push(resolve))
        : new Response("fine");
    const { counters } = this;
    const { errors } = newCounters();
    const place = { hostname: "127.0.0.1", port: 0, shared: false };
    this.#listener = new Listener({ ...place, identity: null, router, counters, errors, log });
    this.#reaper = new ConnectionReaper({
      listeners: [this.#listener],
      descriptors: { supply: () => ({ count, isAll }) },
      path,
      ...inUse === undefined
        ? {}
        : { probe: () => Promise.resolve(() => inUse(this.#listener.inFlight)) },
      log,
      times: { ...REAPER_TIMES, interval: 5, minAge: 0, maxAge: NEVER, ...times },
    });
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Opens connections that hang at half a request line, and counts those that have ended. */
  async hang(): Promise<{ ended: number }> {
    const state = { ended: 0 };
    for (let i = 0; i < HANGING; i++) {
      try {
        const connection = await RawConnection.open(this.port);
        this.#hanging.push(connection);
        await connection.send("GET /x");
        // Those that the test itself closes count, too.
        connection.readAll().then(() => state.ended++, () => state.ended++);
      } catch {
        // Its server has just been terminated.
        state.ended++;
      }
    }
    return state;
  }

  /**
   * Sends slow requests, one after another, until enough are in flight. A request that was lost with its server
   * is sent again.
   */
  async request(): Promise<Promise<string>[]> {
    const bodies: Promise<string>[] = [];
    while (bodies.length < MANY) {
      const before = this.#responses.length;
      let isLost = false;
      const answer = sendRaw(this.port, "GET /slow HTTP/1.0\r\n\r\n");
      const end = answer.then(({ body }) => body, () => {
        isLost = true;
        return "cut";
      });
      await until("it is in flight", () => isLost || this.#responses.length > before);
      if (this.#responses.length > before) bodies.push(end);
    }
    return bodies;
  }

  /** Responds to the slow requests. */
  respond(): void {
    for (const respond of this.#responses.splice(0)) respond(new Response("slow"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reaper[Symbol.dispose]();
    this.respond();
    for (const connection of this.#hanging) connection[Symbol.dispose]();
    await this.#listener.stop(20_000);
  }
}

Deno.test("ConnectionReaper closes hanging connections of a server above maxAge", async () => {
  await using reaped = new ReapedListener({ maxAge: 300 });
  const hanging = await reaped.hang();
  await until("they are closed", () => hanging.ended === HANGING);
  assert(reaped.counters.renewals >= SERVERS_PER_PORT);
  await until("it is answered", async () => (await sendRaw(reaped.port, REQUEST)).body === "fine");
  assertEquals([reaped.counters.falls, reaped.counters.cut_requests], [0, 0]);
  assertEquals(reaped.recorded.lines, []);
});

Deno.test("ConnectionReaper closes hanging connections if descriptors cannot be counted", async () => {
  await using reaped = new ReapedListener({ maxAge: 300 }, 1, true, "/nowhere");
  const hanging = await reaped.hang();
  await until("they are closed", () => hanging.ended === HANGING);
});

Deno.test("ConnectionReaper closes nothing below maxAge", async () => {
  await using reaped = new ReapedListener({ maxAge: NEVER });
  const hanging = await reaped.hang();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assertEquals([reaped.counters.renewals, hanging.ended], [0, 0]);
});

Deno.test("ConnectionReaper waits for requests in flight before it terminates a server", async () => {
  await using reaped = new ReapedListener({ maxAge: 2000, retireTimeout: NEVER });
  const bodies = await reaped.request();
  await until("a server retires", () => reaped.counters.renewals > 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  reaped.respond();
  assertEquals(new Set(await Promise.all(bodies)), new Set(["slow"]));
  assertEquals(reaped.counters.cut_requests, 0);
  const { renewals } = reaped.counters;
  await until("the others follow", () => reaped.counters.renewals > renewals + SERVERS_PER_PORT);
});

Deno.test("ConnectionReaper terminates a server after retireTimeout", async () => {
  await using reaped = new ReapedListener({ maxAge: 2000, retireTimeout: 100 });
  const bodies = await reaped.request();
  await until("they are closed", () => reaped.counters.cut_requests === MANY);
  reaped.respond();
  assertEquals(new Set(await Promise.all(bodies)), new Set(["cut"]));
});

Deno.test("ConnectionReaper closes hanging connections when descriptors are scarce, and logs it once", async () => {
  await using reaped = new ReapedListener({}, Math.ceil(inUse() * 1.25));
  const hanging = await reaped.hang();
  await until("they are closed", () => hanging.ended === HANGING);
  assert(reaped.counters.renewals >= SERVERS_PER_PORT);
  assertEquals(reaped.recorded.lines.length, 1);
  assertMatch(
    reaped.recorded.lines[0]!,
    /^WARNING \d+ file descriptors are in use: closing hanging connections to port \d+$/,
  );
});

Deno.test("ConnectionReaper does not rotate a server below minAge", async () => {
  await using reaped = new ReapedListener({ minAge: NEVER }, 1);
  const hanging = await reaped.hang();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assertEquals([reaped.counters.renewals, hanging.ended], [0, 0]);
});

/** A worker that sends many requests at once, each on a connection of its own, while this thread stalls. */
const CLIENT = `
  self.onmessage = async ({ data: { port, count } }) => {
    self.postMessage("ready");
    const ask = async () => {
      try {
        using connection = await Deno.connect({ hostname: "127.0.0.1", port });
        await connection.write(new TextEncoder().encode("GET /x HTTP/1.0\\r\\n\\r\\n"));
        return (await connection.read(new Uint8Array(1024)) ?? 0) > 0;
      } catch {
        return false;
      }
    };
    await new Promise((resolve) => setTimeout(resolve, 50));
    const answered = await Promise.all(Array.from({ length: count }, ask));
    self.postMessage(answered.filter((isAnswered) => !isAnswered).length);
  };
`;

Deno.test("ConnectionReaper terminates no server right after a stall", async () => {
  // Descriptors are always scarce, and their number changes.
  const scarce = () => 76 + inUse() % 8;
  await using reaped = new ReapedListener({ retireTimeout: NEVER }, 100, true, "/", scarce);
  const url = URL.createObjectURL(new Blob([CLIENT], { type: "text/javascript" }));
  let lost = 0;
  for (let stall = 0; stall < 10; stall++) {
    const { renewals } = reaped.counters;
    await until("a server retires", () => reaped.counters.renewals > renewals);
    const client = new Worker(url, { type: "module" });
    const message = () => new Promise((resolve) => client.onmessage = ({ data }) => resolve(data));
    let next = message();
    client.postMessage({ port: reaped.port, count: MANY });
    await next;
    next = message();
    const end = performance.now() + 300;
    while (performance.now() < end);
    lost += Number(await next);
    client.terminate();
  }
  URL.revokeObjectURL(url);
  // Without the rule about one in ten is lost. A busy machine adds stalls of its own.
  assert(lost <= 10 * MANY / 20, `${lost} of ${10 * MANY} requests were lost`);
});

Deno.test("ConnectionReaper cuts requests in flight only when descriptors are critical", async () => {
  {
    await using scarce = new ReapedListener({ retireTimeout: NEVER }, 100, true, "/", () => 80);
    const bodies = await scarce.request();
    await new Promise((resolve) => setTimeout(resolve, 300));
    scarce.respond();
    assertEquals(new Set(await Promise.all(bodies)), new Set(["slow"]));
    assertEquals(scarce.counters.cut_requests, 0);
  }
  await using critical = new ReapedListener({ retireTimeout: NEVER }, 100, true, "/", () => 90);
  const bodies = await critical.request();
  await until("some are cut", () => critical.counters.cut_requests > 0);
  critical.respond();
  assert((await Promise.all(bodies)).includes("cut"));
});

Deno.test("ConnectionReaper counts the descriptors of requests only if there are no more", async () => {
  for (const isAll of [false, true]) {
    const explained = (inFlight: number) => 20 + 2 * inFlight;
    await using reaped = new ReapedListener({ retireTimeout: NEVER }, 100, isAll, "/", explained);
    await reaped.request();
    if (isAll) {
      await until("servers are rotated", () => reaped.counters.renewals > 0);
    } else {
      await new Promise((resolve) => setTimeout(resolve, 300));
      assertEquals(reaped.counters.renewals, 0);
    }
  }
});

/** A reaped listener in a process with at most 100 file descriptors, which a request for /fill uses up. */
const WITHOUT_DESCRIPTORS = `
  import { newCounters } from "${new URL("../../../src/metrics/counters.ts", import.meta.url)}";
  import { ConnectionReaper } from "${new URL(
  "../../../src/server/connection_reaper.ts",
  import.meta.url,
)}";
  import { DescriptorCounter } from "${new URL(
  "../../../src/server/descriptors.ts",
  import.meta.url,
)}";
  import { Listener } from "${new URL("../../../src/server/listener.ts", import.meta.url)}";
  // Deno panics if it handles its first signal without a descriptor.
  Deno.addSignalListener("SIGUSR2", () => {});
  const log = { error() {}, warning() {} };
  const files = [];
  const fill = () => {
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      return new Response("full");
    }
  };
  const router = ({ url }) => url.endsWith("/fill") ? fill() : new Response("fine");
  const { listeners: counters } = newCounters();
  const listener = new Listener({
    ...{ hostname: "127.0.0.1", port: 0, shared: false, identity: null, router, counters, log },
  });
  const descriptors = new DescriptorCounter(1024, "/dev/null");
  new ConnectionReaper({ listeners: [listener], descriptors, path: "/dev/null", log });
  console.log(listener.addr.port);
`;

Deno.test("ConnectionReaper closes hanging connections where no descriptor is left for a new server", async () => {
  await using process = new Deno.Command("sh", {
    args: [
      ...["-c", 'ulimit -n 100 && exec "$@"', "sh"],
      ...[Deno.execPath(), "eval", "--unstable-net", WITHOUT_DESCRIPTORS],
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  const hanging: RawConnection[] = [];
  for (let i = 0; i < 20; i++) {
    const connection = await RawConnection.open(port);
    hanging.push(connection);
    await connection.send("GET /spool/we");
  }
  using client = await RawConnection.open(port);
  await client.send("GET /fill HTTP/1.1\r\nHost: x\r\n\r\n");
  // No new connection makes a server crash, which would close others too.
  await Promise.race(hanging.map((connection) => connection.readAll().catch(() => "reset")));
  for (const connection of hanging) connection[Symbol.dispose]();
  process.kill("SIGKILL");
  await reader.cancel();
});
