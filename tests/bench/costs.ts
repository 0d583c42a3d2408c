/**
 * The rows for the costs of the programs: memory, start, and the time until a downtime is visible.
 *
 * @module
 */

import { hactlFlags } from "../../src/daemon/permissions.ts";
import { run, TempFolder } from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { freePort, until } from "../servers/mod.ts";
import { compared, inTurns, isWithin, type Limit, median, rounded } from "./compare.ts";
import { manyRecords } from "./conditions.ts";
import { requestManyServices } from "./many.ts";
import type { Options, Row } from "./rows.ts";
import { daemonCommand, rivalCommand, type Server, startDaemon, startRival } from "./servers.ts";
import { wrk } from "./wrk.ts";

/** The number of starts of a program: single starts vary. */
const STARTS = 21;

/** The number of downtimes whose time to visibility is measured. */
const DOWNTIMES = 1000;

/** The number of records that come or go at once. */
const FLOOD = 100_000;

/** Returns the resident memory of a process, in MiB. */
async function memoryOf({ pid }: { readonly pid: number }): Promise<number> {
  // Deno itself would need all permissions to read /proc.
  const { stdout } = await run("cat", [`/proc/${pid}/status`]);
  return Number(/VmRSS:\s+(\d+)/.exec(stdout)![1]) / 1024;
}

/** Sends requests, and returns the memory of the server after them. */
async function memoryAfter(server: Server, requests: number, path: string): Promise<number> {
  for (let sent = 0; sent < requests;) {
    const url = `http://127.0.0.1:${server.port}${path}`;
    sent += (await wrk({ url, connections: 32, seconds: 2 })).responses;
  }
  return await memoryOf(server);
}

function memoryRow(name: string, work: string, requests: number): Row {
  const limit = { most: 1.5 };
  return {
    name,
    work,
    against: "a bare `Deno.serve` after the same",
    limit,
    measure: async (options) => {
      const path = "/spool/web/0/status";
      const measured = await inTurns(Math.min(options.rounds, 3), async () => {
        await using daemon = await startDaemon(options, {});
        await rest(1000);
        return await memoryAfter(daemon, requests, path);
      }, async () => {
        await using bare = await startRival("bare");
        await rest(1000);
        return await memoryAfter(bare, requests, path);
      });
      return compared(measured, limit, "MiB");
    },
  };
}

const MEMORY_OF_MANY: Row = {
  name: "memory-many",
  work: "memory after 500,000 services, paths and client addresses",
  against: "the same daemon before",
  limit: { most: 48 },
  measure: async (options) => {
    await using daemon = await startDaemon(options, {});
    await memoryAfter(daemon, 100_000, "/spool/web/0/status");
    const before = await memoryOf(daemon);
    await requestManyServices(daemon, 500_000);
    const after = await memoryOf(daemon);
    return {
      own: `${rounded(after)} MiB`,
      rival: `${rounded(before)} MiB`,
      ratio: `+ ${rounded(after - before)} MiB`,
      holds: isWithin(after - before, MEMORY_OF_MANY.limit),
    };
  },
};

const START: Row = {
  name: "start",
  work: "start to first response",
  against: "a bare `Deno.serve`",
  limit: { most: 1.6 },
  measure: async (options) => {
    using spool = new TempFolder();
    const measured = await inTurns(
      STARTS,
      () => timeToResponse((port) => daemonCommand(options, spool.path, port)),
      () => timeToResponse((port) => rivalCommand("bare", port)),
    );
    return compared(measured, START.limit, "ms");
  },
};

/** Measures the time from the start of a server to its first response, in milliseconds. */
async function timeToResponse(commandOn: (port: number) => readonly string[]): Promise<number> {
  const port = freePort();
  const [program, ...args] = commandOn(port);
  const stdio = { stdin: "null", stdout: "null", stderr: "null" } as const;
  const started = performance.now();
  const process = new Deno.Command(program!, { args, ...stdio }).spawn();
  try {
    let took = 0;
    // Refused until the server listens, and reset while it checks that no other process uses the port.
    await until(
      "the server responds",
      async () => {
        using connection = await RawConnection.open(port);
        await connection.send("GET /spool/web/0/status HTTP/1.0\r\n\r\n");
        await connection.readAll();
        took = performance.now() - started;
        return true;
      },
      20_000,
      0.5,
    );
    return took;
  } finally {
    process.kill("SIGKILL");
    await process.status;
  }
}

const STATUS: Row = {
  name: "hactl-status",
  work: "`hactl status web`",
  against: "an empty Deno program",
  limit: { most: 1.5 },
  measure: async (options) => {
    using spool = new TempFolder();
    const empty = new URL("./rivals/empty.ts", import.meta.url).pathname;
    const measured = await inTurns(
      STARTS,
      () => timeOf(hactl(options, spool.path, "status", "web")),
      () => timeOf(["run", "--no-prompt", empty]),
    );
    return compared(measured, STATUS.limit, "ms");
  },
};

