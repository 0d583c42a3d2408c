import { assertEquals } from "../support/assert.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { FaultyServer, silent } from "../servers/faulty.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Services that accept connections and send nothing. */
class HangingServices implements AsyncDisposable {
  readonly #servers: FaultyServer[] = [];

  static async start(count: number): Promise<HangingServices> {
    const services = new HangingServices();
    for (let i = 0; i < count; i++) services.#servers.push(await FaultyServer.start(silent));
    return services;
  }

  get ports(): number[] {
    return this.#servers.map(({ port }) => port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
  }
}

/** A client with its own source address that requests many checks at once, again and again. */
class Attacker implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #process: Deno.ChildProcess;

  constructor(address: string, urls: readonly string[]) {
    const lines = urls.map((url) => `url = "${url}"\noutput = "/dev/null"\n`);
    const list = this.#folder.write("urls", lines.join(""));
    const curl = `curl --silent --interface ${address} --parallel --parallel-immediate ` +
      `--parallel-max 300 --config ${list}`;
    this.#process = new Deno.Command("timeout", {
      args: ["120", "sh", "-c", `while :; do ${curl}; done`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.status;
    this.#folder[Symbol.dispose]();
  }
}

function serve(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("fine"),
  );
}

/** Checks of services that hang: 300 of 30 services. */
function hangingChecks(daemon: Daemon, services: HangingServices): string[] {
  return services.ports.flatMap((port) =>
    Array.from({ length: 10 }, (_, i) => daemon.url(`/http/hangs/${port}/${i}`))
  );
}

async function inFlight(daemon: Daemon): Promise<number> {
  const { event_loops: [{ checks_under_way }] } = JSON.parse(
    (await daemon.get("/debug/runtime")).body,
  );
  return checks_under_way;
}

Deno.test("100 services that hang do not delay the checks of another service, for the same client", async () => {
  await using hanging = await HangingServices.start(100);
  await using service = serve();
  await using daemon = await Daemon.start({ config: "healthcheck_timeout: 60\n" });
  const responses = hanging.ports.map((port) => daemon.get(`/http/hangs/${port}/`));
  await until("all of them hang", async () => await inFlight(daemon) === 100);
  for (const protocol of ["http", "tcp"]) {
    const path = `/${protocol}/web/${service.addr.port}`;
    assertEquals((await daemon.get(path, { pragma: "no-cache" })).status, 200);
  }
  assertEquals(await inFlight(daemon), 100, "they still hang");
  daemon.kill("SIGKILL");
  await Promise.allSettled(responses);
});

serverTest(
  "300 checks of one client that hang delay no check of another client",
  ["curl", "timeout"],
  async () => {
    await using hanging = await HangingServices.start(30);
    await using service = serve();
    await using daemon = await Daemon.start({ config: "healthcheck_timeout: 60\n" });
    await using _attacker = new Attacker("127.0.0.2", hangingChecks(daemon, hanging));
    await until("half of the slots are taken", async () => await inFlight(daemon) === 128);
    for (let i = 0; i < 50; i++) {
      const path = `/${["http", "tcp"][i % 2]}/web/${service.addr.port}/${i}`;
      assertEquals((await daemon.get(path, { pragma: "no-cache" })).status, 200);
    }
    assertEquals(await inFlight(daemon), 128, "they still hang");
    const queued = JSON.parse((await daemon.get("/status")).body).outbound_request_queue_size;
    assertEquals(queued, 300 - 128);
  },
);

serverTest(
  "a healthy server stays UP while another client requests checks of it and of services that hang",
  ["curl", "timeout", "haproxy"],
  async () => {
    await using hanging = await HangingServices.start(30);
    await using service = serve();
    await using daemon = await Daemon.start({
      config: "healthcheck_timeout: 2\ncache_time: 0\n",
    });
    const { port } = service.addr;
    const urls = hangingChecks(daemon, hanging);
    // The attacker's own checks of the healthy server are queued behind those that hang.
    for (let i = 0; i < urls.length; i += 10) {
      urls.splice(i, 0, daemon.url(`/http/web/${port}/health`));
    }
    await using haproxy = await HAProxy.start((www) =>
      `defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
    timeout check 30s

frontend www
    bind 127.0.0.1:${www}
    default_backend web

backend web
    option httpchk
    http-check send meth GET uri /http/web/0/health ver HTTP/1.1 hdr Host 127.0.0.1:${daemon.port}
    http-check send-state
    server a 127.0.0.1:${port} check port ${daemon.port} inter 100ms fall 2 rise 2
`
    );
    const row = async () => (await haproxy.stat()).find(({ svname }) => svname === "a")!;
    await until("it is up", async () => (await row()).check_status === "L7OK");
    const counts = async () => {
      const { body } = await daemon.get("/status/count");
      return JSON.parse(body).service_access_counts;
    };
    const before = (await counts()).web["127.0.0.1"];
    await using _attacker = new Attacker("127.0.0.2", urls);
    await until("it is under attack", async () => await inFlight(daemon) >= 128);
    await until(
      "HAProxy has requested a hundred checks, and the attacker several times as many",
      async () => {
        const { web, hangs } = await counts();
        return web["127.0.0.1"] - before >= 100 && hangs["127.0.0.2"] >= 900;
      },
    );
    const { status, chkfail, chkdown } = await row();
    assertEquals({ status, chkfail, chkdown }, { status: "UP", chkfail: "0", chkdown: "0" });
  },
);
