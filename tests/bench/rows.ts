/**
 * The rows of the table: what hacheck does, what that is measured against, and what the ratio is to be.
 *
 * @module
 */

import { type Daemon, TempFolder } from "../support/programs.ts";
import { changingRecords, hangingChecks } from "./conditions.ts";
import { compared, inTurns, type Limit, type Result } from "./compare.ts";
import { costRows } from "./costs.ts";
import { blackboxExporter, startDaemon, startRival, startService } from "./servers.ts";
import { type Load, type Report, wrk } from "./wrk.ts";

/** How to measure. */
export interface Options {
  /** How often each of two is measured. */
  readonly rounds: number;
  /** For how many seconds each time. */
  readonly seconds: number;
  /** The programs' modules, as they are installed. */
  readonly programs: { readonly hacheck: string; readonly hactl: string };
}

/** A row. */
export interface Row {
  /** What `--only` knows it by. */
  readonly name: string;
  /** What hacheck does. */
  readonly work: string;
  /** What that is measured against. */
  readonly against: string;
  /** What the ratio is to be. */
  readonly limit: Limit;
  /** Measures it. */
  readonly measure: (options: Options) => Promise<Result>;
}

/** What balancers ask for most. */
interface HotPath {
  readonly name: string;
  readonly work: string;
  readonly path: string;
  readonly isDown: boolean;
}

/** The service that is marked down. */
const DOWN = "down";

const HOT_PATHS: readonly HotPath[] = [
  { name: "spool-up", work: "`/spool/…`, up", path: "/spool/web/0/status", isDown: false },
  { name: "spool-down", work: "`/spool/…`, down", path: `/spool/${DOWN}/0/status`, isDown: true },
  { name: "http-cached", work: "`/http/…`, cached", path: "/http/web/0/status", isDown: false },
];

/** A load on one server. */
type Target = Pick<Load, "url" | "headers" | "connections" | "threads"> & {
  /** Whether every answer is to be down, or none. */
  readonly isDown: boolean;
};

/** What HAProxy says of a server. */
function state(port: number): Record<string, string> {
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
  return { url, headers: state(service), connections: 32, isDown };
}

/** Puts a load on a server, and makes sure that the answers are what they should be. */
async function bear({ isDown, ...load }: Target, { seconds }: Options): Promise<Report> {
  const report = await wrk({ ...load, seconds });
  if (report.down === (isDown ? report.answers : 0)) return report;
  throw new Error(`${load.url} said down ${report.down} times of ${report.answers}`);
}

/** Compares how many answers a second two servers give. */
async function rates(
  own: Target,
  rival: Target,
  limit: Limit,
  options: Options,
  { ofOwn = nothing, ofRival = nothing }: During = {},
): Promise<Result> {
  // The first answers, and those of a program not compiled yet, are nobody's measure.
  for (const target of [own, rival]) await bear(target, { ...options, seconds: 1 });
  const measured = await inTurns(options.rounds, async () => {
    await using _condition = await ofOwn();
    return (await bear(own, options)).rate;
  }, async () => {
    await using _condition = await ofRival();
    return (await bear(rival, options)).rate;
  });
  return compared(measured, limit, "/s");
}

/** What goes on while hacheck is measured, and while the rival is. */
interface During {
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

/** What makes a daemon's life harder while it is asked. */
interface Condition {
  readonly name: string;
  readonly when: string;
  readonly limit: Limit;
  /** How many records there are in its spool all the time. */
  readonly records?: number;
  /** What happens while it is measured. */
  readonly during?: (daemon: Daemon) => Promise<AsyncDisposable>;
  /** What happens meanwhile that is not its business, and costs the machine as much. */
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

/** The slowest answers while checks hang. */
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
        return (await bear(own!, options)).p99;
      }, async () => (await bear(other!, options)).p99);
      return compared(measured, limit, "ms");
    },
  };
}

/** A check that asks the service each time. */
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

// Each has a service to itself: the connections that one of them has closed make it slower for a while to
// open others to the same port, and the faster one would have the slower pay for them.

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
    await using daemon = await startDaemon(options, { loops: 2 });
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
