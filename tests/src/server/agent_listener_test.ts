import { newCounters } from "../../../src/metrics/counters.ts";
import {
  AgentListener,
  type AgentListenerOptions,
  MAX_AGENTS,
  MAX_QUESTION_BYTES,
} from "../../../src/server/agent_listener.ts";
import { askAgent } from "../../support/agent.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";
import { RawConnection } from "../../support/raw_http.ts";
import { until } from "../../servers/mod.ts";

/** A listener that answers with the question, and what it came to. */
class Agents implements AsyncDisposable {
  readonly recorded = new RecordedLog();
  readonly errors = newCounters().errors;
  /** The questions that were answered. */
  readonly asked: (string | undefined)[] = [];
  readonly listener: AgentListener;

  constructor(options: Partial<AgentListenerOptions> = {}) {
    this.listener = new AgentListener({
      ...{ hostname: "127.0.0.1", port: 0, shared: false },
      admits: () => true,
      answer: (question) => {
        this.asked.push(question);
        return `heard ${question}`;
      },
      log: this.recorded.log,
      errors: this.errors,
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

Deno.test("An agent check is one line, one answer, and the end of the connection", async () => {
  await using agents = new Agents();
  const cases: [sent: string, heard: string | undefined][] = [
    ["web/8080\n", "web/8080"],
    ["\n", ""],
    ["web\r\n", "web\r"],
    ["web\nmore\nlines\n", "web"],
    ["w\xe9b\n", "wéb"],
  ];
  for (const [sent, heard] of cases) {
    assertEquals(
      new TextDecoder().decode(
        Uint8Array.from(await askAgent(agents.port, sent), (c) => c.charCodeAt(0)),
      ),
      `heard ${heard}\n`,
    );
  }
  assertEquals(agents.asked, cases.map(([, heard]) => heard));
});

Deno.test("A line that comes in pieces is one line", async () => {
  await using agents = new Agents();
  using connection = await RawConnection.open(agents.port);
  for (const piece of ["we", "b/80", "80", "\n"]) await connection.send(piece);
  assertEquals(await connection.rest(), "heard web/8080\n");
});

Deno.test("AgentListener asks for an answer to silence only where nothing was sent", async () => {
  await using agents = new Agents();
  // One waits for the deadline, one closes its side.
  assertEquals(await askAgent(agents.port, ""), "heard undefined\n");
  assertEquals(await askAndClose(agents.port, ""), "heard undefined\n");
  assertEquals(agents.asked, [undefined, undefined]);
  assertEquals(agents.recorded.lines, []);
});

Deno.test("AgentListener closes without an answer what is less than a whole line", async () => {
  const unfinished: [why: string, ask: (port: number) => Promise<string>][] = [
    ["no line feed came within 100 ms", (port) => askAgent(port, "web/8080")],
    ["no line feed came within 100 ms", (port) => askAgent(port, " ")],
    ["no line feed came within 100 ms", (port) => drip(port, "w".repeat(300))],
    ["the line has no line feed at its end", (port) => askAndClose(port, "web/8080")],
    ["the line is longer than 512 bytes", (port) => askAgent(port, "w".repeat(MAX_QUESTION_BYTES))],
    ["the line is longer than 512 bytes", (port) => askAgent(port, `${"w".repeat(100_000)}\n`)],
  ];
  for (const [why, ask] of unfinished) {
    await using agents = new Agents();
    // Closing a connection with bytes unread resets it.
    assertEquals(await ask(agents.port).catch(() => ""), "", why);
    assertEquals(agents.asked, [], why);
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

Deno.test("AgentListener answers a line of the greatest length", async () => {
  await using agents = new Agents();
  const longest = "w".repeat(MAX_QUESTION_BYTES - 1);
  assertEquals(await askAgent(agents.port, `${longest}\n`), `heard ${longest}\n`);
});

Deno.test("AgentListener does not answer silence where its answer is null, and warns only of a client that waits", async () => {
  await using agents = new Agents({ answer: () => null });
  assertEquals(await askAndClose(agents.port, ""), "");
  assertEquals(agents.recorded.lines, []);
  for (let i = 0; i < 3; i++) assertEquals(await askAgent(agents.port, ""), "");
  assertEquals(agents.recorded.lines, [
    'WARNING agent check from 127.0.0.1 is not answered: expected a line such as "web/8080\\n" ' +
    `(HAProxy's agent-send), or agent_silence in the configuration: received ""`,
  ]);
});

/** Sends something, closes the sending side, and reads the answer. */
async function askAndClose(port: number, sent: string): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(sent));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

/** Sends a byte at a time until the other end closes. */
async function drip(port: number, sent: string): Promise<string> {
  using connection = await RawConnection.open(port);
  const answer = connection.rest().catch(() => "");
  let isClosed = false;
  answer.finally(() => isClosed = true);
  for (const byte of sent) {
    if (isClosed) break;
    await connection.send(byte).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return await answer;
}

Deno.test("Who is not admitted is closed without an answer, and is not waited for", async () => {
  const clients: string[] = [];
  await using agents = new Agents({
    admits: (client) => {
      clients.push(client);
      return false;
    },
  });
  assertEquals(await askAgent(agents.port, ""), "");
  assertEquals([clients, agents.asked], [["127.0.0.1"], []]);
});

Deno.test("On an address for both kinds of IP, a client of IPv4 has its usual address", async () => {
  const clients: string[] = [];
  await using agents = new Agents({
    hostname: "::",
    admits: (client) => clients.push(client) > 0,
  });
  await askAgent(agents.port, "x\n");
  assertEquals(clients, ["127.0.0.1"]);
});

Deno.test("A fault of its own is no answer, is told once and counted, and the next is answered", async () => {
  let isBroken = true;
  await using agents = new Agents({
    answer: () => {
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

Deno.test("Clients that hang up, reset or say nothing leave no connection open, and no fault", async () => {
  const agents = new Agents();
  for (let round = 0; round < 5; round++) {
    const connections = await Promise.all(
      Array.from({ length: 100 }, () => Deno.connect({ hostname: "127.0.0.1", port: agents.port })),
    );
    await Promise.all(connections.map(async (connection, i) => {
      if (i % 3 === 0) await connection.write(new TextEncoder().encode("web\nand more"));
      // Closing with an answer unread resets the connection.
      connection.close();
    }));
  }
  // Deno's own check for what a test leaves open tells of every connection that was not closed.
  await agents.listener.stop();
  assertEquals([agents.errors, agents.recorded.lines], [newCounters().errors, []]);
});

Deno.test("Beyond those that are answered at once, the others wait, and nobody is lost", async () => {
  await using agents = new Agents();
  const silent = Promise.all(
    Array.from({ length: 3 * MAX_AGENTS }, () => askAgent(agents.port, "")),
  );
  const answers = await Promise.all(
    Array.from({ length: MAX_AGENTS }, () => askAgent(agents.port, "web\n")),
  );
  assertEquals(new Set(answers), new Set(["heard web\n"]));
  assertEquals(new Set(await silent), new Set(["heard undefined\n"]));
});

Deno.test("A listener that stops accepts nothing more, and answers who is asking", async () => {
  const agents = new Agents();
  using asking = await RawConnection.open(agents.port);
  await asking.send("we");
  // The connection after it is answered, so that this one is accepted.
  assertEquals(await askAgent(agents.port, "x\n"), "heard x\n");
  const stopped = agents.listener.stop();
  await asking.send("b\n");
  assertEquals(await asking.rest(), "heard web\n");
  await stopped;
  const { port } = agents;
  let refused = false;
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
  } catch (error) {
    refused = error instanceof Deno.errors.ConnectionRefused;
  }
  assert(refused);
});

Deno.test("A port that another has is not had, and one that is shared is", async () => {
  await using agents = new Agents({ shared: true });
  assertThrows(() => new Agents({ port: agents.port }), Deno.errors.AddrInUse);
  await using second = new Agents({ port: agents.port, shared: true });
  await until("both were asked", async () => {
    await askAgent(agents.port, "x\n");
    return agents.asked.length > 0 && second.asked.length > 0;
  });
});
