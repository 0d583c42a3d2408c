import { type CheckerOptions, protocols } from "../checkers/mod.ts";
import { checkChange, describe, History, recordChange } from "../checks/history.ts";
import { Outcomes } from "../checks/outcomes.ts";
import { Pipeline } from "../checks/pipeline.ts";
import { CheckTracer } from "../checks/traces.ts";
import type { Settings } from "../config.ts";
import type { Log } from "../log/log.ts";
import { type Counters, newCounters } from "../metrics/counters.ts";
import type { WorkerState } from "../metrics/exposition.ts";
import { EventLoopDelay } from "../metrics/runtime.ts";
import { Stats } from "../metrics/stats.ts";
import { certificateExpiry } from "../net/certificate.ts";
import { LocalAddresses } from "../net/local_addresses.ts";
import { Networks } from "../net/networks.ts";
import type { Page } from "../page/page.ts";
import type { Changing } from "../page/report.ts";
import type { AgentListener } from "../server/agent_listener.ts";
import { clientAllowlist, NOT_LISTED } from "../server/client_allowlist.ts";
import { ConnectionReaper } from "../server/connection_reaper.ts";
import { Listener } from "../server/listener.ts";
import { Outflow } from "../server/outflow.ts";
import { Refusals } from "../server/refusals.ts";
import { clientAddress, createRouter, type Router } from "../server/router.ts";
import { HeaderReader } from "../server/request_headers.ts";
import { Routes } from "../server/routes.ts";
import { TargetPolicy } from "../server/target_policy.ts";
import { Expirations } from "../spool/expirations.ts";
import { SpoolIndex } from "../spool/index.ts";
import type { Entry } from "../spool/entry.ts";
import { recordName, type Subject, weightName } from "../spool/names.ts";
import { SpoolStore } from "../spool/store.ts";
import { SpoolWatcher } from "../spool/watcher.ts";
import { DescriptorCounter, type DescriptorSupply } from "../server/descriptors.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import {
  type EntryReport,
  type QueryHandlers,
  singleWorker,
  type Workers,
} from "../server/worker_queries.ts";

/** What an instance serves from its start to its end. */
export interface InstanceOptions {
  /** The ports to listen on; 0 for any free port. */
  readonly ports: readonly number[];
  /** The address to listen on. */
  readonly address: string;
  /** The spool folder. */
  readonly spoolRoot: string;
  /** Whether to log every request. */
  readonly verbose: boolean;
  /** When the daemon started, in unix seconds. */
  readonly startedAt: number;
  /** The port for agent checks, 0 for any free port; null, the default, for none. */
  readonly agentPort?: number | null;
  /** Whether all checks use the spool, if `spool_in_checks` permits it; true by default. */
  readonly spoolInChecks?: boolean;
  /** Whether other workers listen on the same ports. */
  readonly shared: boolean;
  /** What the daemon is permitted to do. */
  readonly permissions: PermissionsInForce;
  /** The file descriptors of all workers together; null if the instance counts them itself. */
  readonly descriptors: DescriptorSupply | null;
}

/** The addresses that a daemon, or one of its workers, listens on. */
export interface Listening {
  /** The address of each listener. */
  readonly addresses: readonly Deno.NetAddr[];
  /** The address for agent checks; null for none. */
  readonly agents: Deno.NetAddr | null;
}

/** How far back the page shows requested services, in seconds. */
const RECENT_SECONDS = 600;

/** How many file descriptors are counted for each worker. */
export const DESCRIPTORS_PER_WORKER = 1024;

/** Thrown when the daemon cannot start. Its message is for the operator. */
export class StartError extends Error {
  override name = "StartError";
}

/** Creates the error for a port that cannot be opened. */
export function cannotListen(hostname: string, port: number, error: unknown): StartError {
  return new StartError(`Cannot listen on ${hostname} port ${port}: ${(error as Error).message}`);
}

