/**
 * The measured servers.
 *
 * @module
 */

import { V8_HEAP_FLAGS } from "../../deploy/_programs.ts";
import { minimalDaemonFlags } from "../../src/daemon/permissions.ts";
import { SpoolStore } from "../../src/spool/store.ts";
import { Daemon } from "../support/programs.ts";
import { freePort, until } from "../servers/mod.ts";
import { Nginx } from "../servers/nginx.ts";
import { manyRecords } from "./conditions.ts";
import type { Options } from "./rows.ts";

const RIVALS = new URL("./rivals/", import.meta.url).pathname;

/** A server in a process of its own. */
export interface Server extends AsyncDisposable {
  /** Its port on 127.0.0.1. */
  readonly port: number;
  /** The id of its process. */
  readonly pid: number;
}

/** The setup of a daemon. */
export interface DaemonSetup {
  /** The services with a downtime. */
  readonly down?: readonly string[];
  /** The number of further records. */
  readonly records?: number;
  /** `max_clients`. */
  readonly maxClients?: number;
  /** The number of workers. */
  readonly workers?: number;
}

/**
 * Starts the daemon as operators run it.
 *
 * @param options The options of the measurement.
 * @param setup The setup of the daemon.
 */
export async function startDaemon(
  { programs }: Options,
  { down = [], records = 0, maxClients = 256, workers = 1 }: DaemonSetup,
): Promise<Daemon> {
  const home = programs.hacheck.slice(0, programs.hacheck.lastIndexOf("/"));
  const daemon = await Daemon.start({
    entry: programs.hacheck,
    config: `max_clients: ${maxClients}\n`,
    args: workers > 1 ? ["-n", String(workers)] : [],
    grants: [
      V8_HEAP_FLAGS,
      ...workers > 1 ? [`--allow-read=${home},${home.replace(/src$/, "deno.json")}`] : [],
    ],
  });
  manyRecords(daemon.spool, records);
  const store = new SpoolStore(daemon.spool);
  for (const service of down) {
    await store.set(service, { mode: "down", reason: "maint", expiration: null });
    // With thousands of other records, the daemon takes a moment to read the new one.
    await until(`${service} is down`, async () => {
      return (await daemon.get(`/spool/${service}/0/status`)).status === 503;
    });
  }
  return daemon;
}

/** Starts the service to check. */
export function startService(): Promise<Nginx> {
  return Nginx.start((address) =>
    `server { listen ${address} backlog=4096; location / { return 200 "fine"; } }`
  );
}

/** Returns the command line of a daemon with the default setup. */
export function daemonCommand(
  { programs }: Options,
  spool: string,
  port: number,
): readonly string[] {
  return [
    ...[Deno.execPath(), "run", V8_HEAP_FLAGS, ...minimalDaemonFlags(spool), programs.hacheck],
    ...["-B", "127.0.0.1", "-p", String(port), "--spool-root", spool],
  ];
}

/** Returns the command line of a rival. */
export function rivalCommand(
  name: string,
  port: number,
  args: readonly string[] = [],
): readonly string[] {
  const flags = ["--no-prompt", "--allow-net", `--allow-read=${RIVALS}`, "--unstable-net"];
  return [Deno.execPath(), "run", ...flags, `${RIVALS}${name}.ts`, String(port), ...args];
}

/**
 * Starts a rival.
 *
 * @param name The name of its file in `rivals/`.
 * @param args Its arguments after the port.
 */
export function startRival(name: string, args: readonly string[] = []): Promise<Server> {
  return start((port) => rivalCommand(name, port, args));
}

/** Starts Debian's prometheus-blackbox-exporter. */
export function blackboxExporter(): Promise<Server> {
  return start((port) => [
    "prometheus-blackbox-exporter",
    "--config.file=/etc/prometheus/blackbox.yml",
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
}

async function start(commandOn: (port: number) => readonly string[]): Promise<Server> {
  const port = freePort();
  const [program, ...args] = commandOn(port);
  const stdio = { stdin: "null", stdout: "null", stderr: "null" } as const;
  const process = new Deno.Command(program!, { args, ...stdio }).spawn();
  const stop = async () => {
    process.kill("SIGKILL");
    await process.status;
  };
  try {
    await until(`${program} listens`, async () => {
      using _connection = await Deno.connect({ hostname: "127.0.0.1", port });
      return true;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, pid: process.pid, [Symbol.asyncDispose]: stop };
}
