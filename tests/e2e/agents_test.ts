import { minimalDaemonFlags } from "../../src/daemon/permissions.ts";
import { AGENT_LINE_TIMEOUT_MS } from "../../src/server/agent_listener.ts";
import { askAgent } from "../support/agent.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { Debugger } from "../support/debugger.ts";
import {
  Daemon,
  type DaemonOptions,
  hactl,
  run,
  runDaemon,
  TempFolder,
  WORKER_GRANTS,
} from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { freePort, until } from "../servers/mod.ts";

const SILENT = { code: 0, stdout: "", stderr: "" };

/** A daemon with agent checks. */
class AgentDaemon implements AsyncDisposable {
  private constructor(readonly daemon: Daemon, readonly port: number) {}

  static async start(options: DaemonOptions = {}, agents = ["-A", "0"]): Promise<AgentDaemon> {
    const args = [...agents, ...options.args ?? []];
    const daemon = await Daemon.start({ ...options, args });
    const [, port] = await daemon.logged(/agent checks are answered on 127\.0\.0\.1 port (\d+)\n/);
    return new AgentDaemon(daemon, Number(port));
  }

  send(line: string): Promise<string> {
    return askAgent(this.port, line);
  }

  /** Sends a line so often that each worker gets it, and returns the different responses. */
  async sendToAll(line: string): Promise<string[]> {
    const responses = Array.from({ length: 32 }, () => this.send(line));
    return [...new Set(await Promise.all(responses))];
  }

