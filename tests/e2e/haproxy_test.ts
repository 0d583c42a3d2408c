import { Connection } from "../../src/net/connection.ts";
import { exchange } from "../../src/net/http_client.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, hactl } from "../support/programs.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** The site that the web servers serve; they are not well where they are asked for another. */
const SITE = "www.example.org";

/** The ports that a backend is written with. */
interface Ports {
  readonly a: number;
  readonly b: number;
  readonly hacheck: number;
}

/** A way to have HAProxy ask hacheck. */
interface Style {
  /** How it is written. */
  readonly name: string;
  /** The sections that check the servers `a` and `b` of the backend `web`. */
  readonly backend: (ports: Ports) => string;
  /** What is then sent to hacheck, whole. */
  readonly asks: (ports: Ports) => RegExp;
  /** Whether the servers answer their health by the host they are asked for. */
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
    # Port 0 is none: which server is meant stands in the header that send-state adds.
    option httpchk GET /http/web/0/health
    http-check send-state
    default-server check port ${hacheck} inter 100ms fall 2 rise 2
    server a 127.0.0.1:${a}
    server b 127.0.0.1:${b}
`,
    asks: (ports) =>
      new RegExp(String.raw`^GET /http/web/0/health HTTP/1\.0\r\n${stateOf(ports)}\r\n$`),
    byHost: false,
  },
  {
    name: "bare option httpchk",
    backend: ({ a, b, hacheck }) => `
backend web
    server a 127.0.0.1:${a} track check-a/a
    server b 127.0.0.1:${b} track check-b/b

# A backend has one URL for all of its servers. Where they differ in their ports, and nothing but
# the URL says which one is meant, each is checked by a backend of its own that serves nobody.
backend check-a
    option httpchk /http/web/${a}/health
    server a 127.0.0.1:${a} check port ${hacheck} inter 100ms fall 2 rise 2

backend check-b
    option httpchk /http/web/${b}/health
    server b 127.0.0.1:${b} check port ${hacheck} inter 100ms fall 2 rise 2
`,
    asks: ({ a, b }) =>
      new RegExp(String.raw`^OPTIONS /http/web/(${a}|${b})/health HTTP/1\.0\r\n\r\n$`),
    byHost: false,
  },
  {
    name: "http-check send with a Host",
    backend: ({ a, b, hacheck }) => `
backend web
    option httpchk
    # hacheck passes the Host on: the servers are asked for the site that they serve.
    http-check send meth GET uri /http/web/0/health ver HTTP/1.1 hdr Host ${SITE}
    http-check send-state
    default-server check port ${hacheck} inter 100ms fall 2 rise 2
    server a 127.0.0.1:${a}
    server b 127.0.0.1:${b}
`,
    asks: (ports) =>
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
    # Longer than hacheck's healthcheck_timeout: it is hacheck that gives a service up.
    timeout check 11s
    # Until a server that has just died is found down, its requests go to another one at once.
    retry-on conn-failure empty-response
    option redispatch 1

frontend www
    bind 127.0.0.1:${port}
    # What is not a GET may not be repeated once it was sent.
    http-request disable-l7-retry unless METH_GET
    default_backend web
${backend(ports)}`;
}

/** A web server that can be killed, and started again. */
class WebServer implements AsyncDisposable {
  readonly #name: string;
  readonly #byHost: boolean;
  #abort = new AbortController();
  #server: Deno.HttpServer<Deno.NetAddr>;

  /** The port that it always has. */
  readonly port: number;

  constructor(name: string, byHost: boolean) {
    this.#name = name;
    this.#byHost = byHost;
    this.#server = this.#serve(0);
    this.port = this.#server.addr.port;
  }

  /** Ends it, and the connections it has, at once. */
  async kill(): Promise<void> {
    this.#abort.abort();
    await this.#server.finished;
  }

  /** Starts it again. */
  async restart(): Promise<void> {
    this.#abort = new AbortController();
    await until(`port ${this.port} can be had again`, () => {
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
        const isWell = !this.#byHost || headers.get("host") === SITE;
        return new Response(isWell ? "fine" : "not my site", { status: isWell ? 200 : 503 });
      },
    );
  }
}

/** The answers to what clients asked during one part of a test. */
interface Answers {
  /** The server that answered, or the status, or what went wrong. */
  readonly list: string[];
  /** How many requests are under way. */
  pending: number;
}

/** Clients that ask a port again and again, each request on a connection of its own. */
class Traffic implements AsyncDisposable {
  readonly #port: number;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];
  #answers: Answers = { list: [], pending: 0 };

  constructor(port: number) {
    this.#port = port;
    this.#clients = [this.#client(), this.#client(), this.#client()];
  }

