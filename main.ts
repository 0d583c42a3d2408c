/**
 * The daemon.
 *
 * @module
 */

import { CheckTracer } from "./src/checks/traces.ts";
import { type Counters, newCounters } from "./src/metrics/counters.ts";
import { canonicalAddress } from "./src/net/addresses.ts";
import {
  closestKey,
  ConfigError,
  configWarnings,
  expiryWarnings,
  formatConfig,
  type LoadedSettings,
  loadSettings,
  Restrictions,
  type Settings,
} from "./src/config.ts";
import { escapeControls } from "./src/text/control_characters.ts";
import { requireTestedDeno } from "./src/runtime/deno_release.ts";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "./src/flags.ts";
import { DaemonLog, type Log, LogError, surviveUncaughtErrors } from "./src/log/log.ts";
import { nonlocalBind, nonlocalBindWarning } from "./src/net/local_addresses.ts";
import {
  DESCRIPTORS_PER_WORKER,
  Instance,
  type InstanceOptions,
  StartError,
} from "./src/daemon/instance.ts";
import { absolute, PermissionError, Permissions } from "./src/daemon/permissions.ts";
import type { Notifier } from "./src/daemon/notifier.ts";
import { type NotifyOptions, notifyOptions } from "./src/daemon/notify_options.ts";
import { Supervisor } from "./src/daemon/supervisor.ts";
import {
  DescriptorCounter,
  DescriptorsError,
  ensureDescriptors,
} from "./src/server/descriptors.ts";
import { DEFAULT_SPOOL_ROOT, SpoolStore } from "./src/spool/store.ts";
import { VERSION } from "./src/runtime/version.ts";