  async hactl(...args: string[]): Promise<void> {
    const line = [...args, "-p", String(this.daemon.port)];
    assertEquals(await hactl(this.daemon.spool, line), SILENT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

for (const workers of [1, 3]) {
  Deno.test(`with -n ${workers}, agent checks report a change once hactl has returned`, async () => {
    await using agents = await AgentDaemon.start({
      args: ["-n", String(workers)],
      grants: WORKER_GRANTS,
      config: "agent_silence: all\n",
    });
    const steps: readonly [command: string[], web: string, all: string][] = [
      [["down", "web", "-r", "maint"], "maint\n", "ready up 100%\n"],
      [["drain", "web", "-r", "deploy"], "drain\n", "ready up 100%\n"],
      [["weight", "web", "50"], "drain\n", "ready up 100%\n"],
      [["up", "web"], "ready up 50%\n", "ready up 100%\n"],
      [["down", "web", "-P", "8080"], "maint\n", "ready up 100%\n"],
      [["up", "web", "-P", "8080"], "ready up 50%\n", "ready up 100%\n"],
      [["down", "all"], "maint\n", "maint\n"],
      [["up", "all"], "ready up 50%\n", "ready up 100%\n"],
      [["weight", "all", "10"], "ready up 50%\n", "ready up 10%\n"],
      [["weight", "web", "100"], "ready up 10%\n", "ready up 10%\n"],
      [["weight", "all", "100"], "ready up 100%\n", "ready up 100%\n"],
    ];
    assertEquals(await agents.sendToAll("web/8080\n"), ["ready up 100%\n"]);
    // Agent checks do not count as checks.
    const { body } = await agents.daemon.get("/status/count");
    assertEquals(JSON.parse(body), { service_access_counts: {} });
    for (const [command, web, all] of steps) {
      await agents.hactl(...command);
      assertEquals(await agents.sendToAll("web/8080\n"), [web], command.join(" "));
      assertEquals(await agents.send(""), all, command.join(" "));
    }
  });
}

Deno.test("the daemon listens for agent checks on agent_port, or on the port of -A", async () => {
  const config = `agent_port: ${freePort()}\n`;
  {
    await using agents = await AgentDaemon.start({ config }, []);
    assertEquals(config, `agent_port: ${agents.port}\n`);
    assertEquals(await agents.send("web\n"), "ready up 100%\n");
  }
  await using agents = await AgentDaemon.start({ config }, ["-A", "0"]);
  assert(config !== `agent_port: ${agents.port}\n`);
  assertEquals(await agents.send("web\n"), "ready up 100%\n");
});

for (const workers of [1, 2]) {
  Deno.test(`with -n ${workers}, SIGHUP changes agent_down and allowed_clients, but not agent_port`, async () => {
    using folder = new TempFolder();
    const config = folder.write("changing.yaml", "agent_down: maint\n");
    await using agents = await AgentDaemon.start({
      args: ["-n", String(workers), "-c", config],
      grants: [...WORKER_GRANTS, `--allow-read=${config}`],
    });
    const { daemon } = agents;
    await agents.hactl("down", "web", "-r", "kernel update");
    assertEquals(await agents.sendToAll("web\n"), ["maint\n"]);

    const reload = async (content: string) => {
      Deno.writeTextFileSync(config, content);
      const before = daemon.log.length;
      daemon.kill("SIGHUP");
      await until(
        "the configuration is read again",
        () => daemon.log.slice(before).includes("was read again"),
      );
    };
    await reload("agent_down: down\n");
    await until("all workers have the configuration", async () => {
      const responses = await agents.sendToAll("web\n");
      return responses.length === 1 && responses[0] === "down #kernel update\n";
    });
    await reload("allowed_clients: [192.0.2.1]\n");
    await until("all workers have the configuration", async () => {
      const responses = await agents.sendToAll("web\n");
      return responses.length === 1 && responses[0] === "";
    });
    await daemon.logged(/refused 127\.0\.0\.1: allowed_clients does not list it/);
    await reload("allowed_clients: [192.0.2.1, 127.0.0.1]\nagent_down: maint\n");
    await until("all workers have the configuration", async () => {
      const responses = await agents.sendToAll("web\n");
      return responses.length === 1 && responses[0] === "maint\n";
    });
    assert(!(await daemon.stop()).includes("agent_port has changed"));
  });
}

Deno.test("SIGHUP with another agent_port logs that it needs a restart", async () => {
  using folder = new TempFolder();
  const config = folder.write("changing.yaml", `agent_port: ${freePort()}\n`);
  await using agents = await AgentDaemon.start({
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  }, []);
  Deno.writeTextFileSync(config, "# No agent checks.\n");
  agents.daemon.kill("SIGHUP");
  await agents.daemon.logged(
    /WARNING agent_port has changed: restart hacheck to use it/,
  );
  assertEquals(await agents.send("web\n"), "ready up 100%\n");
});

Deno.test("a worker that replaces a crashed one responds to agent checks, too", async () => {
  await using agents = await AgentDaemon.start({
    args: ["-n", "2"],
    grants: [...WORKER_GRANTS, Debugger.GRANT],
  });
  await agents.hactl("down", "web", "-r", "maint");
  await using debug = await Debugger.attach(agents.daemon, 2);
  for (const victim of debug.workers) {
    await debug.kill(victim);
    await until(
      "it is replaced",
      () => !debug.workers.includes(victim) && debug.workers.length === 2,
    );
    await until("agent checks get the same response", async () => {
      const responses = await agents.sendToAll("web\n");
      return responses.length === 1 && responses[0] === "maint\n";
    });
  }
});

Deno.test("the port of agent checks is not shared with another daemon, whatever -n is", async () => {
  await using agents = await AgentDaemon.start({ args: ["-n", "2"], grants: WORKER_GRANTS });
  using folder = new TempFolder();
  for (const workers of ["1", "2"]) {
    const where = ["-B", "127.0.0.1", "-p", "0", "-A", String(agents.port)];
    assertEquals(
      await runDaemon(
        [...where, "-n", workers, "--spool-root", folder.path],
        [...minimalDaemonFlags(folder.path), ...WORKER_GRANTS],
      ),
      {
        code: 1,
        stdout: "",
        stderr: `hacheck: Cannot listen on 127.0.0.1 port ${agents.port}: ` +
          "Address already in use (os error 98)\n",
      },
    );
  }
});

Deno.test("-v logs every agent check", async () => {
  await using agents = await AgentDaemon.start({ args: ["-v"], config: "agent_silence: api\n" });
  await agents.send("web/8080\n");
  await agents.send("");
  await agents.daemon.logged(/DEBUG agent check of web\/8080: ready up 100% \(127\.0\.0\.1\)/);
  await agents.daemon.logged(/DEBUG agent check of api: ready up 100% \(127\.0\.0\.1\)/);
});

Deno.test("with -S or spool_in_checks: false, checks of services ignore the spool, and nothing else does", async () => {
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("fine"),
  );
  const { port } = service.addr;
  for (
    const options of [{ args: ["-S"] }, { args: ["--skip-spool-in-checks"] }, {
      config: "spool_in_checks: false\n",
    }]
  ) {
    await using agents = await AgentDaemon.start(options);
    const { daemon } = agents;
    const status = async (path: string) => (await daemon.get(path)).status;
    await agents.hactl("down", "all", "-r", "maint");
    assertEquals(await daemon.get(`/http/web/${port}/`), { status: 200, body: "fine" });
    assertEquals(await status(`/tcp/web/${port}`), 200);
    assertEquals(await status(`/spool/web/${port}`), 503);
    const { kept_out_by } = JSON.parse((await daemon.get(`/status/services/web/${port}`)).body);
    assertEquals(kept_out_by.name, "all");
    assertEquals(await agents.send(`web/${port}\n`), "maint\n");
    assertEquals(
      await status("/tcp/web/1"),
      503,
      "a dead service is down",
    );
  }
  // Without agent checks that is a mistake.
  await using daemon = await Daemon.start({ args: ["-S"] });
  await daemon.logged(
    /WARNING records affect neither checks of services .* only \/spool reports them\n/,
  );
});

/** How long the daemon is stopped, in milliseconds: longer than AGENT_LINE_TIMEOUT_MS. */
const STALL_MS = 200;

const stall = () => new Promise<void>((resolve) => setTimeout(resolve, STALL_MS));

/** Sends the pieces of a line, the last one while the daemon is stopped or shortly before. */
type Phase = (
  client: RawConnection,
  stop: () => void,
  stalled: () => Promise<void>,
) => Promise<void>;

const PHASES: Readonly<Record<string, Phase>> = {
  "between the connection and the line": async (client, stop, stalled) => {
    stop();
    await client.send("web/8080\n");
    await stalled();
  },
  "while the deadline passes, and the line comes after it": async (client, stop, stalled) => {
    stop();
    await stalled();
    await client.send("web/8080\n");
  },
  "within the line": async (client, stop, stalled) => {
    await client.send("we");
    stop();
    await client.send("b/8080\n");
    await stalled();
  },
  "after the line": async (client, stop, stalled) => {
    await client.send("web/8080\n");
    stop();
    await stalled();
  },
};

/** Sends a line to a daemon that stalls meanwhile; undefined if this program was too slow to stop it in time. */
async function sendStalled(agents: AgentDaemon, phase: Phase): Promise<string | undefined> {
  const start = performance.now();
  using client = await RawConnection.open(agents.port);
  await new Promise((resolve) => setTimeout(resolve, 20));
  let stoppedAfter = 0;
  const stop = () => {
    agents.daemon.kill("SIGSTOP");
    stoppedAfter = performance.now() - start;
  };
  await phase(client, stop, stall);
  agents.daemon.kill("SIGCONT");
  const response = await client.readAll();
  return stoppedAfter < AGENT_LINE_TIMEOUT_MS - 20 ? response : undefined;
}

for (const silence of ["# Not set.\n", "agent_silence: other\n"]) {
  const how = silence.startsWith("#")
    ? "without agent_silence"
    : "with agent_silence for another service";
  Deno.test(`${how}, a daemon that is stopped for 200 ms never responds ready for a service that is down`, async () => {
    await using agents = await AgentDaemon.start({ config: silence });
    await agents.hactl("down", "web", "-r", "maint");
    for (const [name, phase] of Object.entries(PHASES)) {
      let rounds = 0;
      for (let attempts = 0; rounds < 10 && attempts < 200; attempts++) {
        const response = await sendStalled(agents, phase);
        if (response === undefined) continue;
        // The daemon reads the line after the stall.
        assertEquals(response, "maint\n", `stopped ${name}`);
        rounds++;
      }
      assertEquals(rounds, 10, `stopped ${name} in time`);
    }
    // The daemon is stopped before the client connects.
    agents.daemon.kill("SIGSTOP");
    const response = agents.send("web/8080\n");
    await stall();
    agents.daemon.kill("SIGCONT");
    assertEquals(await response, "maint\n");
  });
}

Deno.test("a line that comes late or in halves gets no response, not that of agent_silence either", async () => {
  await using agents = await AgentDaemon.start({ config: "agent_silence: other\n" });
  await agents.hactl("down", "web", "-r", "maint");
  for (const pieces of [["we", "b/8080\n"], ["web/8080", "\n"]]) {
    using client = await RawConnection.open(agents.port);
    const response = client.readAll();
    for (const piece of pieces) {
      await client.send(piece).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 2 * STALL_MS));
    }
    assertEquals(await response.catch(() => ""), "");
  }
  assertEquals(await agents.send(""), "ready up 100%\n");
  assertEquals(await agents.send("web"), "");
});

