/**
 * The daemon.
 *
 * @module
 */

import { type Counters, newCounters } from "./src/metrics/counters.ts";
import { canonicalAddress } from "./src/net/addresses.ts";
import {
  adviceOn,
  ConfigError,
  expiryAdvice,
  type LoadedSettings,
  loadSettings,
  Restrictions,
  type Settings,
} from "./src/config.ts";
import { escapeControls } from "./src/control_characters.ts";
import {
  DescriptorCounter,
  DescriptorsError,
  ensureDescriptors,
} from "./src/server/descriptors.ts";
import {
  DESCRIPTORS_PER_WORKER,
  Instance,
  type InstanceOptions,
  type Listening,
  StartError,
} from "./src/daemon/instance.ts";
import { requireTestedDeno } from "./src/deno_release.ts";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "./src/flags.ts";
import { type DaemonLog, type Log, LogError, openLog, surviveUncaughtErrors } from "./src/log.ts";
import { nonlocalBind, nonlocalBindWarning } from "./src/net/local_addresses.ts";
import { PermissionError, Permissions } from "./src/daemon/permissions.ts";
import { DEFAULT_SPOOL_ROOT, SpoolStore } from "./src/spool/store.ts";
import { Supervisor } from "./src/daemon/supervisor.ts";
import { VERSION } from "./src/version.ts";

const USAGE =
  `hacheck [-c FILE] [-p PORT]... [-A PORT] [-B ADDRESS] [-n PROCESSES] [-S] [--spool-root DIR] [-v] [--version] [--help]

Answers the health checks of HAProxy: down for what is marked down in the spool, else what the service says.

  -c, --config-file FILE    configuration, in YAML
  -p, --port PORT           port to listen on, may be repeated (default 3333)
  -A, --agent-port PORT     port to answer agent checks on (default not at all)
  -B, --bind-address IP     address to listen on (default 0.0.0.0)
  -n, --processes N         event loops that serve side by side (default 1); also --num-procs
  -S, --skip-spool-in-checks
                            checks but those of /spool speak of services alone, whatever is marked
      --spool-root DIR      where downtimes are kept (default ${DEFAULT_SPOOL_ROOT})
  -v, --verbose             log every request
      --version             print the version
      --help                print this`;

const FLAGS = {
  "config-file": { short: "c", takesValue: true, isOld: true },
  port: { short: "p", takesValue: true, isOld: true },
  "agent-port": { short: "A", takesValue: true },
  "bind-address": { short: "B", takesValue: true, isOld: true },
  processes: { short: "n", takesValue: true, alias: "num-procs" },
  "skip-spool-in-checks": { short: "S", takesValue: false },
  "spool-root": { takesValue: true, isOld: true },
  verbose: { short: "v", takesValue: false, isOld: true },
  version: { takesValue: false },
  help: { short: "h", takesValue: false },
};

/** What a command line asks for. */
interface Options extends Omit<InstanceOptions, "descriptors" | "permissions"> {
  readonly configPath: string | null;
  readonly agentPort: number | null;
  readonly spoolInChecks: boolean;
  readonly processes: number;
}

async function optionsOf(line: CommandLine): Promise<Options> {
  if (line.operands.length > 0) throw new UsageError(`Unexpected argument: ${line.operands[0]}`);
  const address = line.one("bind-address") ?? "0.0.0.0";
  if (address !== "0.0.0.0" && address !== "::" && canonicalAddress(address) === undefined) {
    throw new UsageError(
      `Bad -B: expected an IPv4 or IPv6 address: received ${JSON.stringify(address)}`,
    );
  }
  const given = line.all("port").map((text) => wholeNumber("-p", text, 0, 65535));
  const ports = given.length > 0 ? given : [3333];
  const agents = line.one("agent-port");
  const agentPort = agents === undefined ? null : wholeNumber("-A", agents, 0, 65535);
  requireDistinctPort("-A", agentPort, ports);
  return {
    configPath: line.one("config-file") ?? null,
    agentPort,
    spoolInChecks: !line.has("skip-spool-in-checks"),
    processes: wholeNumber("-n", line.one("processes") ?? "1", 1, MAX_PROCESSES),
    ports,
    address,
    spoolRoot: await absolute(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT),
    verbose: line.has("verbose"),
    startedAt: Date.now() / 1000,
    shared: false,
  };
}

