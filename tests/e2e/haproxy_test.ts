import { Connection } from "../../src/net/connection.ts";
import { exchange } from "../../src/net/http_client.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, hactl } from "../support/programs.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** The site of the web servers, which are unhealthy for any other. */
const SITE = "www.example.org";

/** The ports in a backend. */
interface Ports {
  readonly a: number;
  readonly b: number;
  readonly hacheck: number;
}

/** A way to configure HAProxy's checks by hacheck. */
interface Style {
  /** Its name. */
  readonly name: string;
  /** The sections that check the servers `a` and `b` of the backend `web`. */
  readonly backend: (ports: Ports) => string;
  /** The whole request that HAProxy sends to hacheck. */
  readonly request: (ports: Ports) => RegExp;
  /** Whether the health of the servers depends on the Host header. */
  readonly byHost: boolean;
}

function stateOf({ a, b }: Ports): string {
  return String
    .raw`x-haproxy-server-state: UP[^\r]*; address=127\.0\.0\.1; port=(${a}; name=web/a|${b}; name=web/b);[^\r]*\r\n`;
}

const STYLES: readonly Style[] = [
  {
    name: "option httpchk GET with http-check send-state",
    backend: ({ a, b, hacheck }) => `
backend web
    # Port 0 means none: the header that send-state adds names the server.
    option httpchk GET /http/web/0/health
    http-check send-state
    default-server check port ${hacheck} inter 100ms fall 2 rise 2
    server a 127.0.0.1:${a}
    server b 127.0.0.1:${b}
`,
    request: (ports) =>
      new RegExp(String.raw`^GET /http/web/0/health HTTP/1\.0\r\n${stateOf(ports)}\r\n$`),
    byHost: false,
  },
  {
    name: "bare option httpchk",
    backend: ({ a, b, hacheck }) => `
backend web
    server a 127.0.0.1:${a} track check-a/a
    server b 127.0.0.1:${b} track check-b/b

# A backend has one URL for all its servers. If only the URL names the port, each server is
# checked by its own backend, which serves no traffic.
backend check-a
    option httpchk /http/web/${a}/health
    server a 127.0.0.1:${a} check port ${hacheck} inter 100ms fall 2 rise 2

backend check-b
    option httpchk /http/web/${b}/health
    server b 127.0.0.1:${b} check port ${hacheck} inter 100ms fall 2 rise 2
`,
    request: ({ a, b }) =>
      new RegExp(String.raw`^OPTIONS /http/web/(${a}|${b})/health HTTP/1\.0\r\n\r\n$`),
    byHost: false,
  },
  {
    name: "http-check send with a Host",
    backend: ({ a, b, hacheck }) => `
backend web
    option httpchk
    # hacheck forwards the Host header: the servers get the name of their site.
    http-check send meth GET uri /http/web/0/health ver HTTP/1.1 hdr Host ${SITE}
    http-check send-state
    default-server check port ${hacheck} inter 100ms fall 2 rise 2
    server a 127.0.0.1:${a}
    server b 127.0.0.1:${b}
`,
    request: (ports) =>
      new RegExp(
        String.raw`^GET /http/web/0/health HTTP/1\.1\r\nhost: ${SITE}\r\n${stateOf(ports)}` +
          String.raw`connection: close\r\n\r\n$`,
      ),
    byHost: true,
  },
];

function configuration({ backend }: Style, ports: Ports, port: number): string {
  return `defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    # Longer than hacheck's healthcheck_timeout, so that hacheck times out first.
    timeout check 11s
    # Until a dead server is found down, its requests go to another server at once.
    retry-on conn-failure empty-response
    option redispatch 1

frontend www
    bind 127.0.0.1:${port}
    # Other requests than GET must not be repeated.
    http-request disable-l7-retry unless METH_GET
    default_backend web
${backend(ports)}`;
}

/** A web server that can be killed and restarted. */
class WebServer implements AsyncDisposable {
  readonly #name: string;
  readonly #byHost: boolean;
  #abort = new AbortController();
  #server: Deno.HttpServer<Deno.NetAddr>;

