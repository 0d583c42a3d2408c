/**
 * The daemon.
 *
 * @module
 */

import { canonicalAddress } from "./src/addresses.ts";
import { type CheckerOptions, protocols } from "./src/checkers/mod.ts";
import { type Config, ConfigError, loadConfig, readTrusted } from "./src/config.ts";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "./src/flags.ts";
import { type Log, openLog } from "./src/log.ts";
import { OwnAddresses } from "./src/own_addresses.ts";
import { Pipeline } from "./src/pipeline.ts";
import { Listener } from "./src/server/listener.ts";
import { createRouter, type Router } from "./src/server/router.ts";
import { SpoolIndex } from "./src/spool/index.ts";
import { DEFAULT_SPOOL_ROOT, SpoolStore } from "./src/spool/store.ts";
import { SpoolView } from "./src/spool/view.ts";
import { Stats } from "./src/stats.ts";
import { VERSION } from "./src/version.ts";

const USAGE =
  `hacheck [-c FILE] [-p PORT]... [-B ADDRESS] [-n PROCESSES] [--spool-root DIR] [-v] [--version] [--help]

Answers the health checks of HAProxy: down for what is marked down in the spool, else what the service says.

  -c, --config-file FILE    configuration, in YAML
  -p, --port PORT           port to listen on, may be repeated (default 3333)
  -B, --bind-address IP     address to listen on (default 0.0.0.0)
  -n, --processes N         event loops that serve side by side (default 1)
      --spool-root DIR      where downtimes are kept (default ${DEFAULT_SPOOL_ROOT})
  -v, --verbose             log every request
      --version             print the version
      --help                print this`;

const FLAGS = {
  "config-file": { short: "c", takesValue: true },
  port: { short: "p", takesValue: true },
  "bind-address": { short: "B", takesValue: true },
  processes: { short: "n", takesValue: true },
  "spool-root": { takesValue: true },
  verbose: { short: "v", takesValue: false },
  version: { takesValue: false },
  help: { short: "h", takesValue: false },
};

/** What a command line asks for. */
interface Options {
  readonly configPath: string | null;
  readonly ports: readonly number[];
  readonly address: string;
  readonly spoolRoot: string;
  readonly verbose: boolean;
}

/** Thrown when the daemon cannot start as it was told to. */
class StartError extends Error {
  override name = "StartError";
}

function optionsOf(line: CommandLine): Options {
  if (line.operands.length > 0) throw new UsageError(`Unexpected argument: ${line.operands[0]}`);
  const address = line.one("bind-address") ?? "0.0.0.0";
  if (address !== "0.0.0.0" && address !== "::" && canonicalAddress(address) === undefined) {
    throw new UsageError(
      `Bad -B: expected an IPv4 or IPv6 address: received ${JSON.stringify(address)}`,
    );
  }
  const processes = wholeNumber("-n", line.one("processes") ?? "1", 1, 1024);
  if (processes > 1) {
    throw new UsageError("Bad -n: more than one event loop is not supported yet: expected 1");
  }
  const ports = line.all("port").map((text) => wholeNumber("-p", text, 0, 65535));
  return {
    configPath: line.one("config-file") ?? null,
    ports: ports.length > 0 ? ports : [3333],
    address,
    spoolRoot: folder(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT),
    verbose: line.has("verbose"),
  };
}

/** A folder's path, without the slashes that may follow it. */
function folder(path: string): string {
  return path.replace(/(?<=.)\/+$/, "");
}

/** Opens the spool, and says what is missing if it cannot be used. */
function openSpool(
  root: string,
  own: OwnAddresses,
  writable: boolean,
  log: Log,
): { store: SpoolStore; view: SpoolView } {
  try {
    const store = new SpoolStore(root);
    if (writable) store.create();
    const index = new SpoolIndex((address) => own.has(address));
    return { store, view: new SpoolView({ store, index, log }) };
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such folder: create it, readable for hacheck's user"
      : error instanceof Deno.errors.NotCapable
      ? `it needs --allow-read=${root}`
      : (error as Error).message;
    throw new StartError(`Cannot read spool ${root}: ${why}`);
  }
}

function mayWrite(root: string): boolean {
  return Deno.permissions.querySync({ name: "write", path: root }).state === "granted";
}

/** Logs each request, beside answering it. */
function logged(router: Router, log: Log): Router {
  return (request, info) => {
    const start = performance.now();
    const tell = (response: Response) => {
      log.debug("{status} {method} {url} ({client}) {milliseconds}ms", {
        status: response.status,
        method: request.method,
        url: request.url,
        client: info.remoteAddr.hostname,
        milliseconds: (performance.now() - start).toFixed(2),
      });
      return response;
    };
    const response = router(request, info);
    return response instanceof Promise ? response.then(tell) : tell(response);
  };
}

