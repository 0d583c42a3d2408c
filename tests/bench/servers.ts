/**
 * The servers that are measured.
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
  /** The port of 127.0.0.1 that it listens on. */
  readonly port: number;
  /** Its process. */
  readonly pid: number;
}

/** How the daemon is to be. */
export interface DaemonSetup {
  /** The services that are marked down. */
  readonly down?: readonly string[];
  /** How many records there are beside. */
  readonly records?: number;
  /** `max_clients`. */
  readonly maxClients?: number;
  /** How many event loops serve. */
  readonly loops?: number;
}

/**
 * Starts the daemon as operators run it.
 *
 * @param options Where it is installed.
 * @param setup How it is to be.
 */
export async function startDaemon(
  { programs }: Options,
  { down = [], records = 0, maxClients = 256, loops = 1 }: DaemonSetup,
): Promise<Daemon> {
  const home = programs.hacheck.slice(0, programs.hacheck.lastIndexOf("/"));
  const daemon = await Daemon.start({
    entry: programs.hacheck,
    config: `max_clients: ${maxClients}\n`,
    args: loops > 1 ? ["-n", String(loops)] : [],
    grants: [
      V8_HEAP_FLAGS,
      ...loops > 1 ? [`--allow-read=${home},${home.replace(/src$/, "deno.json")}`] : [],
    ],
  });
  manyRecords(daemon.spool, records);
  const store = new SpoolStore(daemon.spool);
  for (const service of down) {
    await store.set(service, { mode: "down", reason: "maint", expiration: null });
    // Behind thousands of other records, it takes the daemon a moment to come to it.
    await until(`${service} is down`, async () => {
      return (await daemon.get(`/spool/${service}/0/status`)).status === 503;
    });
  }
  return daemon;
}

/** Starts the service that is checked. */
export function startService(): Promise<Nginx> {
  return Nginx.start((address) =>
    `server { listen ${address} backlog=4096; location / { return 200 "fine"; } }`
  );
}

/** The command line of a daemon without anything special. */
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

/** The command line of one of the programs that hacheck is measured against. */
export function rivalCommand(
  name: string,
  port: number,
  args: readonly string[] = [],
): readonly string[] {
  const flags = ["--no-prompt", "--allow-net", `--allow-read=${RIVALS}`, "--unstable-net"];
  return [Deno.execPath(), "run", ...flags, `${RIVALS}${name}.ts`, String(port), ...args];
}

/**
 * Starts one of the programs that hacheck is measured against.
 *
 * @param name The name of its file in `rivals/`.
 * @param args Its arguments after the port.
 */
export function startRival(name: string, args: readonly string[] = []): Promise<Server> {
  return start((port) => rivalCommand(name, port, args));
}

/** Starts Debian's prober. */
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
