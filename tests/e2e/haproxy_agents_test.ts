import { askAgent } from "../support/agent.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, type DaemonOptions, hactl } from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

/** A web server whose downloads begin at once, and end when the test says so. */
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

  /** Lets all downloads come to their end. */
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

/** Stands between HAProxy and the daemon's agent port, and passes on as many checks of each kind as it may. */
class Gate implements AsyncDisposable {
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

  /** From now on, as many of each question are passed on. The others are closed: to HAProxy that is no change. */
  allow(count: number, questions: readonly string[]): void {
    for (const question of questions) this.#left.set(question, count);
  }

  async #accept(): Promise<void> {
    const passing = new Set<Promise<void>>();
    for await (const connection of this.#listener) {
      const pass = this.#pass(connection).finally(() => passing.delete(pass));
      passing.add(pass);
    }
    await Promise.all(passing);
  }

  async #pass(connection: Deno.Conn): Promise<void> {
    using _ = connection;
    try {
      const buffer = new Uint8Array(100);
      const question = new TextDecoder().decode(
        buffer.subarray(0, await connection.read(buffer) ?? 0),
      );
      const left = this.#left.get(question) ?? 0;
      if (left === 0) return;
      this.#left.set(question, left - 1);
      await connection.write(new TextEncoder().encode(await askAgent(this.#agents, question)));
    } catch {
      // HAProxy has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
  }
}

/** All that stands between a client and two servers. */
interface Scene {
  readonly daemon: Daemon;
  readonly agents: number;
  readonly haproxy: HAProxy;
  readonly a: WebServer;
  readonly b: WebServer;
  /** Runs hactl as an operator does, who sees it succeed without a word. */
  readonly hactl: (...args: (string | number)[]) => Promise<void>;
  /** How HAProxy sees a server: its state, and its weight. */
  readonly seen: (name: "a" | "b") => Promise<string>;
  /** Waits until HAProxy sees both servers so. */
  readonly sees: (what: string, a: string, b: string) => Promise<void>;
  /** Who answers several requests, each on a connection of its own. */
  readonly answering: () => Promise<string>;
}

/** The lines of a backend, by its servers' ports, the daemon's and that of agent checks. */
type Backend = (ports: { a: number; b: number; hacheck: number; agents: number }) => string;

/** Plays a scene from its beginning to its end. */
async function play(
  backend: Backend,
  plot: (scene: Scene) => Promise<void>,
  options: DaemonOptions = {},
  between?: (agents: number) => Gate,
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
  const seen = async (name: string) => {
    const { status, weight } = (await haproxy.stat()).find(({ svname }) => svname === name)!;
    return `${status!.replace(/ \d+\/\d+$/, "")} ${weight}`;
  };
  await plot({
    ...{ daemon, agents, haproxy, a, b, seen },
    hactl: async (...args) => {
      const line = [...args.map(String), "-p", String(daemon.port)];
      assertEquals(await hactl(daemon.spool, line), { code: 0, stdout: "", stderr: "" });
    },
    sees: async (what, a, b) => {
      await until(`${what}: HAProxy sees it`, async () => {
        assertEquals([await seen("a"), await seen("b")], [a, b]);
        return true;
      });
    },
    answering: async () => {
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

/** Servers whose state the agent tells alone. */
const BY_AGENT: Backend = ({ a, b, agents }) => `
    default-server weight 100 agent-check agent-port ${agents} agent-inter 100ms
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`;

/** Who is checked by nobody but an agent is up as long as that says nothing else. */
const UP = "no check 100";

for (const how of ["maint", "down"] as const) {
  serverTest(`HAProxy sees what hactl says within two agent checks, where agent_down is ${how}`, [
    "haproxy",
  ], async () => {
    let gate: Gate | undefined;
    const down = how === "maint" ? "MAINT" : "DOWN (agent)";
    await play(
      BY_AGENT,
      async ({ hactl, a, b, sees, answering }) => {
        const part = ["-P", a.port];
        const steps: readonly [command: (string | number)[], a: string, who: string][] = [
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
        for (const [command, seenA, who] of steps) {
          const what = command.join(" ");
          await hactl(...command);
          gate!.allow(2, [a, b].map(({ port }) => `web/${port}\n`));
          await sees(what, seenA, UP);
          assertEquals(await answering(), who, what);
        }
        await hactl("down", "all");
        gate!.allow(2, [a, b].map(({ port }) => `web/${port}\n`));
        await sees("down all", `${down} 100`, `${down} 100`);
        assertEquals(await answering(), "503");
      },
      { config: `agent_down: ${how}\n` },
      (agents) => gate = new Gate(agents),
    );
  });
}

serverTest(
  "A daemon that is stopped changes nothing of what HAProxy was told by its agent checks",
  [
    "haproxy",
  ],
  async () => {
    await play(BY_AGENT, async ({ daemon, haproxy, hactl, a, sees, answering }) => {
      await hactl("down", "web", "-P", a.port);
      await hactl("weight", "all", 50);
      await sees("a is down", "MAINT 100", "no check 50");
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
      await until("HAProxy finds no agent", async () => {
        const servers = (await haproxy.stat()).filter(({ svname }) => /^[ab]$/.test(svname!));
        return servers.every(({ agent_status }) => agent_status!.replace("* ", "") === "L4CON");
      });
      await sees("nobody is there", "MAINT 100", "no check 50");
      assertEquals(await answering(), "b");
    });
  },
);

serverTest("A client that may not ask changes nothing of what HAProxy was told before", [
  "haproxy",
], async () => {
  await play(BY_AGENT, async ({ haproxy, sees, answering, daemon }) => {
    await until("HAProxy is not answered", async () => {
      const servers = (await haproxy.stat()).filter(({ svname }) => /^[ab]$/.test(svname!));
      return servers.every(({ agent_status }) => agent_status!.replace("* ", "") === "L7RSP");
    });
    daemon.writeRecord("all", "maint");
    await daemon.logged(/refused 127\.0\.0\.1: allowed_clients does not list it/);
    await sees("nobody is told", UP, UP);
    assertEquals(await answering(), "a,b");
  }, { config: "allowed_clients: [192.0.2.1]\n" });
});

serverTest(
  "With -S a downtime is MAINT in HAProxy, and at no time an outage",
  ["haproxy"],
  async () => {
    await play(({ a, b, hacheck, agents }) => `
    option httpchk GET /http/web/0/health
    http-check send-state
    # Checks come so often before the agent's that a downtime would be an outage if they told of it.
    default-server check port ${hacheck} inter 20ms fall 1 rise 1 weight 100 agent-check agent-port ${agents} agent-inter 1s
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`, async ({ daemon, haproxy, hactl, a, sees, answering }) => {
      await sees("at first", "UP 100", "UP 100");
      await hactl("down", "web", "-P", a.port, "-r", "kernel update");
      await sees("a is down", "MAINT 100", "UP 100");
      assertEquals((await daemon.get(`/spool/web/${a.port}`)).status, 503);
      await hactl("up", "web", "-P", a.port);
      await sees("a is up", "UP 100", "UP 100");
      assertEquals(await answering(), "a,b");
      await hactl("down", "web", "-P", a.port);
      await sees("a is down", "MAINT 100", "UP 100");
      assert(!/is DOWN, reason/.test(haproxy.log), haproxy.log);
      // What is stopped then says nothing of the agent's. That checks fail is another matter.
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
      await sees("the daemon is gone", "MAINT 100", "DOWN 100");
    }, { args: ["-S"] });
  },
);

serverTest(
  "HAProxy sends no request to a server that is marked down while the daemon is stopped again and again",
  ["haproxy"],
  async () => {
    await play(({ a, b, hacheck, agents }) => `
    option httpchk GET /http/web/0/health
    http-check send-state
    default-server check port ${hacheck} inter 200ms fall 100 rise 1 weight 100 agent-check agent-port ${agents} agent-inter 100ms
    server a 127.0.0.1:${a} agent-send "web/${a}\\n"
    server b 127.0.0.1:${b} agent-send "web/${b}\\n"
`, async ({ daemon, haproxy, hactl, a, sees, answering }) => {
      await sees("at first", "UP 100", "UP 100");
      await hactl("down", "web", "-P", a.port, "-r", "kernel update");
      await sees("a is down", "MAINT 100", "UP 100");
      // It runs for a few milliseconds at a time, so that it is stopped at any point of an agent check.
      let isOver = false;
      const stalling = (async () => {
        for (let round = 0; !isOver; round++) {
          daemon.kill("SIGSTOP");
          await new Promise((resolve) => setTimeout(resolve, 150));
          daemon.kill("SIGCONT");
          await new Promise((resolve) => setTimeout(resolve, round % 8));
        }
      })();
      const answered = new Set<string>();
      try {
        for (let sample = 0; sample < 60; sample++) {
          answered.add(await answering());
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      } finally {
        isOver = true;
        await stalling;
      }
      assertEquals([...answered], ["b"]);
      assert(!/Server web\/a is (?:UP|DOWN)/.test(haproxy.log), haproxy.log);
    }, { config: "spool_in_checks: false\n" });
  },
);

/** Ways to have HAProxy know that a server drains, and what it then shows. */
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
    `A download goes on to its end where a server drains by ${way}, and the next goes elsewhere`,
    [
      "haproxy",
    ],
    async () => {
      await play(backend, async ({ haproxy, hactl, a, b, sees, answering }) => {
        await sees("at first", up, up);
        // One for each of the two, in turn.
        using first = await download(haproxy);
        using second = await download(haproxy);
        const begun = [await begins(first), await begins(second)];
        assertEquals([...begun].sort(), ["a begins", "b begins"]);
        const [byA, byB] = begun[0] === "a begins" ? [first, second] : [second, first];

        await hactl("drain", "web", "-P", a.port, "-r", "deploy");
        await sees("a drains", draining, up);
        assertEquals(await answering(), "b");
        a.finish();
        assertMatch(await byA.readAll(), / a ends/);

        await hactl("up", "web", "-P", a.port);
        await sees("a is up", up, up);
        assertEquals(await answering(), "a,b");
        b.finish();
        assertMatch(await byB.readAll(), / b ends/);
        assert(!haproxy.log.includes("is DOWN, reason"), haproxy.log);
      });
    },
  );
}

/** Begins a download by HAProxy. */
async function download({ port }: HAProxy): Promise<RawConnection> {
  const connection = await RawConnection.open(port);
  await connection.send("GET /download HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return connection;
}

/** What a download begins with. */
async function begins(connection: RawConnection): Promise<string> {
  let text = "";
  while (!text.includes(" begins,")) {
    const some = await connection.readSome();
    if (some === "") throw new Error(`the download ended: ${text}`);
    text += some;
  }
  return /\w begins/.exec(text)![0];
}