/** Everything that one configuration decides. It is never changed, only replaced as a whole. */
interface Setup {
  readonly pipeline: Pipeline;
  readonly router: Router;
  readonly localAddresses: LocalAddresses;
  /** The clients that are served; null for all. */
  readonly clients: Networks | null;
  readonly agents: Pick<Settings["config"], "agent_down" | "agent_silence">;
  /** Of how many services and records `/metrics` has series. */
  readonly metricsServices: number;
  /** Whether the page can change the spool. */
  readonly changing: Changing;
  /** How long stopping may take, in milliseconds. */
  readonly stopTimeoutMs: number;
}

/** All parts of one worker: its view of the spool, its cache, statistics and listeners. */
export class Instance {
  readonly #options: InstanceOptions;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #workers: Workers;
  readonly #outcomes = new Outcomes();
  readonly #expirations = new Expirations((name, entry) => this.#onExpired(name, entry));
  /** Absent if the supervisor has the history. */
  readonly #history: History | undefined;
  /** When the daemon started, by `performance.now()`. */
  readonly #startedAt: number;
  readonly #stats = new Stats();
  readonly #delay = new EventLoopDelay();
  readonly #outflow: Outflow;
  readonly #headers = new HeaderReader();
  readonly #refusals: Refusals;
  /** Finds out which addresses are local, for configurations that do not list them. */
  readonly #foundAddresses: LocalAddresses;
  readonly #store: SpoolStore;
  readonly #index = new SpoolIndex((address) => this.#setup.localAddresses.mayHave(address));
  readonly #watcher: SpoolWatcher;
  /** The ports that this instance listens on, which checks may not connect to. */
  readonly #ports = new Set<number>();
  #settings: Settings;
  #setup: Setup;
  /** Whether the last configuration was accepted. */
  #hasReloaded = true;
  #listeners: Listener[] = [];
  #agents: AgentListener | undefined;
  #reaper: ConnectionReaper | undefined;
  /** The page, loaded with the first request for it. */
  #page: Promise<Page> | undefined;
  #openedPage: Page | undefined;

  /**
   * Reads the spool and creates all parts. {@linkcode listen} then starts serving.
   *
   * @param counters Counts events. The log may count into the same object.
   * @param connect Connects this worker's query handlers with other workers; without it there are none.
   * @throws {StartError} If the spool cannot be read.
   */
  constructor(
    options: InstanceOptions,
    settings: Settings,
    log: Log,
    counters: Counters = newCounters(),
    connect?: (handlers: QueryHandlers) => Workers,
  ) {
    const { spoolRoot, startedAt } = options;
    this.#options = options;
    this.#log = log;
    this.#counters = counters;
    this.#outflow = new Outflow(counters.refused);
    this.#refusals = new Refusals(log, counters.refused);
    this.#foundAddresses = new LocalAddresses(log);
    this.#settings = settings;
    this.#startedAt = performance.now() - (Date.now() - startedAt * 1000);
    this.#store = new SpoolStore(spoolRoot);
    if (connect === undefined) this.#history = new History(log, false);
    this.#workers = connect?.(this.#handlers()) ?? singleWorker(this.#handlers(), this.#history!);
    this.#watcher = this.#openSpool();
    this.#setup = this.#createSetup(settings);
    this.#reportChanges();
  }

  /** Responds to a request, at once where nothing has to be waited for. */
  readonly router: Router = (request, info) => this.#setup.router(request, info);