const DOWNED: Row = {
  name: "hactl-downed",
  work: "`hactl downed` with 10,000 records",
  against: "`hactl status web`",
  limit: { most: 5 },
  measure: async (options) => {
    using spool = new TempFolder();
    manyRecords(spool.path, 10_000);
    const measured = await inTurns(
      STARTS,
      () => timeOf(hactl(options, spool.path, "downed")),
      () => timeOf(hactl(options, spool.path, "status", "web")),
    );
    return compared(measured, DOWNED.limit, "ms");
  },
};

function hactl({ programs }: Options, spool: string, ...args: readonly string[]): string[] {
  const flags = hactlFlags(spool);
  return ["run", ...flags, programs.hactl, ...args, "--spool-root", spool];
}

/** Measures the run time of a Deno program, in milliseconds. */
async function timeOf(args: readonly string[]): Promise<number> {
  const started = performance.now();
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(`${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return performance.now() - started;
}

function visibleRow(
  name: string,
  statistic: string,
  figure: (times: number[]) => number,
  limit: Limit,
) {
  return {
    name,
    work: `down to visible under full load, ${statistic} of ${DOWNTIMES}`,
    against: "—",
    limit,
    measure: async (options: Options) => {
      const time = figure(await timesToVisible(options));
      return { own: `${rounded(time)} ms`, rival: "", ratio: "", holds: isWithin(time, limit) };
    },
  };
}

/** Measures the times from the return of rename() to the first response that is down, in milliseconds. */
async function timesToVisible(options: Options): Promise<number[]> {
  await using daemon = await startDaemon(options, {});
  using folder = new TempFolder();
  const url = daemon.url("/spool/web/0/status");
  let isDone = false;
  const load = (async () => {
    while (!isDone) await wrk({ url, connections: 32, seconds: 5 });
  })();
  const times: number[] = [];
  try {
    for (let i = 0; i < DOWNTIMES; i++) {
      const name = `seen-${i}`;
      // Written outside the spool, so that the daemon sees only the rename.
      const record = folder.write("record", '{"reason": "now"}');
      Deno.renameSync(record, `${daemon.spool}/${name}`);
      const renamed = performance.now();
      for (;;) {
        // On a kept connection: opening one would take half of the measured time.
        const { status, body } = await fetch(daemon.url(`/spool/${name}/0/status`));
        await body?.cancel();
        if (status === 503) break;
      }
      times.push(performance.now() - renamed);
      await rest(5);
    }
  } finally {
    isDone = true;
    await load;
  }
  return times;
}

/** Starts a prober. The function that it returns stops it, and returns the time of the slowest response. */
function startProber(port: number): () => Promise<number> {
  const prober = new URL("./prober.ts", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-net=127.0.0.1", prober, String(port)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  return async () => {
    await process.stdin.close();
    const { success, stdout } = await process.output();
    if (!success) throw new Error("the prober failed");
    return Number(new TextDecoder().decode(stdout));
  };
}

/** Measures how long responses take while many records come or go at once. */
function floodRow(name: string, change: "come" | "go"): Row {
  const limit = { most: 250 };
  return {
    name,
    work: `slowest response while ${FLOOD} records ${change} at once`,
    against: "—",
    limit,
    measure: async (options) => {
      await using daemon = await startDaemon(options, { records: change === "go" ? FLOOD : 0 });
      using folder = new TempFolder();
      if (change === "come") manyRecords(folder.path, FLOOD);
      const hasRecords = async (records: number) => {
        const { body } = await daemon.get("/status");
        return JSON.parse(body).spool.records === records;
      };
      if (change === "go") {
        await until("all records are known", () => hasRecords(FLOOD), 600_000, 50);
      }
      const stop = startProber(daemon.port);
      await rest(500);
      const startedAt = performance.now();
      const move = `cd ${folder.path} && find . -type f -print0 | xargs -0 mv -t ${daemon.spool}`;
      const remove = `find ${daemon.spool} -type f -delete`;
      const { code, stderr } = await run("sh", ["-ec", change === "come" ? move : remove]);
      if (code !== 0) throw new Error(stderr);
      const left = change === "come" ? FLOOD : 0;
      await until("all changes are known", () => hasRecords(left), 600_000, 50);
      const took = performance.now() - startedAt;
      const worst = await stop();
      return {
        own: `${rounded(worst)} ms`,
        rival: "",
        ratio: `known after ${rounded(took / 1000)} s`,
        holds: isWithin(worst, limit),
      };
    },
  };
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** The rows of this module. */
export const costRows: readonly Row[] = [
  memoryRow("memory", "memory after start", 0),
  memoryRow("memory-million", "memory after 1,000,000 requests", 1_000_000),
  MEMORY_OF_MANY,
  START,
  STATUS,
  DOWNED,
  visibleRow("visible-median", "median", median, { most: 2 }),
  visibleRow("visible-worst", "worst", (times) => Math.max(...times), { most: 50 }),
  floodRow("records-come", "come"),
  floodRow("records-go", "go"),
];
