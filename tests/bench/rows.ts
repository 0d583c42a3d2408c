/**
 * The rows of the table: the work of hacheck, the rival, and the limits of the ratio.
 *
 * @module
 */

import { type Daemon, TempFolder } from "../support/programs.ts";
import { changingRecords, hangingChecks } from "./conditions.ts";
import { compared, inTurns, type Limit, type Result } from "./compare.ts";
import { costRows } from "./costs.ts";
import { blackboxExporter, startDaemon, startRival, startService } from "./servers.ts";
import { type Load, type Report, wrk } from "./wrk.ts";

/** The options of a measurement. */
export interface Options {
  /** The number of measurements of each program. */
  readonly rounds: number;
  /** The duration of each measurement, in seconds. */
  readonly seconds: number;
  /** The entry modules of the installed programs. */
  readonly programs: { readonly hacheck: string; readonly hactl: string };
}

/** A row of the table. */
export interface Row {
  /** The name for `--only`. */
  readonly name: string;
  /** The work of hacheck. */
  readonly work: string;
  /** The rival. */
  readonly against: string;
  /** The limits of the ratio. */
  readonly limit: Limit;
  /** Measures the row. */
  readonly measure: (options: Options) => Promise<Result>;
}

/** A frequent check of load balancers. */
interface HotPath {
  readonly name: string;
  readonly work: string;
  readonly path: string;
  readonly isDown: boolean;
}

/** The service with a downtime. */
const DOWN = "down";

const HOT_PATHS: readonly HotPath[] = [
  { name: "spool-up", work: "`/spool/…`, up", path: "/spool/web/0/status", isDown: false },
  { name: "spool-down", work: "`/spool/…`, down", path: `/spool/${DOWN}/0/status`, isDown: true },
  { name: "http-cached", work: "`/http/…`, cached", path: "/http/web/0/status", isDown: false },
];

/** A load on one server. */
type Target = Pick<Load, "url" | "headers" | "connections" | "threads"> & {
  /** Whether every response must be down, or none. */
  readonly isDown: boolean;
};

/** Returns the headers that HAProxy sends with a check. */
function haproxyHeaders(port: number): Record<string, string> {
  return {
    "X-Haproxy-Server-State": `UP 1/3; address=127.0.0.1; port=${port}; name=web/a; node=lb1; ` +
      "weight=1/1; scur=0/0; qcur=0",
  };
}

function hot(
  { path, isDown }: HotPath,
  server: { readonly port: number },
  service: number,
): Target {
  const url = `http://127.0.0.1:${server.port}${path}`;
  return { url, headers: haproxyHeaders(service), connections: 32, isDown };
}

/** Puts a load on a server, and throws if the responses are not as expected. */
async function measureLoad({ isDown, ...load }: Target, { seconds }: Options): Promise<Report> {
  const report = await wrk({ ...load, seconds });
  const expected = isDown ? report.responses : 0;
  if (report.down === expected) return report;
  throw new Error(
    `${load.url}: expected ${expected} responses to be down: ${report.down} of ${report.responses} were`,
  );
}

/** Compares the responses per second of two servers. */
async function rates(
  own: Target,
  rival: Target,
  limit: Limit,
  options: Options,
  { ofOwn = nothing, ofRival = nothing }: Background = {},
): Promise<Result> {
  // A warm-up: the first responses come from code that is not compiled yet.
  for (const target of [own, rival]) await measureLoad(target, { ...options, seconds: 1 });
  const measured = await inTurns(options.rounds, async () => {
    await using _condition = await ofOwn();
    return (await measureLoad(own, options)).rate;
  }, async () => {
    await using _condition = await ofRival();
    return (await measureLoad(rival, options)).rate;
  });
  return compared(measured, limit, "/s");
}

/** The conditions while hacheck is measured, and while the rival is. */
interface Background {
  readonly ofOwn?: (() => Promise<AsyncDisposable | null>) | undefined;
  readonly ofRival?: (() => Promise<AsyncDisposable | null>) | undefined;
}

function nothing(): Promise<null> {
  return Promise.resolve(null);
}

function againstBare(hotPath: HotPath): Row {
  const limit = { least: 0.85 };
  return {
    name: hotPath.name,
    work: hotPath.work,
    against: "a bare `Deno.serve`",
    limit,
    measure: async (options) => {
      await using service = await startService();
      await using daemon = await startDaemon(options, { down: [DOWN] });
      await using bare = await startRival("bare");
      return await rates(
        hot(hotPath, daemon, service.port),
        { ...hot(hotPath, bare, service.port), isDown: false },
        limit,
        options,
      );
    },
  };
}

/** A condition that makes the work of the daemon harder. */
interface Condition {
  readonly name: string;
  readonly when: string;
  readonly limit: Limit;
  /** The number of records in the spool during the whole measurement. */
  readonly records?: number;
  /** Starts the condition while hacheck is measured. */
  readonly during?: (daemon: Daemon) => Promise<AsyncDisposable>;
  /** Starts the same work in another folder while the rival is measured: it loads the machine as much. */
  readonly elsewhere?: (folder: TempFolder) => Promise<AsyncDisposable>;
}

const CONDITIONS: readonly Condition[] = [
  {
    name: "many-records",
    when: "with 10,000 records",
    limit: { least: 0.95 },
    records: 10_000,
  },
  {
    name: "changing-records",
    when: "while 100 records a second change",
    limit: { least: 0.95 },
    during: (daemon) => changingRecords(daemon.spool, 100),
    elsewhere: (folder) => changingRecords(folder.path, 100),
  },
  {
    name: "hanging-checks",
    when: "while 200 checks hang",
    limit: { least: 0.9 },
    during: (daemon) => hangingChecks(daemon, 200),
  },
];