Deno.test("without agent_silence, a whole line after the deadline gets no response", async () => {
  await using agents = await AgentDaemon.start();
  await agents.hactl("down", "web", "-r", "maint");
  await until("the daemon is not too busy to notice the deadline", async () => {
    using client = await RawConnection.open(agents.port);
    const response = client.readAll().catch(() => "");
    await new Promise((resolve) => setTimeout(resolve, 1.5 * AGENT_LINE_TIMEOUT_MS));
    await client.send("web/8080\n").catch(() => {});
    const text = await response;
    // A daemon that stalls reads on, and may then respond.
    assert(["", "maint\n"].includes(text), text);
    return text === "";
  });
});

Deno.test("a client that sends nothing gets no response, or that of the service in agent_silence", async () => {
  using folder = new TempFolder();
  const config = folder.write("changing.yaml", "# Not set.\n");
  await using agents = await AgentDaemon.start({
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  });
  await agents.hactl("down", "web", "-P", "8080", "-r", "maint");
  assertEquals(await agents.send(""), "");
  await agents.daemon.logged(
    /WARNING agent check from 127\.0\.0\.1 is not answered: expected a line/,
  );
  const silences: [name: string, response: string][] = [
    ["web/8080", "maint\n"],
    ["web", "ready up 100%\n"],
    ["all", "ready up 100%\n"],
  ];
  for (const [name, response] of silences) {
    Deno.writeTextFileSync(config, `agent_silence: ${name}\n`);
    const before = agents.daemon.log.length;
    agents.daemon.kill("SIGHUP");
    await until(
      "the configuration is read again",
      () => agents.daemon.log.slice(before).includes("read again"),
    );
    assertEquals(await agents.send(""), response);
    // The deadline passes while the daemon is stopped, which changes nothing.
    const stalled = agents.send("");
    await new Promise((resolve) => setTimeout(resolve, 20));
    agents.daemon.kill("SIGSTOP");
    await stall();
    agents.daemon.kill("SIGCONT");
    assertEquals(await stalled, response);
  }
});

