import { newCounters } from "../../../src/metrics/counters.ts";
import {
  AgentListener,
  type AgentListenerOptions,
  MAX_AGENT_CONNECTIONS,
  MAX_AGENT_LINE_BYTES,
} from "../../../src/server/agent_listener.ts";
import { askAgent } from "../../support/agent.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { RawConnection } from "../../support/raw_http.ts";
import { until } from "../../servers/mod.ts";

/** A listener that responds with the line it received. */
class EchoingAgent implements AsyncDisposable {
  readonly recorded = new RecordedLog();
  readonly errors = newCounters().errors;
  readonly answers = newCounters().agent_checks;
  /** The lines that got a response. */
  readonly lines: (string | undefined)[] = [];
  readonly listener: AgentListener;

  constructor(options: Partial<AgentListenerOptions> = {}) {
    this.listener = new AgentListener({
      ...{ hostname: "127.0.0.1", port: 0, shared: false },
      admits: () => true,
      respond: (line) => {
        this.lines.push(line);
        return `received ${line}`;
      },
      log: this.recorded.log,
      ...{ errors: this.errors, counters: this.answers },
      ...options,
    });
  }

  get port(): number {
    return this.listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.stop();
  }
}

Deno.test("AgentListener counts responses by their first word, and agent checks without one", async () => {
  const words = ["ready up 100%", "drain", "maint", "down #kernel", "ready up", null];
  await using agents = new EchoingAgent({ respond: () => words.shift()! });
  for (let i = 0; i < 6; i++) await askAgent(agents.port, "web\n");
  await askAgent(agents.port, "incomplete");
  assertEquals(agents.answers, { ready: 2, drain: 1, maint: 1, down: 1, none: 2 });
});

Deno.test("AgentListener reads one line, writes one line and closes the connection", async () => {
  await using agents = new EchoingAgent();
  const cases: [sent: string, received: string | undefined][] = [
    ["web/8080\n", "web/8080"],
    ["\n", ""],
    ["web\r\n", "web\r"],
    ["web\nmore\nlines\n", "web"],
    ["w\xe9b\n", "wéb"],
  ];
  for (const [sent, received] of cases) {
    assertEquals(
      new TextDecoder().decode(
        Uint8Array.from(await askAgent(agents.port, sent), (c) => c.charCodeAt(0)),
      ),
      `received ${received}\n`,
    );
  }
  assertEquals(agents.lines, cases.map(([, received]) => received));
});

Deno.test("AgentListener joins the pieces of a line", async () => {
  await using agents = new EchoingAgent();
  using connection = await RawConnection.open(agents.port);
  for (const piece of ["we", "b/80", "80", "\n"]) await connection.send(piece);
  assertEquals(await connection.readAll(), "received web/8080\n");
});

Deno.test("AgentListener calls respond() without a line only if the client sent nothing", async () => {
  await using agents = new EchoingAgent();
  // The first waits for the deadline, the second closes its side.
  assertEquals(await askAgent(agents.port, ""), "received undefined\n");
  assertEquals(await askAndClose(agents.port, ""), "received undefined\n");
  assertEquals(agents.lines, [undefined, undefined]);
  assertEquals(agents.recorded.lines, []);
});

Deno.test("AgentListener closes without a response after an incomplete line", async () => {
  const unfinished: [why: string, ask: (port: number) => Promise<string>][] = [
    ["no line feed came within 100 ms", (port) => askAgent(port, "web/8080")],
    ["no line feed came within 100 ms", (port) => askAgent(port, " ")],
    ["no line feed came within 100 ms", (port) => drip(port, "w".repeat(300))],
    ["the line has no line feed at its end", (port) => askAndClose(port, "web/8080")],
    [
      "the line is longer than 512 bytes",
      (port) => askAgent(port, "w".repeat(MAX_AGENT_LINE_BYTES)),
    ],
    ["the line is longer than 512 bytes", (port) => askAgent(port, `${"w".repeat(100_000)}\n`)],
  ];
  for (const [why, ask] of unfinished) {
    await using agents = new EchoingAgent();
    // Closing a connection with bytes unread resets it.
    assertEquals(await ask(agents.port).catch(() => ""), "", why);
    assertEquals(agents.lines, [], why);
    assertEquals(
      [agents.recorded.lines.length, agents.errors],
      [1, newCounters().errors],
      why,
    );
    assertStringIncludes(
      agents.recorded.lines[0]!,
      `WARNING agent check from 127.0.0.1 is not answered: ${why}: received "`,
    );
  }
});

Deno.test("AgentListener responds to a line of MAX_AGENT_LINE_BYTES", async () => {
  await using agents = new EchoingAgent();
  const longest = "w".repeat(MAX_AGENT_LINE_BYTES - 1);
  assertEquals(await askAgent(agents.port, `${longest}\n`), `received ${longest}\n`);
});