/** More event loops than any host has processors would only cost memory. */
const MAX_PROCESSES = 256;

/** For how many event loops there have to be so many: to find out takes 10 ms for each. */
const MAX_LOOPS_COUNTED = 4;

/** A folder's path from the root on. What resolves one starts Deno's Node layer, which takes 12 ms. */
async function absolute(path: string): Promise<string> {
  if (/^(?:\/[^/.][^/]*)+$/.test(path)) return path;
  return (await import("node:path")).resolve(path);
}

/** The daemon's event loops, be they one or many. */
interface Serving {
  readonly listening: Listening;
  configure(settings: Settings): void;
  stop(): Promise<void>;
}

async function serve(
  { processes, ...options }: Omit<InstanceOptions, "descriptors"> & { readonly processes: number },
  settings: Settings,
  log: Log,
  counters: Counters,
): Promise<Serving> {
  const { spoolRoot } = options;
  await ensureDescriptors(settings.config.rlimit_nofile, spoolRoot);
  if (processes > 1) {
    const enough = DESCRIPTORS_PER_WORKER * Math.min(processes, MAX_LOOPS_COUNTED);
    const descriptors = new DescriptorCounter(enough, spoolRoot).count();
    return await Supervisor.start(processes, { ...options, descriptors }, settings, log);
  }
  const loop = new Instance({ ...options, descriptors: null }, settings, log, undefined, counters);
  const listening = await loop.listen();
  return { listening, configure: (settings) => loop.configure(settings), stop: () => loop.stop() };
}

/** Creates the spool where that is permitted, and possible: who reads it tells if it is not there. */
function createSpool({ spoolRoot }: Options): void {
  try {
    new SpoolStore(spoolRoot).create();
  } catch {
    // It is for the operator to create.
  }
}

/** Resolves with the signal that is to stop the daemon. */
function stopped(): Promise<Deno.Signal> {
  const signals: Deno.Signal[] = ["SIGTERM", "SIGINT", "SIGQUIT"];
  return new Promise((resolve) => {
    for (const signal of signals) Deno.addSignalListener(signal, () => resolve(signal));
  });
}

/** How often the daemon looks whether its certificate expires soon, in milliseconds. */
const EXPIRY_EVERY_MS = 86_400_000;

/** Warns of the certificate in force once a day, as it does at the start. */
function warnOfExpiry({ identity }: Settings, log: Log): void {
  if (identity === null) return;
  setInterval(() => {
    for (const advice of expiryAdvice(identity, Date.now())) log.warning("{advice}", { advice });
  }, EXPIRY_EVERY_MS);
}

/** Reads the configuration again whenever it is asked to. One that cannot be used changes nothing. */
function reloadOnHangup(
  options: Options,
  permissions: Permissions,
  { identity, config }: Settings,
  starting: Promise<Serving>,
  log: DaemonLog,
  counters: Counters,
): void {
  const { agent_port } = config;
  const restrictions = new Restrictions(config);
  Deno.addSignalListener("SIGHUP", async () => {
    try {
      const serving = await starting;
      const settings = loadSettings(options.configPath, (config) => {
        permissions.demand(config);
        restrictions.demand(config);
      });
      openLog(settings, options.verbose, counters.errors, log);
      restrictions.add(settings.config);
      // Who listens goes on as who it is, and so do those who take the place of one that died.
      serving.configure({ ...settings, identity });
      if (JSON.stringify(settings.identity) !== JSON.stringify(identity)) {
        log.warning("tls_cert and tls_key have changed: hacheck must be started again for them");
      }
      if (settings.config.agent_port !== agent_port && options.agentPort === null) {
        log.warning("agent_port has changed: hacheck must be started again for it");
      }
      logConfigWarnings(settings, options, log);
      log.info("the configuration was read again");
    } catch (error) {
      if (!isRefusal(error)) throw error;
      log.error("the configuration stays as it was: {why}", { why: error.message });
    }
  });
}