  /** Replaces the configuration. Requests in progress finish with the old one. */
  configure(settings: Settings): void {
    this.#settings = settings;
    this.#hasReloaded = true;
    for (const listener of this.#listeners) listener.renew(settings.identity);
    this.#setup = this.#createSetup(settings);
    // The new configuration may not allow their clients any more.
    this.#page?.then((page) => page.endStreams(), () => {});
  }

  /** Notes that a new configuration was refused. */
  refuseReload(): void {
    this.#hasReloaded = false;
  }

  #createSetup(settings: Settings): Setup {
    const { config, token } = settings;
    const { permissions, spoolRoot, verbose, spoolInChecks = true } = this.#options;
    const { allow_remote_spool_changes: isAllowed, own_addresses: listed } = config;
    const log = this.#log;
    const refusals = this.#refusals;
    const localAddresses = listed === null ? this.#foundAddresses : new LocalAddresses(log, listed);
    const routes = new Routes();
    const pipeline = new Pipeline({
      spool: this.#index,
      spoolInChecks: spoolInChecks && config.spool_in_checks,
      protocols: protocols(checkerOptions(settings)),
      cacheTime: config.cache_time,
      cacheFailures: config.cache_failures,
      timeout: config.healthcheck_timeout,
      maxClients: config.max_clients,
      log,
      counters: this.#counters,
      outcomes: this.#outcomes,
      tracer: CheckTracer.find(config.forward_traceparent),
    });
    const router = createRouter({
      pipeline,
      routes,
      stats: this.#stats,
      counters: this.#counters,
      headers: this.#headers,
      own: localAddresses,
      targets: new TargetPolicy({
        hosts: config.check_hosts,
        ports: config.check_ports,
        ownPorts: this.#ports,
      }),
      refusals,
      queryWorkers: this.#workers.query,
      startedAt: this.#startedAt,
      started: this.#options.startedAt,
      index: this.#index,
      permissions,
      hasPage: config.page,
      browserPage: (request, path) => this.#browserPage(request, path),
      spoolRoot,
      headersToCopy: config.http_headers_to_copy,
      spoolChanges: isAllowed
        ? {
          access: { clients: networks(config.remote_spool_clients), token, refusals },
          store: this.#store,
          timeout: config.healthcheck_timeout,
          queryWorkers: this.#workers.query,
          changes: this.#workers.changes,
          log,
          errors: this.#counters.errors,
        }
        : null,
    });
    const clients = networks(config.allowed_clients);
    const allowed = clients === null ? router : clientAllowlist(clients, router, refusals);
    return {
      pipeline,
      router: verbose ? logged(allowed, log) : allowed,
      localAddresses,
      clients,
      agents: config,
      metricsServices: config.metrics_services,
      changing: !isAllowed ? "off" : token === null ? "no token" : "by token",
      stopTimeoutMs: config.healthcheck_timeout * 1000,
    };
  }

  /** The addresses that it listens on. */
  get listening(): Listening {
    return {
      addresses: this.#listeners.map(({ addr }) => addr),
      agents: this.#agents?.addr ?? null,
    };
  }

  /**
   * Starts listening.
   *
   * @throws {StartError} If a port cannot be opened.
   */
  async listen(): Promise<void> {
    const { address: hostname, ports, shared, spoolRoot: path } = this.#options;
    const { listeners: counters, errors } = this.#counters;
    const log = this.#log;
    const outflow = this.#outflow;
    const { identity } = this.#settings;
    const { router } = this;
    for (const port of ports) {
      try {
        const listener = new Listener({
          ...{ hostname, port, shared, identity, router, counters, errors, log, outflow },
        });
        this.#listeners.push(listener);
        this.#ports.add(listener.addr.port);
      } catch (error) {
        throw cannotListen(hostname, port, error);
      }
    }
    const known = this.#options.descriptors ?? undefined;
    const descriptors = new DescriptorCounter(DESCRIPTORS_PER_WORKER, path, known);
    const listeners = this.#listeners;
    this.#reaper = new ConnectionReaper({ listeners, descriptors, outflow, path, log });
    await this.#listenToAgents();
  }