function underCondition(condition: Condition, hotPath: HotPath): Row {
  const { name, when, limit, records = 0, during, elsewhere } = condition;
  return {
    name: `${hotPath.name}-${name}`,
    work: `${hotPath.work}, ${when}`,
    against: elsewhere === undefined ? "the same without" : "the same, with that in another folder",
    limit,
    measure: async (options) => {
      using folder = new TempFolder();
      await using service = await startService();
      const setup = { down: [DOWN], maxClients: 500 };
      await using daemon = await startDaemon(options, { ...setup, records });
      await using rival = await startDaemon(options, setup);
      return await rates(
        hot(hotPath, daemon, service.port),
        hot(hotPath, rival, service.port),
        limit,
        options,
        {
          ofOwn: during && (() => during(daemon)),
          ofRival: elsewhere && (() => elsewhere(folder)),
        },
      );
    },
  };
}

/** Compares the slowest responses while checks hang. */
function slowest(hotPath: HotPath): Row {
  const limit = { most: 2 };
  return {
    name: `${hotPath.name}-hanging-checks-p99`,
    work: `${hotPath.work}, while 200 checks hang: 99th percentile`,
    against: "the same without",
    limit,
    measure: async (options) => {
      await using service = await startService();
      await using daemon = await startDaemon(options, { down: [DOWN], maxClients: 500 });
      await using rival = await startDaemon(options, { down: [DOWN], maxClients: 500 });
      const [own, other] = [daemon, rival].map((one) => hot(hotPath, one, service.port));
      const measured = await inTurns(options.rounds, async () => {
        await using _condition = await hangingChecks(daemon, 200);
        return (await measureLoad(own!, options)).p99;
      }, async () => (await measureLoad(other!, options)).p99);
      return compared(measured, limit, "ms");
    },
  };
}

/** A check that connects to the service each time. */
interface Uncached {
  readonly name: string;
  readonly work: string;
  readonly protocol: string;
  readonly rival: string;
  readonly module: string;
}

const UNCACHED: readonly Uncached[] = [
  {
    name: "http-uncached",
    work: "`/http/…`, uncached",
    protocol: "http",
    rival: "fetching",
    module: "http_2xx",
  },
  {
    name: "tcp-uncached",
    work: "`/tcp/…`, uncached",
    protocol: "tcp",
    rival: "connecting",
    module: "tcp_connect",
  },
];

const RIVALS: Readonly<Record<string, string>> = {
  fetching: "a `Deno.serve` that fetches on a new connection",
  connecting: "a `Deno.serve` that connects and closes",
};

function uncached(
  { protocol }: Uncached,
  daemon: { readonly port: number },
  service: number,
): Target {
  return {
    url: `http://127.0.0.1:${daemon.port}/${protocol}/web/${service}/`,
    headers: { Pragma: "no-cache" },
    connections: 32,
    isDown: false,
  };
}

// Each program checks its own service: closed connections make new ones to the same port slower for a while,
// which would slow down the other program.

function againstPlain(check: Uncached): Row {
  const limit = { least: 0.85 };
  return {
    name: check.name,
    work: `${check.work}, 32 at a time`,
    against: RIVALS[check.rival]!,
    limit,
    measure: async (options) => {
      await using service = await startService();
      await using other = await startService();
      await using daemon = await startDaemon(options, { maxClients: 64 });
      await using rival = await startRival(check.rival, [String(other.port)]);
      return await rates(
        uncached(check, daemon, service.port),
        {
          url: `http://127.0.0.1:${rival.port}/`,
          connections: 32,
          isDown: false,
        },
        limit,
        options,
      );
    },
  };
}

function againstBlackbox(check: Uncached): Row {
  const limit = { least: 2 };
  return {
    name: `${check.name}-blackbox`,
    work: `${check.work}, 32 at a time`,
    against: "Debian's prometheus-blackbox-exporter",
    limit,
    measure: async (options) => {
      await using service = await startService();
      await using other = await startService();
      await using daemon = await startDaemon(options, { maxClients: 64 });
      await using exporter = await blackboxExporter();
      const target = `127.0.0.1:${other.port}`;
      return await rates(
        uncached(check, daemon, service.port),
        {
          url: `http://127.0.0.1:${exporter.port}/probe?module=${check.module}&target=${target}`,
          connections: 32,
          isDown: false,
        },
        limit,
        options,
      );
    },
  };
}

const TWO_WORKERS: Row = {
  name: "two-workers",
  work: "`/spool/…`, up, with `-n 2`",
  against: "two Workers of a bare `Deno.serve` on one port",
  limit: { least: 0.85 },
  measure: async (options) => {
    const [hotPath] = HOT_PATHS;
    await using daemon = await startDaemon(options, { workers: 2 });
    await using workers = await startRival("two_workers");
    const load = { connections: 64, threads: 2 };
    return await rates(
      { ...hot(hotPath!, daemon, 1), ...load },
      { ...hot(hotPath!, workers, 1), ...load },
      TWO_WORKERS.limit,
      options,
    );
  },
};

/** The table. */
export const ROWS: readonly Row[] = [
  ...HOT_PATHS.map(againstBare),
  ...CONDITIONS.flatMap((condition) => HOT_PATHS.map((path) => underCondition(condition, path))),
  ...HOT_PATHS.map(slowest),
  ...UNCACHED.map(againstPlain),
  ...UNCACHED.map(againstBlackbox),
  TWO_WORKERS,
  ...costRows,
];