  /** Begins another part: what is asked from now on is answered into a list of its own. */
  begin(): Answers {
    return this.#answers = { list: [], pending: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async #client(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const answers = this.#answers;
      answers.pending++;
      answers.list.push(await this.#ask());
      answers.pending--;
      // A steady stream, not a flood that leaves the servers no time to answer checks.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #ask(): Promise<string> {
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

/** What a step has at hand. */
interface Scene {
  readonly daemon: Daemon;
  readonly a: WebServer;
  readonly b: WebServer;
  /** Runs hactl as an operator does, who sees it succeed without a word. */
  readonly hactl: (...args: (string | number)[]) => Promise<void>;
}

/** Something that happens, and how HAProxy then sees the servers. */
interface Step {
  readonly what: string;
  readonly happens: (scene: Scene) => Promise<unknown> | void;
  readonly seen: { readonly a: string; readonly b: string };
}

const UP = "UP, check L7OK 200";
const DOWN = "DOWN, check L7STS 503";
const NOBODY_ASKED = "DOWN, check L4CON";

const STEPS: readonly Step[] = [
  {
    what: "HAProxy starts",
    happens: () => {},
    seen: { a: UP, b: UP },
  },
  {
    what: "hactl down web -P a's port",
    happens: ({ hactl, a }) => hactl("down", "web", "-P", a.port),
    seen: { a: DOWN, b: UP },
  },
  {
    what: "hactl up web -P a's port",
    happens: ({ hactl, a }) => hactl("up", "web", "-P", a.port),
    seen: { a: UP, b: UP },
  },
  {
    what: "b is killed",
    happens: ({ b }) => b.kill(),
    seen: { a: UP, b: DOWN },
  },
  {
    what: "b is started again",
    happens: ({ b }) => b.restart(),
    seen: { a: UP, b: UP },
  },
  {
    what: "hactl down all",
    happens: ({ hactl }) => hactl("down", "all"),
    seen: { a: DOWN, b: DOWN },
  },
  {
    what: "hactl up all",
    happens: ({ hactl }) => hactl("up", "all"),
    seen: { a: UP, b: UP },
  },
  {
    what: "the daemon is stopped",
    happens: async ({ daemon }) => {
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
    },
    seen: { a: NOBODY_ASKED, b: NOBODY_ASKED },
  },
];

/** How HAProxy sees the two servers: as what it balances them, and what their last check said. */
async function seenBy(haproxy: HAProxy): Promise<Step["seen"]> {
  const rows = await haproxy.stat();
  const seen = (name: string) => {
    const servers = rows.filter(({ svname }) => svname === name);
    // `UP 1/2` is still up; a star marks a check that is under way.
    const [balanced] = servers.find(({ pxname }) => pxname === "web")!.status!.split(" ");
    const { check_status, check_code } = servers.find(({ check_status }) => check_status !== "")!;
    return `${balanced}, check ${check_status!.replace("* ", "")} ${check_code}`.trim();
  };
  return { a: seen("a"), b: seen("b") };
}

/** The names of those that are up. */
function upIn(seen: Step["seen"]): string[] {
  return Object.entries(seen).filter(([, how]) => how === UP).map(([name]) => name);
}

serverTest("HAProxy sees a server as DOWN where its check names no path", ["haproxy"], async () => {
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
  serverTest(`HAProxy asks hacheck by ${style.name}`, ["haproxy"], async () => {
    using hacheck = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const ports = { a: 8001, b: 8002, hacheck: (hacheck.addr as Deno.NetAddr).port };
    await using _haproxy = await HAProxy.start((port) => configuration(style, ports, port));
    using connection = await hacheck.accept();
    let request = "";
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
      request += text;
      if (request.includes("\r\n\r\n")) break;
    }
    assertMatch(request, style.asks(ports));
  });

  serverTest(`HAProxy balances by what hacheck answers to ${style.name}`, ["haproxy"], async () => {
    await using a = new WebServer("a", style.byHost);
    await using b = new WebServer("b", style.byHost);
    await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
    const ports = { a: a.port, b: b.port, hacheck: daemon.port };
    await using haproxy = await HAProxy.start((port) => configuration(style, ports, port));
    await using traffic = new Traffic(haproxy.port);
    const scene: Scene = {
      daemon,
      a,
      b,
      hactl: async (...args) => {
        const line = [...args.map(String), "-p", String(daemon.port)];
        assertEquals(await hactl(daemon.spool, line), { code: 0, stdout: "", stderr: "" });
      },
    };

    let before: string[] = [];
    for (const { what, happens, seen } of STEPS) {
      const expected = upIn(seen);
      const during = traffic.begin();
      await happens(scene);
      await until(`${what}: HAProxy sees it`, async () => {
        assertEquals(await seenBy(haproxy), seen);
        return true;
      });

      const after = traffic.begin();
      await until(
        `${what}: the traffic goes on`,
        () => during.pending === 0 && after.list.length >= 30,
      );
      assertEquals([...new Set(after.list)].sort(), expected.length > 0 ? expected : ["503"], what);
      // Where one is up all the while, no client notices anything.
      if (before.length > 0 && expected.length > 0) {
        assert(during.list.length > 0, what);
        assertEquals(during.list.filter((answer) => !["a", "b"].includes(answer)), [], what);
      }
      before = expected;
    }
  });
}