  async #listenToAgents(): Promise<void> {
    const { agentPort: port = null, address: hostname, shared } = this.#options;
    if (port === null) return;
    const log = this.#log;
    const [{ AgentListener }, { agentResponse }] = await Promise.all([
      import("../server/agent_listener.ts"),
      import("../server/agent_response.ts"),
    ]);
    try {
      this.#agents = new AgentListener({
        ...{ hostname, port, shared, log, errors: this.#counters.errors },
        counters: this.#counters.agent_checks,
        admits: (client) => {
          const isAdmitted = this.#setup.clients?.has(client) ?? true;
          if (!isAdmitted) this.#refusals.report("clients", client, NOT_LISTED);
          return isAdmitted;
        },
        respond: (line, client) => {
          const { agent_down, agent_silence } = this.#setup.agents;
          const question = line ?? agent_silence;
          if (question === null) return null;
          const response = agentResponse(question, this.#index, agent_down);
          log.debug("agent check of {question}: {response} ({client})", {
            ...{ question, response, client },
          });
          return response;
        },
      });
    } catch (error) {
      throw cannotListen(hostname, port, error);
    }
    this.#ports.add(this.#agents.addr.port);
  }

  /** Stops listening, finishes the requests in progress, and closes everything. */
  async stop(): Promise<void> {
    this.#reaper?.[Symbol.dispose]();
    await this.#page?.then((page) => page.close(), () => {});
    const { stopTimeoutMs } = this.#setup;
    const ending = this.#listeners.map((listener) => listener.stop(stopTimeoutMs));
    await Promise.all([...ending, this.#agents?.stop()]);
    this.#listeners = [];
    this.#watcher[Symbol.dispose]();
    this.#expirations[Symbol.dispose]();
    this.#history?.[Symbol.dispose]();
    this.#delay[Symbol.dispose]();
  }

  #handlers(): QueryHandlers {
    const now = () => Date.now() / 1000;
    const status = () => ({
      counters: this.#counters,
      inFlight: this.#setup.pipeline.inFlight,
      queued: this.#setup.pipeline.queued,
      spool: this.#watcher.health,
    });
    return {
      status,
      counts: () => this.#stats.counts(),
      recent: (threshold) => this.#stats.recent(threshold, now()),
      entry: (subject) => this.#entryReport(subject),
      checks: (service) => this.#outcomes.requests(service, now() - RECENT_SECONDS),
      outcomes: (service) => [...this.#outcomes.reports(service, now() - RECENT_SECONDS)],
      refresh: (name) => this.#watcher.refresh(name),
      runtime: () => ({
        memory: Deno.memoryUsage(),
        event_loop_delay: this.#delay.report,
        checks_under_way: this.#setup.pipeline.inFlight,
        checks_queued: this.#setup.pipeline.queued,
        checks: Object.fromEntries(
          Object.entries(this.#counters.protocols).map(([name, { requests }]) => [name, requests]),
        ),
        request_headers: this.#headers.report,
      }),
      metrics: () => ({
        counters: this.#counters,
        now: {
          ...status(),
          records: this.#watcher.states(now()),
          ...this.#namedSeries(),
          hasReloaded: this.#hasReloaded,
          certificateExpiry: this.#certificateExpiry,
          memory: Deno.memoryUsage(),
          startedAt: this.#options.startedAt,
          uptime: (performance.now() - this.#startedAt) / 1000,
        },
      }),
      page: (limits) => ({ ...status(), ...this.#pageSeries(limits) }),
      latest: (checks) => this.#outcomes.latest(checks),
    };
  }

  /** When the certificate expires, in unix seconds; null without one. */
  get #certificateExpiry(): number | null {
    const { identity } = this.#settings;
    const expiry = identity === null ? null : certificateExpiry(identity.cert);
    return expiry === null ? null : expiry / 1000;
  }

  /** What `/metrics` has series of by their names. */
  #namedSeries(): Pick<WorkerState, "checks" | "downtimes" | "leftOut"> {
    const most = this.#setup.metricsServices;
    const checks = this.#outcomes.states(Date.now() / 1000 - RECENT_SECONDS, most);
    const { first, counts } = this.#index.firstActiveEntries(most);
    return {
      checks: checks.states,
      downtimes: first.downtimes,
      leftOut: {
        services: checks.servicesLeftOut,
        records: counts.downtimes - first.downtimes.length,
      },
    };
  }

  /** What the page shows by names. */
  #pageSeries(most: { readonly services: number; readonly checks: number }) {
    const now = Date.now() / 1000;
    const services = this.#stats.recentReports(RECENT_SECONDS, now, most.services);
    const { checks: failing, leftOut: failingLeftOut } = this.#outcomes.failing(
      now - RECENT_SECONDS,
      most.checks,
      ({ service, port, host }) => this.#index.find(service, port, host) !== undefined,
    );
    const servicesLeftOut = this.#stats.countRecent(RECENT_SECONDS, now) - services.length;
    return { services, servicesLeftOut, failing, failingLeftOut };
  }

  #entryReport(subject: Subject): EntryReport {
    const { service, port, host } = subject;
    // These lookups come first: while the index is out of date, they read the files.
    const found = this.#index.find(service, port, host);
    const agentWeight = this.#index.weight(service, port, host);
    return {
      ...{ service, port, host },
      record: this.#index.activeRecord(recordName(subject)) ?? null,
      kept_out_by: found === undefined ? null : { name: found.name, ...found.record },
      weight: this.#index.activeWeight(weightName(subject)) ?? null,
      agent_weight: agentWeight,
      last_asked: this.#stats.lastRequested(service),
    };
  }

  async #browserPage(request: Request, path: string): Promise<Response> {
    this.#page ??= this.#openPage();
    return (await this.#page).respond(request, path);
  }

  async #openPage(): Promise<Page> {
    const { Page } = await import("../page/page.ts");
    const page = new Page({
      firstActiveEntries: (most) => this.#index.firstActiveEntries(most),
      find: (service, port, host) => this.#index.find(service, port, host),
      queryWorkers: this.#workers.query,
      startedAt: this.#startedAt,
      started: this.#options.startedAt,
      permissions: this.#options.permissions,
      changing: () => this.#setup.changing,
    });
    return this.#openedPage = page;
  }

  /** Reports what changes from now on: what the spool contains at the start is no change. */
  #reportChanges(): void {
    const { changes } = this.#workers;
    for (const [name, entry] of this.#index.entries()) this.#expirations.set(name, entry);
    this.#index.onChange = (name, before, after) => {
      this.#openedPage?.notify();
      this.#expirations.set(name, after);
      const change = recordChange(name, before, after, Date.now() / 1000);
      if (change !== undefined) changes.add(change);
    };
    this.#outcomes.onChange = (change) => changes.add(checkChange(change));
  }

  #onExpired(name: string, entry: Entry): void {
    this.#openedPage?.notify();
    const change = describe(name, entry, "expired", Date.now() / 1000);
    if (change !== undefined) this.#workers.changes.add(change);
  }

  #openSpool(): SpoolWatcher {
    try {
      return new SpoolWatcher({ store: this.#store, index: this.#index, log: this.#log });
    } catch (error) {
      const { spoolRoot } = this.#options;
      const why = error instanceof Deno.errors.NotFound
        ? "there is no such folder: create it, readable for hacheck's user"
        : (error as Error).message;
      throw new StartError(`Cannot read spool ${spoolRoot}: ${why}`);
    }
  }
}

