import { askAgent } from "../support/agent.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, type DaemonOptions, hactl } from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** A web server whose downloads begin at once, and end when the test finishes them. */
class WebServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #finish = Promise.withResolvers<void>();

  constructor(name: string) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
      if (url.endsWith("/health")) return new Response("fine");
      if (!url.endsWith("/download")) return new Response(name);
      const chunks = this.#chunks(name);
      return new Response(ReadableStream.from(chunks).pipeThrough(new TextEncoderStream()));
    });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  /** Ends all downloads. */
  finish(): void {
    this.#finish.resolve();
  }

  async *#chunks(name: string): AsyncGenerator<string> {
    yield `${name} begins,`;
    await this.#finish.promise;
    yield ` ${name} ends`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.finish();
    await this.#server.shutdown();
  }
}

/** A proxy for agent checks that forwards a limited number of each line. */
class AgentGate implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #left = new Map<string, number>();
  readonly #accepting: Promise<void>;
  readonly #agents: number;

  /** @param agents The daemon's port. */
  constructor(agents: number) {
    this.#agents = agents;
    this.#accepting = this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  /** Forwards so many of each line from now on. Others are closed, which changes no state in HAProxy. */
  allow(count: number, lines: readonly string[]): void {
    for (const line of lines) this.#left.set(line, count);
  }

  async #accept(): Promise<void> {
    const forwarding = new Set<Promise<void>>();
    for await (const connection of this.#listener) {
      const forward = this.#forward(connection).finally(() => forwarding.delete(forward));
      forwarding.add(forward);
    }
    await Promise.all(forwarding);
  }

  async #forward(connection: Deno.Conn): Promise<void> {
    using _ = connection;
    try {
      const buffer = new Uint8Array(100);
      const line = new TextDecoder().decode(
        buffer.subarray(0, await connection.read(buffer) ?? 0),
      );
      const left = this.#left.get(line) ?? 0;
      if (left === 0) return;
      this.#left.set(line, left - 1);
      await connection.write(new TextEncoder().encode(await askAgent(this.#agents, line)));
    } catch {
      // HAProxy has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
  }
}

/** HAProxy, hacheck and two servers. */
interface Setup {
  readonly daemon: Daemon;
  readonly agents: number;
  readonly haproxy: HAProxy;
  readonly a: WebServer;
  readonly b: WebServer;
  /** Runs hactl, which must succeed without output. */
  readonly hactl: (...args: (string | number)[]) => Promise<void>;
  /** HAProxy's state and weight of a server. */
  readonly stateOf: (name: "a" | "b") => Promise<string>;
  /** Waits until HAProxy reports these states. */
  readonly waitFor: (what: string, a: string, b: string) => Promise<void>;
  /** The servers that respond to several requests, each on its own connection. */
  readonly responding: () => Promise<string>;
}

/** Makes the lines of a backend with these ports. */
type Backend = (ports: { a: number; b: number; hacheck: number; agents: number }) => string;

/** Starts all parts, and runs a test with them. */
async function withHaproxy(
  backend: Backend,
  test: (setup: Setup) => Promise<void>,
  options: DaemonOptions = {},
  between?: (agents: number) => AgentGate,
): Promise<void> {
  await using a = new WebServer("a");
  await using b = new WebServer("b");
  await using daemon = await Daemon.start({
    ...options,
    args: ["-A", "0", ...options.args ?? []],
    config: `cache_time: 0\n${options.config ?? ""}`,
  });
  const [, port] = await daemon.logged(/agent checks are answered on \S+ port (\d+)\n/);
  const agents = Number(port);
  await using gate = between?.(agents);
  const ports = {
    ...{ a: a.port, b: b.port },
    ...{ hacheck: daemon.port, agents: gate?.port ?? agents },
  };
  await using haproxy = await HAProxy.start((port) =>
    `defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 11s

frontend www
    bind 127.0.0.1:${port}
    default_backend web

backend web
${backend(ports)}`
  );
  const stateOf = async (name: string) => {
    const { status, weight } = (await haproxy.stat()).find(({ svname }) => svname === name)!;
    return `${status!.replace(/ \d+\/\d+$/, "")} ${weight}`;
  };
  await test({
    ...{ daemon, agents, haproxy, a, b, stateOf },
    hactl: async (...args) => {
      const line = [...args.map(String), "-p", String(daemon.port)];
      assertEquals(await hactl(daemon.spool, line), { code: 0, stdout: "", stderr: "" });
    },
    waitFor: async (what, a, b) => {
      await until(`${what}: HAProxy reports it`, async () => {
        assertEquals([await stateOf("a"), await stateOf("b")], [a, b]);
        return true;
      });
    },
    responding: async () => {
      const names = new Set<string>();
      for (let i = 0; i < 10; i++) {
        const headers = { connection: "close" };
        const response = await fetch(`http://127.0.0.1:${haproxy.port}/`, { headers });
        const body = await response.text();
        names.add(response.ok ? body : String(response.status));
      }
      return [...names].sort().join();
    },
  });
}

/** Servers with agent checks only. */
const BY_AGENT: Backend = ({ a, b, agents }) => `
    default-server weight 100 agent-check agent-port ${agents} agent-inter 100ms
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`;

/** A server with agent checks only is up until a response changes that. */
const UP = "no check 100";

for (const how of ["maint", "down"] as const) {
  serverTest(`HAProxy reports a change by hactl within two agent checks, with agent_down: ${how}`, [
    "haproxy",
  ], async () => {
    let gate: AgentGate | undefined;
    const down = how === "maint" ? "MAINT" : "DOWN (agent)";
    await withHaproxy(
      BY_AGENT,
      async ({ hactl, a, b, waitFor, responding }) => {
        const part = ["-P", a.port];
        const steps: readonly [command: (string | number)[], a: string, servers: string][] = [
          [["weight", "web", 100], UP, "a,b"],
          [["down", "web", ...part], `${down} 100`, "b"],
          [["up", "web", ...part], UP, "a,b"],
          [["drain", "web", ...part], "DRAIN (agent) 100", "b"],
          [["down", "web", ...part], `${down} 100`, "b"],
          [["up", "web", ...part], UP, "a,b"],
          [["weight", "web", 50, ...part], "no check 50", "a,b"],
          [["down", "web", ...part], `${down} 50`, "b"],
          [["up", "web", ...part], "no check 50", "a,b"],
          [["weight", "web", 0, ...part], "no check 0", "b"],
          [["drain", "web", ...part], "DRAIN (agent) 0", "b"],
          [["weight", "web", 100, ...part], "DRAIN (agent) 0", "b"],
          [["up", "web", ...part], UP, "a,b"],
        ];
        for (const [command, stateOfA, servers] of steps) {
          const what = command.join(" ");
          await hactl(...command);
          gate!.allow(2, [a, b].map(({ port }) => `web/${port}\n`));
          await waitFor(what, stateOfA, UP);
          assertEquals(await responding(), servers, what);
        }
        await hactl("down", "all");
        gate!.allow(2, [a, b].map(({ port }) => `web/${port}\n`));
        await waitFor("down all", `${down} 100`, `${down} 100`);
        assertEquals(await responding(), "503");
      },
      { config: `agent_down: ${how}\n` },
      (agents) => gate = new AgentGate(agents),
    );
  });
}

serverTest(
  "HAProxy keeps the states of agent checks when the daemon stops",
  [
    "haproxy",
  ],
  async () => {
    await withHaproxy(BY_AGENT, async ({ daemon, haproxy, hactl, a, waitFor, responding }) => {
      await hactl("down", "web", "-P", a.port);
      await hactl("weight", "all", 50);
      await waitFor("a is down", "MAINT 100", "no check 50");
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
      await until("HAProxy finds no agent", async () => {
        const servers = (await haproxy.stat()).filter(({ svname }) => /^[ab]$/.test(svname!));
        return servers.every(({ agent_status }) => agent_status!.replace("* ", "") === "L4CON");
      });
      await waitFor("the daemon is gone", "MAINT 100", "no check 50");
      assertEquals(await responding(), "b");
    });
  },
);

serverTest("HAProxy keeps its states if allowed_clients does not list it", [
  "haproxy",
], async () => {
  await withHaproxy(BY_AGENT, async ({ haproxy, waitFor, responding, daemon }) => {
    await until("HAProxy gets no response", async () => {
      const servers = (await haproxy.stat()).filter(({ svname }) => /^[ab]$/.test(svname!));
      return servers.every(({ agent_status }) => agent_status!.replace("* ", "") === "L7RSP");
    });
    daemon.writeRecord("all", "maint");
    await daemon.logged(/refused 127\.0\.0\.1: allowed_clients does not list it/);
    await waitFor("no state has changed", UP, UP);
    assertEquals(await responding(), "a,b");
  }, { config: "allowed_clients: [192.0.2.1]\n" });
});

serverTest(
  "with -S a downtime is MAINT in HAProxy, and never an outage",
  ["haproxy"],
  async () => {
    await withHaproxy(({ a, b, hacheck, agents }) => `
    option httpchk GET /http/web/0/health
    http-check send-state
    # Checks come more often than agent checks: a downtime that failed them would be an outage.
    default-server check port ${hacheck} inter 20ms fall 1 rise 1 weight 100 agent-check agent-port ${agents} agent-inter 1s
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`, async ({ daemon, haproxy, hactl, a, waitFor, responding }) => {
      await waitFor("at first", "UP 100", "UP 100");
      await hactl("down", "web", "-P", a.port, "-r", "kernel update");
      await waitFor("a is down", "MAINT 100", "UP 100");
      assertEquals((await daemon.get(`/spool/web/${a.port}`)).status, 503);
      await hactl("up", "web", "-P", a.port);
      await waitFor("a is up", "UP 100", "UP 100");
      assertEquals(await responding(), "a,b");
      await hactl("down", "web", "-P", a.port);
      await waitFor("a is down", "MAINT 100", "UP 100");
      assert(!/is DOWN, reason/.test(haproxy.log), haproxy.log);
      // The state of the agent check stays, but checks fail now.
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
      await waitFor("the daemon is gone", "MAINT 100", "DOWN 100");
    }, { args: ["-S"] });
  },
);

serverTest(
  "HAProxy sends no request to a server in downtime while the daemon stalls again and again",
  ["haproxy"],
  async () => {
    await withHaproxy(({ a, b, hacheck, agents }) => `
    option httpchk GET /http/web/0/health
    http-check send-state
    default-server check port ${hacheck} inter 200ms fall 100 rise 1 weight 100 agent-check agent-port ${agents} agent-inter 100ms
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`, async ({ daemon, haproxy, hactl, a, waitFor, responding }) => {
      await waitFor("at first", "UP 100", "UP 100");
      await hactl("down", "web", "-P", a.port, "-r", "kernel update");
      await waitFor("a is down", "MAINT 100", "UP 100");
      // The daemon runs for a few milliseconds at a time, so that it stalls at any point of an agent check.
      let isOver = false;
      const stalling = (async () => {
        for (let round = 0; !isOver; round++) {
          daemon.kill("SIGSTOP");
          await new Promise((resolve) => setTimeout(resolve, 150));
          daemon.kill("SIGCONT");
          await new Promise((resolve) => setTimeout(resolve, round % 8));
        }
      })();
      const responded = new Set<string>();
      try {
        for (let sample = 0; sample < 60; sample++) {
          responded.add(await responding());
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      } finally {
        isOver = true;
        await stalling;
      }
      assertEquals([...responded], ["b"]);
      assert(!/Server web\/a is (?:UP|DOWN)/.test(haproxy.log), haproxy.log);
    }, { config: "spool_in_checks: false\n" });
  },
);

/** Ways to drain a server in HAProxy, and the states that it then reports. */
const WAYS: readonly [way: string, backend: Backend, up: string, draining: string][] = [
  ["its agent checks", BY_AGENT, UP, "DRAIN (agent) 100"],
  [
    "http-check disable-on-404",
    ({ a, b, hacheck }) => `
    option httpchk GET /http/web/0/health
    http-check send-state
    http-check disable-on-404
    default-server check port ${hacheck} inter 100ms fall 2 rise 2 weight 100
    server a 127.0.0.1:${a}
    server b 127.0.0.1:${b}
`,
    "UP 100",
    "NOLB 100",
  ],
];

for (const [way, backend, up, draining] of WAYS) {
  serverTest(
    `a download ends while its server drains by ${way}, and the next goes to another server`,
    [
      "haproxy",
    ],
    async () => {
      await withHaproxy(backend, async ({ haproxy, hactl, a, b, waitFor, responding }) => {
        await waitFor("at first", up, up);
        // HAProxy sends them to the two servers in turn.
        using first = await download(haproxy);
        using second = await download(haproxy);
        const begun = [await begins(first), await begins(second)];
        assertEquals([...begun].sort(), ["a begins", "b begins"]);
        const [byA, byB] = begun[0] === "a begins" ? [first, second] : [second, first];

        await hactl("drain", "web", "-P", a.port, "-r", "deploy");
        await waitFor("a drains", draining, up);
        assertEquals(await responding(), "b");
        a.finish();
        assertMatch(await byA.readAll(), / a ends/);

        await hactl("up", "web", "-P", a.port);
        await waitFor("a is up", up, up);
        assertEquals(await responding(), "a,b");
        b.finish();
        assertMatch(await byB.readAll(), / b ends/);
        assert(!haproxy.log.includes("is DOWN, reason"), haproxy.log);
      });
    },
  );
}

/** Starts a download through HAProxy. */
async function download({ port }: HAProxy): Promise<RawConnection> {
  const connection = await RawConnection.open(port);
  await connection.send("GET /download HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return connection;
}

/** Reads the beginning of a download. */
async function begins(connection: RawConnection): Promise<string> {
  let text = "";
  while (!text.includes(" begins,")) {
    const some = await connection.readSome();
    if (some === "") throw new Error(`the download ended: ${text}`);
    text += some;
  }
  return /\w begins/.exec(text)![0];
}
