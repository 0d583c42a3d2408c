import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { HAProxy, type StatRow } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** A web service that fails a given number of times. */
class FailingService implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  /** How many of the next requests get 500. */
  failures = 0;
  /** How many requests it got. */
  requests = 0;
  /** How many requests in a row got 200. */
  successes = 0;

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      this.requests++;
      if (this.failures === 0) {
        this.successes++;
        return new Response("fine");
      }
      this.failures--;
      this.successes = 0;
      return new Response("a hiccup", { status: 500 });
    });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

/** The rest of a configuration with one backend, `web`. */
function backend(port: number, servers: string): string {
  return `defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
    timeout check 30s

frontend www
    bind 127.0.0.1:${port}
    default_backend web

backend web
    option httpchk GET /http/web/0/health
    http-check send-state
${servers}
`;
}

async function serversOf(haproxy: HAProxy): Promise<StatRow[]> {
  const rows = await haproxy.stat();
  return rows.filter(({ pxname, svname }) => pxname === "web" && svname !== "BACKEND");
}

for (const interval of ["inter 200ms", "inter 500ms fastinter 100ms downinter 200ms"]) {
  serverTest(
    `HAProxy with "${interval} fall 2" does not count one failure of a service twice`,
    ["haproxy"],
    async () => {
      await using service = new FailingService();
      await using daemon = await Daemon.start({ config: "cache_time: 2\n" });
      await using haproxy = await HAProxy.start((port) =>
        backend(
          port,
          `    server a 127.0.0.1:${service.port} check port ${daemon.port} ${interval} fall 2 rise 2`,
        )
      );
      const stateOf = async () => {
        const [{ status, check_status, chkfail, chkdown }] = await serversOf(haproxy) as [StatRow];
        return { status, check: check_status!.replace("* ", ""), chkfail, chkdown };
      };
      const waitFor = (what: string, state: Awaited<ReturnType<typeof stateOf>>) =>
        until(what, async () => {
          assertEquals(await stateOf(), state);
          return true;
        });
      await waitFor("up", { status: "UP", check: "L7OK", chkfail: "0", chkdown: "0" });

      // The service gets the next request when the good result has expired.
      service.failures = 1;
      await until(
        "the service has failed and recovered",
        () => service.failures === 0 && service.successes > 0,
      );
      await waitFor("up again", { status: "UP", check: "L7OK", chkfail: "1", chkdown: "0" });

      service.failures = 2;
      await until("two failures take it out", async () => (await stateOf()).chkdown === "1");
      await waitFor("up once more", { status: "UP", check: "L7OK", chkfail: "3", chkdown: "1" });
    },
  );
}

serverTest(
  "with cache_failures: always, HAProxy counts one failure of a service twice",
  ["haproxy"],
  async () => {
    await using service = new FailingService();
    service.failures = 1;
    await using daemon = await Daemon.start({ config: "cache_failures: always\n" });
    await using haproxy = await HAProxy.start((port) =>
      backend(
        port,
        `    server a 127.0.0.1:${service.port} check port ${daemon.port} inter 200ms fall 2`,
      )
    );
    await until("it is down", async () => (await serversOf(haproxy))[0]!.status === "DOWN");
    assertEquals(service.requests, 1);
  },
);

/** How many servers HAProxy checks, each from a source address of its own. */
const BALANCERS = 100;

serverTest(
  "100 balancers send a failing service no more requests than one of them would",
  ["haproxy"],
  async () => {
    await using service = new FailingService();
    service.failures = Infinity;
    await using daemon = await Daemon.start();
    const servers = Array.from(
      { length: BALANCERS },
      (_, i) => `    server s${i} 127.0.0.1:${service.port} source 127.1.0.${i + 1}`,
    );
    await using _haproxy = await HAProxy.start((port) =>
      backend(
        port,
        `    default-server check port ${daemon.port} inter 1s fall 2 rise 2\n${
          servers.join("\n")
        }`,
      )
    );
    let counts: number[] = [];
    await until("each has requested some checks", async () => {
      const { service_access_counts } = JSON.parse((await daemon.get("/status/count")).body);
      counts = Object.values(service_access_counts.web ?? {});
      return counts.length === BALANCERS && counts.every((count) => count >= 8);
    });
    // Together they have requested some 800 checks.
    const most = Math.max(...counts);
    const { requests } = service;
    const message = `the service got ${requests} requests, one balancer sent ${most}`;
    assert(requests >= most / 2 && requests <= 2 * most, message);
  },
);