function networks(texts: readonly string[] | null): Networks | null {
  return texts === null ? null : new Networks(texts);
}

function checkerOptions({ config, tls }: Settings): CheckerOptions {
  return {
    http: { serviceNameHeader: config.service_name_header },
    mysql: {
      username: config.mysql_username,
      password: config.mysql_password,
      mode: config.mysql_tls,
    },
    postgres: {
      username: config.postgres_username,
      password: config.postgres_password,
      database: config.postgres_database,
      mode: config.postgres_tls,
    },
    redis: { username: config.redis_username, password: config.redis_password },
    sentinel: { username: config.sentinel_username, password: config.sentinel_password },
    ldap: { username: config.ldap_username, password: config.ldap_password },
    smtp: { mode: config.smtp_tls },
    sendProxy: config.send_proxy,
    tls,
  };
}

/** Logs each request with its response. */
function logged(router: Router, log: Log): Router {
  return (request, info) => {
    const start = performance.now();
    const report = (response: Response) => {
      log.debug("{status} {method} {url} ({client}) {milliseconds}ms", {
        status: response.status,
        method: request.method,
        url: request.url,
        client: clientAddress(info),
        milliseconds: (performance.now() - start).toFixed(2),
      });
      return response;
    };
    const response = router(request, info);
    return response instanceof Promise ? response.then(report) : report(response);
  };
}