  /** The port, also after a restart. */
  readonly port: number;

  constructor(name: string, byHost: boolean) {
    this.#name = name;
    this.#byHost = byHost;
    this.#server = this.#serve(0);
    this.port = this.#server.addr.port;
  }

  /** Ends the server and its connections at once. */
  async kill(): Promise<void> {
    this.#abort.abort();
    await this.#server.finished;
  }

  /** Starts it again. */
  async restart(): Promise<void> {
    this.#abort = new AbortController();
    await until(`port ${this.port} is free`, () => {
      this.#server = this.#serve(this.port);
      return true;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  #serve(port: number): Deno.HttpServer<Deno.NetAddr> {
    const { signal } = this.#abort;
    return Deno.serve(
      { hostname: "127.0.0.1", port, signal, onListen() {} },
      ({ url, headers }) => {
        if (!url.endsWith("/health")) return new Response(this.#name);
        const isHealthy = !this.#byHost || headers.get("host") === SITE;
        return new Response(isHealthy ? "fine" : "not my site", { status: isHealthy ? 200 : 503 });
      },
    );
  }
}

/** The responses during one part of a test. */
interface Responses {
  /** The server that responded, or the status, or the error. */
  readonly list: string[];
  /** How many requests are in flight. */
  pending: number;
}

/** Clients that send requests again and again, each on its own connection. */
class Traffic implements AsyncDisposable {
  readonly #port: number;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];
  #responses: Responses = { list: [], pending: 0 };

  constructor(port: number) {
    this.#port = port;
    this.#clients = [this.#client(), this.#client(), this.#client()];
  }

  /** Begins another part: later requests have their own list of responses. */
  begin(): Responses {
    return this.#responses = { list: [], pending: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async #client(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const responses = this.#responses;
      responses.pending++;
      responses.list.push(await this.#send());
      responses.pending--;
      // A flood would leave the servers no time for checks.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #send(): Promise<string> {
    try {
      const request = { host: `127.0.0.1:${this.#port}`, path: "/", headers: [] };
      using connection = await Connection.open("127.0.0.1", this.#port, this.#stop.signal);
      const { status, body } = await exchange(connection, request);
      return status === 200 ? body : String(status);
    } catch (error) {
      return String(error);
    }
  }
}

/** What a step works with. */
interface Setup {
  readonly daemon: Daemon;
  readonly a: WebServer;
  readonly b: WebServer;
  /** Runs hactl, which must succeed without output. */
  readonly hactl: (...args: (string | number)[]) => Promise<void>;
}

/** An event, and the states that HAProxy then reports. */
interface Step {
  readonly what: string;
  readonly run: (setup: Setup) => Promise<unknown> | void;
  readonly states: { readonly a: string; readonly b: string };
}

const UP = "UP, check L7OK 200";
const DOWN = "DOWN, check L7STS 503";
const NO_DAEMON = "DOWN, check L4CON";

const STEPS: readonly Step[] = [
  {
    what: "HAProxy starts",
    run: () => {},
    states: { a: UP, b: UP },
  },
  {
    what: "hactl down web -P a's port",
    run: ({ hactl, a }) => hactl("down", "web", "-P", a.port),
    states: { a: DOWN, b: UP },
  },
  {
    what: "hactl up web -P a's port",
    run: ({ hactl, a }) => hactl("up", "web", "-P", a.port),
    states: { a: UP, b: UP },
  },
  {
    what: "b is killed",
    run: ({ b }) => b.kill(),
    states: { a: UP, b: DOWN },
  },
  {
    what: "b is started again",
    run: ({ b }) => b.restart(),
    states: { a: UP, b: UP },
  },
  {
    what: "hactl down all",
    run: ({ hactl }) => hactl("down", "all"),
    states: { a: DOWN, b: DOWN },
  },
  {
    what: "hactl up all",
    run: ({ hactl }) => hactl("up", "all"),
    states: { a: UP, b: UP },
  },
  {
    what: "the daemon is stopped",
    run: async ({ daemon }) => {
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
    },
    states: { a: NO_DAEMON, b: NO_DAEMON },
  },
];

/** HAProxy's states of the two servers, with the results of their last checks. */
async function statesIn(haproxy: HAProxy): Promise<Step["states"]> {
  const rows = await haproxy.stat();
  const stateOf = (name: string) => {
    const servers = rows.filter(({ svname }) => svname === name);
    // `UP 1/2` is still up; a star marks a check in flight.
    const [balanced] = servers.find(({ pxname }) => pxname === "web")!.status!.split(" ");
    const { check_status, check_code } = servers.find(({ check_status }) => check_status !== "")!;
    return `${balanced}, check ${check_status!.replace("* ", "")} ${check_code}`.trim();
  };
  return { a: stateOf("a"), b: stateOf("b") };
}

/** The names of the servers that are up. */
function upIn(states: Step["states"]): string[] {
  return Object.entries(states).filter(([, state]) => state === UP).map(([name]) => name);
}

serverTest("HAProxy reports a server as DOWN if its check names no path", ["haproxy"], async () => {
  await using daemon = await Daemon.start();
  await using haproxy = await HAProxy.start((port) =>
    `defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

listen web
    bind 127.0.0.1:${port}
    option httpchk
    http-check send meth GET ver HTTP/1.1 hdr Host ${SITE}
    server a 127.0.0.1:${daemon.port} check inter 100ms fall 1

listen bare
    option httpchk
    server b 127.0.0.1:${daemon.port} check inter 100ms fall 1
`
  );
  await until("HAProxy has checked them", async () => {
    const servers = (await haproxy.stat()).filter(({ svname }) => /^[ab]$/.test(svname!));
    const seen = servers.map(({ status, check_code }) => `${status} ${check_code}`);
    assertEquals(seen, ["DOWN 404", "DOWN 405"]);
    return true;
  });
});

for (const style of STYLES) {
  serverTest(`HAProxy sends the documented request with ${style.name}`, ["haproxy"], async () => {
    using hacheck = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const ports = { a: 8001, b: 8002, hacheck: (hacheck.addr as Deno.NetAddr).port };
    await using _haproxy = await HAProxy.start((port) => configuration(style, ports, port));
    using connection = await hacheck.accept();
    let request = "";
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
      request += text;
      if (request.includes("\r\n\r\n")) break;
    }
    assertMatch(request, style.request(ports));
  });

  serverTest(
    `HAProxy balances by hacheck's responses with ${style.name}`,
    ["haproxy"],
    async () => {
      await using a = new WebServer("a", style.byHost);
      await using b = new WebServer("b", style.byHost);
      await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
      const ports = { a: a.port, b: b.port, hacheck: daemon.port };
      await using haproxy = await HAProxy.start((port) => configuration(style, ports, port));
      await using traffic = new Traffic(haproxy.port);
      const setup: Setup = {
        daemon,
        a,
        b,
        hactl: async (...args) => {
          const line = [...args.map(String), "-p", String(daemon.port)];
          assertEquals(await hactl(daemon.spool, line), { code: 0, stdout: "", stderr: "" });
        },
      };

      let before: string[] = [];
      for (const { what, run, states } of STEPS) {
        const expected = upIn(states);
        const during = traffic.begin();
        await run(setup);
        await until(`${what}: HAProxy reports it`, async () => {
          assertEquals(await statesIn(haproxy), states);
          return true;
        });

        const after = traffic.begin();
        await until(
          `${what}: the traffic goes on`,
          () => during.pending === 0 && after.list.length >= 30,
        );
        assertEquals(
          [...new Set(after.list)].sort(),
          expected.length > 0 ? expected : ["503"],
          what,
        );
        // While one server stays up, no client notices a change.
        if (before.length > 0 && expected.length > 0) {
          assert(during.list.length > 0, what);
          assertEquals(during.list.filter((body) => !["a", "b"].includes(body)), [], what);
        }
        before = expected;
      }
    },
  );
}