function listen(options: Options, router: Router, log: Log): Listener[] {
  const listeners: Listener[] = [];
  for (const port of options.ports) {
    try {
      listeners.push(new Listener({ hostname: options.address, port, router, log }));
    } catch (error) {
      throw new StartError(
        `Cannot listen on ${options.address} port ${port}: ${(error as Error).message}`,
      );
    }
  }
  return listeners;
}

/** A fault in a library must not end the daemon, and must not go unseen. */
function surviveFaults(log: Log): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("a fault of hacheck's own: {error}", { error: event.reason });
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    log.error("a fault of hacheck's own: {error}", { error: event.error });
  });
}

function checkerOptions(config: Config): CheckerOptions {
  const http = { serviceNameHeader: config.service_name_header };
  return {
    http,
    https: { ...http, trusted: readTrusted(config) },
    mysql: { username: config.mysql_username, password: config.mysql_password },
    postgres: {
      username: config.postgres_username,
      password: config.postgres_password,
      database: config.postgres_database,
    },
    redis: { username: config.redis_username, password: config.redis_password },
    sentinel: { username: config.sentinel_username, password: config.sentinel_password },
  };
}

function start(
  options: Options,
  config: Config,
  log: Log,
): { listeners: Listener[]; spool: SpoolView } {
  const startedAt = Date.now() / 1000;
  const own = new OwnAddresses();
  const writable = mayWrite(options.spoolRoot);
  if (config.allow_remote_spool_changes && !writable) {
    throw new StartError(`allow_remote_spool_changes needs --allow-write=${options.spoolRoot}`);
  }
  const { store, view } = openSpool(options.spoolRoot, own, writable, log);
  const pipeline = new Pipeline({
    spool: view,
    protocols: protocols(checkerOptions(config)),
    cacheTime: config.cache_time,
    timeout: config.healthcheck_timeout,
    maxClients: config.max_clients,
    log,
  });
  const router = createRouter({
    pipeline,
    stats: new Stats(),
    spool: view,
    own,
    startedAt,
    headersToCopy: config.http_headers_to_copy,
    spoolChanges: config.allow_remote_spool_changes ? { store, view, log } : null,
  });
  return {
    listeners: listen(options, options.verbose ? logged(router, log) : router, log),
    spool: view,
  };
}

function stopped(): Promise<Deno.Signal> {
  const signals: Deno.Signal[] = ["SIGTERM", "SIGINT", "SIGQUIT"];
  return new Promise((resolve) => {
    for (const signal of signals) Deno.addSignalListener(signal, () => resolve(signal));
  });
}

function openLogOrRefuse(path: string, verbose: boolean): Log {
  try {
    return openLog({ path, verbose });
  } catch (error) {
    const why = error instanceof Deno.errors.NotCapable
      ? `it needs --allow-read=${path} --allow-write=${path}`
      : (error as Error).message;
    throw new StartError(`Cannot open log_path ${path}: ${why}`);
  }
}

/**
 * Runs the daemon until a signal stops it.
 *
 * @param args The command line.
 * @returns The exit code: 0 after a stop, 2 if it was told wrongly, 1 if it could not start.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) return say(USAGE);
    if (line.has("version")) return say(`hacheck ${VERSION}`);
    const options = optionsOf(line);
    const { config, unknownKeys } = loadConfig(options.configPath);
    const log = openLogOrRefuse(config.log_path, options.verbose);
    for (const key of unknownKeys) {
      log.warning("unknown key {key} in {path}", { key, path: options.configPath });
    }
    surviveFaults(log);
    const stop = stopped();
    const { listeners, spool } = start(options, config, log);
    for (const { addr } of listeners) {
      log.info("hacheck {version} listens on {hostname} port {port}", {
        version: VERSION,
        ...addr,
      });
    }
    log.info("stopping on {signal}", { signal: await stop });
    await Promise.all(
      listeners.map((listener) => listener.stop(config.healthcheck_timeout * 1000)),
    );
    spool[Symbol.dispose]();
    return 0;
  } catch (error) {
    if (
      error instanceof UsageError || error instanceof ConfigError || error instanceof StartError
    ) {
      console.error(`hacheck: ${error.message}`);
      return error instanceof StartError ? 1 : 2;
    }
    throw error;
  }
}

function say(text: string): number {
  console.log(text);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