const USAGE =
  `hacheck [-c FILE] [-p PORT]... [-A PORT] [-B ADDRESS] [-n WORKERS] [-S] [--spool-root DIR] [-v]
        [--check-config] [--print-config] [--version] [--help]

Answers the health checks of HAProxy. A service that a record in the spool takes out is down; any other is checked.

  -c, --config-file FILE    configuration, in YAML
  -p, --port PORT           port to listen on, may be repeated (default 3333)
  -A, --agent-port PORT     port for agent checks (default none)
  -B, --bind-address IP     address to listen on (default 0.0.0.0)
  -n, --processes WORKERS   number of workers (default 1); also --num-procs
  -S, --skip-spool-in-checks
                            ignore records in all checks but those of /spool
      --spool-root DIR      folder of the records (default ${DEFAULT_SPOOL_ROOT})
  -v, --verbose             log every request
      --check-config        check the configuration, and exit 0 if it is valid, 2 otherwise
      --print-config        print the configuration with all defaults, without the secrets
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
  "check-config": { takesValue: false },
  "print-config": { takesValue: false },
  version: { takesValue: false },
  help: { short: "h", takesValue: false },
};

/** More workers than any host has processors would only cost memory. */
const MAX_WORKERS = 256;

/** For how many workers descriptors are counted at most: each takes 10 ms. */
const MAX_WORKERS_COUNTED = 4;

/** A parsed command line. */
interface Options extends Omit<InstanceOptions, "descriptors" | "permissions"> {
  readonly configPath: string | null;
  readonly notifySocket: string | null;
  readonly agentPort: number | null;
  readonly spoolInChecks: boolean;
  readonly workers: number;
  readonly isBundled: boolean;
}

function optionsOf(line: CommandLine): Options {
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
    isBundled: !import.meta.url.endsWith(".ts"),
    notifySocket: null,
    workers: wholeNumber("-n", line.one("processes") ?? "1", 1, MAX_WORKERS),
    ports,
    address,
    spoolRoot: absolute(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT),
    verbose: line.has("verbose"),
    startedAt: Date.now() / 1000,
    shared: false,
  };
}

/** Rejects a port for agent checks that is also one for HTTP: workers would share it unnoticed. */
function requireDistinctPort(what: string, port: number | null, ports: readonly number[]): void {
  if (port === null || port === 0 || !ports.includes(port)) return;
  throw new UsageError(`Bad ${what}: expected another port than those of -p: received ${port}`);
}

/** One worker, or the supervisor of several. */
type Serving =
  & Pick<Supervisor, "listening" | "configure" | "refuseReload" | "stop">
  & Partial<Pick<Supervisor, "failed">>;

async function serve(
  { workers, ...options }: Omit<InstanceOptions, "descriptors"> & { readonly workers: number },
  settings: Settings,
  log: Log,
  counters: Counters,
): Promise<Serving> {
  const { spoolRoot } = options;
  await ensureDescriptors(settings.config.rlimit_nofile, spoolRoot);
  if (workers > 1) {
    const enough = DESCRIPTORS_PER_WORKER * Math.min(workers, MAX_WORKERS_COUNTED);
    const descriptors = new DescriptorCounter(enough, spoolRoot).count();
    return await Supervisor.start(workers, { ...options, descriptors }, settings, log);
  }
  const instance = new Instance({ ...options, descriptors: null }, settings, log, counters);
  await instance.listen();
  return instance;
}

/** Creates the spool folder, if the daemon may. The instance reports a missing one. */
function createSpool({ spoolRoot }: Options): void {
  try {
    new SpoolStore(spoolRoot).create();
  } catch {
    // The operator creates it.
  }
}

/** Resolves with the signal that stops the daemon. */
function stopSignal(): Promise<Deno.Signal> {
  const signals: Deno.Signal[] = ["SIGTERM", "SIGINT", "SIGQUIT"];
  return new Promise((resolve) => {
    for (const signal of signals) Deno.addSignalListener(signal, () => resolve(signal));
  });
}

/** Opens what notifies systemd; null without systemd. */
async function openNotifier(options: NotifyOptions | null, log: Log): Promise<Notifier | null> {
  if (options === null) return null;
  const { Notifier } = await import("./src/daemon/notifier.ts");
  try {
    return new Notifier(options, log);
  } catch (error) {
    throw new StartError(`Cannot notify systemd at ${options.socket}: ${(error as Error).message}`);
  }
}

/** The line for `systemctl status`. */
function statusOf(addresses: readonly Deno.NetAddr[], what: string): string {
  const ports = [...new Set(addresses.map(({ port }) => port))].join(", ");
  return `hacheck ${VERSION} serves port ${ports}; ${what}`;
}

/** How long the other workers may finish their requests after one has failed, in milliseconds. */
const FAILURE_STOP_MS = 500;

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** How often the expiry of the certificate is checked, in milliseconds. */
const EXPIRY_CHECK_MS = 86_400_000;

/** Warns every day of a certificate that expires soon. The warning at the start is part of `configWarnings`. */
function watchExpiry(identity: () => Settings["identity"], log: Log): void {
  setInterval(() => logWarnings(expiryWarnings(identity(), Date.now()), log), EXPIRY_CHECK_MS);
}

/**
 * Loads the configuration again at each SIGHUP. An invalid one changes nothing.
 *
 * @returns A function that returns the settings in force.
 */
function reloadOnHangup(
  options: Options,
  permissions: Permissions,
  first: Settings,
  starting: Promise<Serving>,
  log: DaemonLog,
  notifier: Notifier | null,
): () => Settings {
  const { config } = first;
  const restrictions = new Restrictions(config);
  let inForce = first;
  Deno.addSignalListener("SIGHUP", async () => {
    const serving = await starting;
    const { addresses } = serving.listening;
    notifier?.reloading();
    try {
      const settings = loadSettings(options.configPath, (config) => {
        permissions.demand(config);
        restrictions.demand(config);
      });
      log.reopen(settings.config);
      restrictions.add(settings.config);
      const isTlsChanged = (settings.identity === null) !== (first.identity === null);
      if (isTlsChanged) {
        log.warning("tls_cert and tls_key were added or removed: restart hacheck for that");
      }
      inForce = isTlsChanged ? { ...settings, identity: inForce.identity } : settings;
      serving.configure(inForce);
      if (settings.config.agent_port !== config.agent_port && options.agentPort === null) {
        log.warning("agent_port has changed: restart hacheck to use it");
      }
      logConfigWarnings(settings, options, log);
      logHostWarnings(settings, log);
      log.info("the configuration was read again");
      notifier?.ready(statusOf(addresses, "the configuration was read again"));
    } catch (error) {
      if (!isOperatorError(error)) throw error;
      serving.refuseReload();
      notifier?.ready(statusOf(addresses, `a new configuration was refused: ${error.message}`));
      log.error("the configuration stays as it was: {why}", { why: error.message });
    }
  });
  return () => inForce;
}

function logConfigWarnings(settings: LoadedSettings, options: Options, log: Log): void {
  const { configPath } = options;
  for (const unknown of settings.unknownKeys) {
    // Another file may have been named by mistake: its lines may be secrets.
    const key = /^[\w.-]{1,64}$/.test(unknown) ? unknown : "(not a name)";
    const near = closestKey(key);
    const hint = near === undefined ? "" : ": did you mean {near}?";
    log.warning(`unknown key {key} in {path}${hint}`, { key, path: configPath, near });
  }
  logWarnings(configWarnings(settings, agentPortOf(options, settings)), log);
  const isInChecks = options.spoolInChecks && settings.config.spool_in_checks;
  if (!isInChecks && agentPortOf(options, settings) === null) {
    log.warning(
      "records affect neither checks of services (-S or spool_in_checks) nor agent checks (-A): " +
        "only /spool reports them",
    );
  }
}

/** Warns of a setting of this host that hides its addresses from the daemon, and of a missing variable. */
function logHostWarnings({ config }: Settings, log: Log): void {
  if (config.own_addresses === null) logWarnings(nonlocalBind().map(nonlocalBindWarning), log);
  if (config.forward_traceparent && CheckTracer.find(true) === undefined) {
    log.warning("forward_traceparent has no effect without OTEL_DENO=true in the environment");
  }
}

function logWarnings(warnings: readonly string[], log: Log): void {
  for (const warning of warnings) log.warning("{warning}", { warning });
}

/** The port for agent checks: the command line overrides the configuration. */
function agentPortOf({ agentPort }: Options, { config }: Settings): number | null {
  return agentPort ?? config.agent_port;
}

/**
 * Loads the configuration that a daemon starts with.
 *
 * @param isServing Whether this run serves, which needs more permissions.
 */
function loadChecked(
  options: Options,
  permissions: Permissions,
  isServing: boolean,
): LoadedSettings {
  permissions.demand(undefined, isServing);
  const settings = loadSettings(
    options.configPath,
    (config) => permissions.demand(config, isServing),
  );
  requireDistinctPort("agent_port", agentPortOf(options, settings), options.ports);
  return settings;
}

/** Checks the configuration as a start does, without the spool, a port or the log, and prints the warnings. */
async function inspectConfig(options: Options, isPrinted: boolean): Promise<number> {
  const settings = loadChecked(options, new Permissions(options), false);
  using log = new DaemonLog({ log_path: "stderr", log_format: "text" }, false);
  logConfigWarnings(settings, options, log);
  await log.flush();
  if (isPrinted) return print(formatConfig(settings.config).trimEnd());
  return print(`${options.configPath ?? "no -c: the defaults"}: valid`);
}

/** Whether an error is for the operator to resolve, and not internal. */
function isOperatorError(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof ConfigError ||
    error instanceof PermissionError || error instanceof StartError ||
    error instanceof LogError || error instanceof DescriptorsError;
}

/**
 * Runs the daemon until a signal stops it.
 *
 * @param args The command line.
 * @returns The exit status: 0 after a stop, 1 if the daemon cannot start or a worker hangs, 2 for invalid usage or configuration. With
 * `--check-config` or `--print-config`, 0 for a valid configuration and 2 for any other.
 */
export async function main(args: readonly string[]): Promise<number> {
  let opened: DaemonLog | undefined;
  let isInspection = false;
  try {
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) return print(USAGE);
    if (line.has("version")) return print(`hacheck ${VERSION}`);
    const options = optionsOf(line);
    isInspection = line.has("check-config") || line.has("print-config");
    if (isInspection) return await inspectConfig(options, line.has("print-config"));
    const notify = notifyOptions();
    const permissions = new Permissions({ ...options, notifySocket: notify?.socket ?? null });
    const settings = loadChecked(options, permissions, true);
    const agentPort = agentPortOf(options, settings);
    const counters = newCounters();
    const log = opened = new DaemonLog(settings.config, options.verbose, counters.errors);
    logConfigWarnings(settings, options, log);
    logHostWarnings(settings, log);
    surviveUncaughtErrors(log, counters.errors);
    createSpool(options);
    using notifier = await openNotifier(notify, log);
    const inForce = permissions.giveUp(settings.config, log);
    const stop = stopSignal();
    const starting = serve(
      { ...options, agentPort, permissions: inForce },
      settings,
      log,
      counters,
    );
    // Before the daemon listens: SIGHUP without a listener would end it.
    const inForceNow = reloadOnHangup(options, permissions, settings, starting, log, notifier);
    watchExpiry(() => inForceNow().identity, log);
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
    notifier?.ready(statusOf(addresses, "the configuration is in force"));
    const failure = serving.failed?.then((why) => new Error(why));
    const end = await Promise.race([stop, ...failure === undefined ? [] : [failure]]);
    if (end instanceof Error) log.error("{why}: exiting, to be started anew", { why: end.message });
    else log.info("stopping on {signal}", { signal: end });
    await notifier?.stopping();
    const stopping = serving.stop();
    await (end instanceof Error ? Promise.race([stopping, delay(FAILURE_STOP_MS)]) : stopping);
    return end instanceof Error ? 1 : 0;
  } catch (error) {
    if (!isOperatorError(error)) throw error;
    await opened?.flush();
    console.error(`hacheck: ${escapeControls(error.message)}`);
    const isInvalid = error instanceof UsageError || error instanceof ConfigError;
    return isInvalid || isInspection ? 2 : 1;
  } finally {
    await opened?.flush();
  }
}

function print(text: string): number {
  console.log(text);
  return 0;
}

if (import.meta.main) {
  requireTestedDeno("hacheck");
  Deno.exit(await main(Deno.args));
}