/** How many file descriptors a daemon has open. */
async function openBy({ pid }: Daemon): Promise<number> {
  return (await run("ls", [`/proc/${pid}/fd`])).stdout.trim().split("\n").length;
}

Deno.test("clients that send nothing are closed soon, and other clients get responses meanwhile", async () => {
  await using agents = await AgentDaemon.start({
    wrapper: ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"],
  });
  const { daemon } = agents;
  await agents.send("web\n");
  assertEquals((await daemon.get("/spool/web/0")).status, 200);
  const before = await openBy(daemon);
  const held: RawConnection[] = [];
  try {
    for (let i = 0; i < 2000; i++) held.push(await RawConnection.open(agents.port));
    for (let i = 0; i < 20; i++) {
      assertEquals(await daemon.get("/spool/web/0"), { status: 200, body: "" });
    }
    assertEquals(await agents.send("web\n"), "ready up 100%\n");
    await until("the daemon has closed all of them", async () => await openBy(daemon) <= before);
    // The daemon closed each of them without a response.
    for (const connection of held) assertEquals(await connection.readAll(), "");
  } finally {
    for (const connection of held) connection[Symbol.dispose]();
  }
  const { listeners, faults } = JSON.parse((await daemon.get("/status")).body);
  assertEquals([listeners.falls, faults.unforeseen], [0, 0]);
});

Deno.test("agent checks get responses again as soon as there are descriptors", async () => {
  await using agents = await AgentDaemon.start({
    wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
  });
  await agents.send("web\n");
  const held: RawConnection[] = [];
  try {
    for (let i = 0; i < 300; i++) {
      const port = i % 3 === 0 ? agents.daemon.port : agents.port;
      // The HTTP server crashes without descriptors, and resets clients that are about to connect.
      await RawConnection.open(port).then((connection) => held.push(connection), () => {});
    }
    await until(
      "an agent check gets a response",
      async () => await agents.send("web\n") === "ready up 100%\n",
    );
  } finally {
    for (const connection of held) connection[Symbol.dispose]();
  }
  await until(
    "agent checks work again",
    async () => await agents.send("web\n") === "ready up 100%\n",
  );
});

Deno.test("on SIGTERM, a connected client gets its response, and the daemon exits 0", async () => {
  await using agents = await AgentDaemon.start();
  await agents.send("web\n");
  const start = performance.now();
  using client = await RawConnection.open(agents.port);
  await client.send("web");
  // A later client got its response, so this one is accepted.
  await agents.send("x\n");
  agents.daemon.kill("SIGTERM");
  await agents.daemon.logged(/stopping on SIGTERM/);
  await client.send("\n").catch(() => {});
  const isInTime = performance.now() - start < AGENT_LINE_TIMEOUT_MS;
  const response = await client.readAll().catch(() => "");
  if (isInTime) assertEquals(response, "ready up 100%\n");
  assertEquals((await agents.daemon.ended()).code, 0);
});