Deno.test("AgentListener sends nothing if respond() returns null, and warns only about a client that waits", async () => {
  await using agents = new EchoingAgent({ respond: () => null });
  assertEquals(await askAndClose(agents.port, ""), "");
  assertEquals(agents.recorded.lines, []);
  for (let i = 0; i < 3; i++) assertEquals(await askAgent(agents.port, ""), "");
  assertEquals(agents.recorded.lines, [
    'WARNING agent check from 127.0.0.1 is not answered: expected a line such as "web/8080\\n" ' +
    `(HAProxy's agent-send), or agent_silence in the configuration: received ""`,
  ]);
});

/** Sends a text, closes the sending side, and reads the response. */
async function askAndClose(port: number, sent: string): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(sent));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

/** Sends a byte at a time until the listener closes. */
async function drip(port: number, sent: string): Promise<string> {
  using connection = await RawConnection.open(port);
  const response = connection.readAll().catch(() => "");
  let isClosed = false;
  response.finally(() => isClosed = true);
  for (const byte of sent) {
    if (isClosed) break;
    await connection.send(byte).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return await response;
}

Deno.test("AgentListener closes a client that is not allowed at once, without a response", async () => {
  const clients: string[] = [];
  await using agents = new EchoingAgent({
    admits: (client) => {
      clients.push(client);
      return false;
    },
  });
  assertEquals(await askAgent(agents.port, ""), "");
  assertEquals([clients, agents.lines], [["127.0.0.1"], []]);
});

Deno.test("AgentListener reports an IPv4 client of a dual-stack socket by its IPv4 address", async () => {
  const clients: string[] = [];
  await using agents = new EchoingAgent({
    hostname: "::",
    admits: (client) => clients.push(client) > 0,
  });
  await askAgent(agents.port, "x\n");
  assertEquals(clients, ["127.0.0.1"]);
});

Deno.test("AgentListener sends nothing after an internal error, logs and counts it, and serves the next client", async () => {
  let isBroken = true;
  await using agents = new EchoingAgent({
    respond: () => {
      if (isBroken) throw new Error("broken");
      return "ready";
    },
  });
  for (let times = 0; times < 3; times++) assertEquals(await askAgent(agents.port, "web\n"), "");
  assertEquals(agents.errors.unforeseen, 3);
  assertEquals(agents.recorded.lines, ["ERROR cannot answer an agent check: Error: broken"]);
  isBroken = false;
  assertEquals(await askAgent(agents.port, "web\n"), "ready\n");
});

Deno.test("AgentListener leaves no connection open and counts no error after clients that close, reset or send nothing", async () => {
  const agents = new EchoingAgent();
  for (let round = 0; round < 5; round++) {
    const connections = await Promise.all(
      Array.from({ length: 100 }, () => Deno.connect({ hostname: "127.0.0.1", port: agents.port })),
    );
    await Promise.all(connections.map(async (connection, i) => {
      if (i % 3 === 0) await connection.write(new TextEncoder().encode("web\nand more"));
      // Closing with an unread response resets the connection.
      connection.close();
    }));
  }
  // Deno's resource sanitizer reports each connection that is still open.
  await agents.listener.stop();
  assertEquals([agents.errors, agents.recorded.lines], [newCounters().errors, []]);
});

Deno.test("AgentListener queues clients above MAX_AGENT_CONNECTIONS and loses none", async () => {
  await using agents = new EchoingAgent();
  const silent = Promise.all(
    Array.from({ length: 3 * MAX_AGENT_CONNECTIONS }, () => askAgent(agents.port, "")),
  );
  const responses = await Promise.all(
    Array.from({ length: MAX_AGENT_CONNECTIONS }, () => askAgent(agents.port, "web\n")),
  );
  assertEquals(new Set(responses), new Set(["received web\n"]));
  assertEquals(new Set(await silent), new Set(["received undefined\n"]));
});

Deno.test("AgentListener.stop() accepts nothing more and responds to open connections", async () => {
  const agents = new EchoingAgent();
  using client = await RawConnection.open(agents.port);
  await client.send("we");
  // A later connection got its response, so this one is accepted.
  assertEquals(await askAgent(agents.port, "x\n"), "received x\n");
  const stopped = agents.listener.stop();
  await client.send("b\n");
  assertEquals(await client.readAll(), "received web\n");
  await stopped;
  const { port } = agents;
  // Deno closes the socket after its last accept has ended.
  await until("connections are refused", async () => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return false;
    } catch (error) {
      return error instanceof Deno.errors.ConnectionRefused;
    }
  });
});

Deno.test("AgentListener opens a port that is in use only if it is shared", async () => {
  await using agents = new EchoingAgent({ shared: true });
  assertThrows(() => new EchoingAgent({ port: agents.port }), Deno.errors.AddrInUse);
  await using second = new EchoingAgent({ port: agents.port, shared: true });
  await until("both got a connection", async () => {
    await askAgent(agents.port, "x\n");
    return agents.lines.length > 0 && second.lines.length > 0;
  });
});