function logConfigWarnings(settings: LoadedSettings, options: Options, log: Log): void {
  const { configPath } = options;
  for (const key of settings.unknownKeys) {
    log.warning("unknown key {key} in {path}", { key, path: configPath });
  }
  for (const advice of adviceOn(settings)) log.warning("{advice}", { advice });
  if (settings.config.own_addresses === null) {
    for (const family of nonlocalBind()) {
      log.warning("{warning}", { warning: nonlocalBindWarning(family) });
    }
  }
  const isInChecks = options.spoolInChecks && settings.config.spool_in_checks;
  if (!isInChecks && agentPortOf(options, settings) === null) {
    log.warning(
      "without the spool in checks and without agent checks (-A), only /spool tells what is marked down",
    );
  }
}

/** The port of agent checks, which the command line may give in the place of the configuration. */
function agentPortOf({ agentPort }: Options, { config }: Settings): number | null {
  return agentPort ?? config.agent_port;
}

/** Refuses a port for agent checks on which others are answered: event loops would share it all the same. */
function requireDistinctPort(what: string, port: number | null, ports: readonly number[]): void {
  if (port === null || port === 0 || !ports.includes(port)) return;
  throw new UsageError(`Bad ${what}: expected another port than those of -p: received ${port}`);
}

/** Tells what an operator did wrong from what went wrong in the program. */
function isRefusal(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof ConfigError ||
    error instanceof PermissionError || error instanceof StartError ||
    error instanceof LogError || error instanceof DescriptorsError;
}

/**
 * Runs the daemon until a signal stops it.
 *
 * @param args The command line.
 * @returns The exit code: 0 after a stop, 2 if it was told wrongly, 1 if it could not start.
 */
export async function main(args: readonly string[]): Promise<number> {
  let opened: DaemonLog | undefined;
  try {
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) return say(USAGE);
    if (line.has("version")) return say(`hacheck ${VERSION}`);
    const options = await optionsOf(line);
    const permissions = new Permissions(options);
    permissions.demand();
    const settings = loadSettings(options.configPath, (config) => permissions.demand(config));
    const agentPort = agentPortOf(options, settings);
    requireDistinctPort("agent_port", agentPort, options.ports);
    const counters = newCounters();
    const log = opened = openLog(settings, options.verbose, counters.errors);
    logConfigWarnings(settings, options, log);
    surviveUncaughtErrors(log, counters.errors);
    createSpool(options);
    const inForce = permissions.giveUp(settings.config, log);
    const stop = stopped();
    const starting = serve(
      { ...options, agentPort, permissions: inForce },
      settings,
      log,
      counters,
    );
    // From the start on: a hangup that nobody hears ends a program.
    warnOfExpiry(settings, log);
    reloadOnHangup(options, permissions, settings, starting, log, counters);
    const serving = await starting;
    const { addresses, agents } = serving.listening;
    for (const address of addresses) {
      log.info("hacheck {version} listens on {hostname} port {port}", {
        version: VERSION,
        ...address,
      });
    }
    if (agents !== null) {
      log.info("agent checks are answered on {hostname} port {port}", { ...agents });
    }
    log.info("stopping on {signal}", { signal: await stop });
    await serving.stop();
    return 0;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    await opened?.flush();
    console.error(`hacheck: ${escapeControls(error.message)}`);
    return error instanceof UsageError || error instanceof ConfigError ? 2 : 1;
  } finally {
    await opened?.flush();
  }
}

function say(text: string): number {
  console.log(text);
  return 0;
}

if (import.meta.main) {
  requireTestedDeno("hacheck");
  Deno.exit(await main(Deno.args));
}
