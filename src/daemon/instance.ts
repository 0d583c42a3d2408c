import type { AgentDown } from "../server/agent_response.ts";
import { type CacheCounters, newCacheCounters } from "../checks/cache.ts";
import { type CheckerOptions, protocols } from "../checkers/mod.ts";
import type { Identity, Settings } from "../config.ts";
import { DescriptorCounter, type DescriptorSupply } from "./descriptors.ts";
import { type InternalErrorCounters, newInternalErrorCounters } from "../metrics/counters.ts";
import type { Log } from "../log.ts";
import { Durations } from "../metrics/durations.ts";
import { Networks } from "../net/networks.ts";
import { LocalAddresses } from "../net/local_addresses.ts";
import type { Page } from "../page/page.ts";
import type { Changing } from "../page/report.ts";
import {
  type EntryReport,
  type QueryHandlers,
  querySingle,
  type QueryWorkers,
} from "./worker_queries.ts";
import type { PermissionsInForce } from "./permissions.ts";
import { Pipeline, SPOOL_PROTOCOL } from "../checks/pipeline.ts";
import { Refusals } from "../server/refusals.ts";
import { EventLoopDelay } from "../metrics/runtime.ts";
import type { AgentListener } from "../server/agent_listener.ts";
import { clientAllowlist, NOT_LISTED } from "../server/client_allowlist.ts";
import { ConnectionReaper } from "../server/connection_reaper.ts";
import { Listener, type ListenerCounters, newListenerCounters } from "../server/listener.ts";
import { Outflow } from "../server/outflow.ts";
import { clientAddress, createRouter, type Router } from "../server/router.ts";
import { HeaderReader } from "../server/request_headers.ts";
import { Routes } from "../server/routes.ts";
import { TargetPolicy } from "../server/target_policy.ts";
import { SpoolIndex } from "../spool/index.ts";
import { recordName, type Subject, weightName } from "../spool/names.ts";
import { SpoolStore } from "../spool/store.ts";
import { SpoolWatcher } from "../spool/watcher.ts";
import { Stats } from "../metrics/stats.ts";

/** What an event loop serves, for as long as it lives. */
export interface InstanceOptions {
  /** The ports to listen on; 0 for any that is free. */
  readonly ports: readonly number[];
  /** The address to listen on. */
  readonly address: string;
  /** The spool. */
  readonly spoolRoot: string;
  /** Whether to log every request. */
  readonly verbose: boolean;
  /** When the daemon was started, in unix seconds. */
  readonly startedAt: number;
  /** The port on which agent checks are answered, 0 for any that is free; null for none, as if not given. */
  readonly agentPort?: number | null;
  /** Whether all checks ask the spool, unless the configuration says no; they do, if not given. */
  readonly spoolInChecks?: boolean;
  /** Whether others listen on the same ports. */
  readonly shared: boolean;
  /** What the daemon may do. */
  readonly permissions: PermissionsInForce;
  /** How many file descriptors there are for all event loops together; null for one that counts them itself. */
  readonly descriptors: DescriptorSupply | null;
}

/** Where a daemon, or one of its event loops, can be reached. */
export interface Listening {
  /** The address and port of each listener. */
  readonly addresses: readonly Deno.NetAddr[];
  /** Those of agent checks; null where none are answered. */
  readonly agents: Deno.NetAddr | null;
}

/** How far back the page looks for what was asked for, in seconds. */
const LATELY_SECONDS = 600;

/** How many file descriptors an event loop may use for connections that may hang, where there are so many. */
export const DESCRIPTORS_PER_WORKER = 1024;

/** Thrown when the daemon cannot start as it was told to. */
export class StartError extends Error {
  override name = "StartError";
}

/**
 * Tells that a port cannot be had.
 *
 * @param hostname The address to listen on.
 * @param port The port.
 * @param error Why.
 */
export function cannotListen(hostname: string, port: number, error: unknown): StartError {
  return new StartError(`Cannot listen on ${hostname} port ${port}: ${(error as Error).message}`);
}

/** One event loop of the daemon, with all that it needs to answer: its own view of the spool, cache and statistics. */
export class Instance {
  readonly #options: InstanceOptions;
  readonly #log: Log;
  readonly #queryWorkers: QueryWorkers;
  readonly #faults: InternalErrorCounters;
  /** When the daemon was started, by a clock that nobody sets, in milliseconds. */
  readonly #startedAt: number;
  readonly #own: LocalAddresses;
  readonly #stats = new Stats();
  readonly #refusals: Refusals;
  readonly #headers = new HeaderReader();
  readonly #delay = new EventLoopDelay();
  readonly #store: SpoolStore;
  readonly #index = new SpoolIndex((address) => this.#own.mayHave(address));
  readonly #spoolWatcher: SpoolWatcher;
  readonly #durations = new Durations();
  /** The cache begins anew with other settings, what it has done does not. */
  readonly #cacheCounters: CacheCounters = newCacheCounters();
  readonly #counters: ListenerCounters = newListenerCounters();
  readonly #outflow = new Outflow();
  /** The ports on which this event loop listens, once it does. */
  readonly #ports = new Set<number>();
  #listeners: Listener[] = [];
  #agents: AgentListener | undefined;
  #agentDown: AgentDown = "maint";
  #agentSilence: string | null = null;
  #clients: Networks | null = null;
  #reaper: ConnectionReaper | undefined;
  #patience = 0;
  readonly #identity: Identity | null;
  /** What people look at, once somebody has. */
  #page: Promise<Page> | undefined;
  #changing: Changing = "off";
  #pipeline!: Pipeline;
  #routes!: Routes;
  #answer!: Router;

  /**
   * Reads the spool, and makes ready to answer.
   *
   * @param options What to serve.
   * @param settings How to serve it.
   * @param log Where faults are told.
   * @param peers Makes of what this event loop answers a way to ask all of them.
   * @param faults Where faults are counted.
   * @throws {StartError} If the spool cannot be read.
   */
  constructor(
    options: InstanceOptions,
    settings: Settings,
    log: Log,
    peers: (respondent: QueryHandlers) => QueryWorkers = querySingle,
    faults: InternalErrorCounters = newInternalErrorCounters(),
  ) {
    const { spoolRoot, startedAt } = options;
    this.#options = options;
    this.#log = log;
    this.#refusals = new Refusals(log);
    this.#own = new LocalAddresses(log);
    this.#identity = settings.identity;
    this.#faults = faults;
    this.#startedAt = performance.now() - (Date.now() - startedAt * 1000);
    this.#store = new SpoolStore(spoolRoot);
    this.#queryWorkers = peers(this.#respondent());
    this.#spoolWatcher = this.#openSpool();
    this.configure(settings);
  }

  /** WorkerResults a request, at once where nothing is waited for. */
  readonly router: Router = (request, info) => this.#answer(request, info);

  /**
   * Takes other settings. What is under way is answered by the old ones, and who listens stays who it is.
   *
   * @param settings How to serve from now on.
   */
  configure(settings: Settings): void {
    const { config, token } = settings;
    const { allow_remote_spool_changes: isAllowed } = config;
    this.#changing = !isAllowed ? "off" : token === null ? "no token" : "by token";
    const { permissions, spoolRoot, verbose, spoolInChecks = true } = this.#options;
    const log = this.#log;
    const refusals = this.#refusals;
    const faults = this.#faults;
    this.#patience = config.healthcheck_timeout * 1000;
    this.#own.configure(config.own_addresses);
    this.#agentDown = config.agent_down;
    this.#agentSilence = config.agent_silence;
    this.#pipeline = new Pipeline({
      spool: this.#spoolWatcher,
      spoolInChecks: spoolInChecks && config.spool_in_checks,
      protocols: protocols(checkerOptions(settings)),
      cacheTime: config.cache_time,
      cacheFailures: config.cache_failures,
      timeout: config.healthcheck_timeout,
      maxClients: config.max_clients,
      log,
      faults,
      durations: this.#durations,
      cacheCounters: this.#cacheCounters,
    });
    // Other settings may exclude what was asked for before.
    this.#routes = new Routes();
    const router = createRouter({
      pipeline: this.#pipeline,
      routes: this.#routes,
      stats: this.#stats,
      headers: this.#headers,
      own: this.#own,
      targets: new TargetPolicy({
        hosts: config.check_hosts,
        ports: config.check_ports,
        ownPorts: this.#ports,
      }),
      refusals,
      queryWorkers: this.#queryWorkers,
      startedAt: this.#startedAt,
      permissions,
      look: (request, path) => this.#look(request, path),
      spoolRoot,
      headersToCopy: config.http_headers_to_copy,
      spoolChanges: config.allow_remote_spool_changes
        ? {
          access: { clients: listed(config.remote_spool_clients), token, refusals },
          store: this.#store,
          timeout: config.healthcheck_timeout,
          queryWorkers: this.#queryWorkers,
          log,
          faults,
        }
        : null,
    });
    const clients = this.#clients = listed(config.allowed_clients);
    const answer = clients === null ? router : clientAllowlist(clients, router, refusals);
    this.#answer = verbose ? logged(answer, log) : answer;
    // Who looks may not be allowed to any more.
    this.#page?.then((page) => page.endStreams(), () => {});
  }

  /**
   * Begins to listen.
   *
   * @returns Where.
   * @throws {StartError} If a port cannot be had.
   */
  async listen(): Promise<Listening> {
    const { address: hostname, ports, shared, spoolRoot: path } = this.#options;
    const log = this.#log;
    for (const port of ports) {
      try {
        const { router } = this;
        const options = { hostname, port, shared, identity: this.#identity, router };
        const listener = new Listener({
          ...options,
          counters: this.#counters,
          log,
          outflow: this.#outflow,
        });
        this.#listeners.push(listener);
        this.#ports.add(listener.addr.port);
      } catch (error) {
        throw cannotListen(hostname, port, error);
      }
    }
    const known = this.#options.descriptors ?? undefined;
    const descriptors = new DescriptorCounter(DESCRIPTORS_PER_WORKER, path, known);
    this.#reaper = new ConnectionReaper({
      ...{ listeners: this.#listeners, descriptors, outflow: this.#outflow, path, log },
    });
    return {
      addresses: this.#listeners.map(({ addr }) => addr),
      agents: await this.#listenToAgents(),
    };
  }

  async #listenToAgents(): Promise<Deno.NetAddr | null> {
    const { agentPort: port = null, address: hostname, shared } = this.#options;
    if (port === null) return null;
    const log = this.#log;
    const [{ AgentListener }, { agentResponse }] = await Promise.all([
      import("../server/agent_listener.ts"),
      import("../server/agent_response.ts"),
    ]);
    try {
      this.#agents = new AgentListener({
        ...{ hostname, port, shared, log, faults: this.#faults },
        admits: (client) => {
          const isAdmitted = this.#clients?.has(client) ?? true;
          if (!isAdmitted) this.#refusals.report("clients", client, NOT_LISTED);
          return isAdmitted;
        },
        answer: (line, client) => {
          const question = line ?? this.#agentSilence;
          if (question === null) return null;
          const answer = agentResponse(question, this.#spoolWatcher, this.#agentDown);
          log.debug("agent check of {question}: {answer} ({client})", { question, answer, client });
          return answer;
        },
      });
    } catch (error) {
      throw cannotListen(hostname, port, error);
    }
    this.#ports.add(this.#agents.addr.port);
    return this.#agents.addr;
  }

  /** Accepts nothing more, finishes what is under way, and lets go of everything. */
  async stop(): Promise<void> {
    this.#reaper?.[Symbol.dispose]();
    await this.#page?.then((page) => page.close(), () => {});
    const ending = this.#listeners.map((listener) => listener.stop(this.#patience));
    await Promise.all([...ending, this.#agents?.stop()]);
    this.#listeners = [];
    this.#spoolWatcher[Symbol.dispose]();
    this.#delay[Symbol.dispose]();
  }

  #respondent(): QueryHandlers {
    const respondent: QueryHandlers = {
      status: () => ({
        cache: { ...this.#cacheCounters },
        queued: this.#pipeline.queued,
        spool: this.#spoolWatcher.health,
        listeners: { ...this.#counters },
        refused: { ...this.#refusals.counters },
        faults: { ...this.#faults },
      }),
      counts: () => this.#stats.counts(),
      recent: (threshold) => this.#stats.recent(threshold, Date.now() / 1000),
      spool: ({ service, port, host }) =>
        this.#spoolWatcher.find(service, port, host)?.verdict ?? { code: 200, message: "" },
      weight: ({ service, port, host }) => this.#spoolWatcher.weight(service, port, host),
      entry: (subject) => this.#entryOf(subject),
      checks: (service) =>
        this.#routes.recentChecks(service, Date.now() / 1000 - LATELY_SECONDS)
          .filter(({ protocol }) => protocol !== SPOOL_PROTOCOL),
      downtimes: () => this.#spoolWatcher.activeEntries,
      refresh: (name) => this.#spoolWatcher.refresh(name),
      runtime: () => ({
        memory: Deno.memoryUsage(),
        event_loop_delay: this.#delay.report,
        checks_under_way: this.#pipeline.inFlight,
        checks_queued: this.#pipeline.queued,
        checks: this.#stats.byProtocol(),
        request_headers: this.#headers.report,
      }),
      metrics: () => ({
        counts: {
          answers: this.#stats.answers(),
          durations: this.#durations.report(),
          cache: { ...this.#cacheCounters },
          listeners: { ...this.#counters },
          refused: { ...this.#refusals.counters },
          faults: { ...this.#faults },
          deaths: 0,
        },
        now: {
          underWay: this.#pipeline.inFlight,
          queued: this.#pipeline.queued,
          spool: {
            isHealthy: this.#spoolWatcher.health.healthy,
            records: this.#spoolWatcher.states(Date.now() / 1000),
          },
          memory: Deno.memoryUsage(),
          startedAt: this.#options.startedAt,
          uptime: (performance.now() - this.#startedAt) / 1000,
        },
      }),
      page: (services) => ({
        status: respondent.status(null),
        underWay: this.#pipeline.inFlight,
        services: this.#stats.recentReports(LATELY_SECONDS, Date.now() / 1000, services),
      }),
    };
    return respondent;
  }

  #entryOf(subject: Subject): EntryReport {
    const { service, port, host } = subject;
    const found = this.#spoolWatcher.find(service, port, host);
    return {
      ...{ service, port, host },
      record: this.#index.recordOf(recordName(subject)) ?? null,
      kept_out_by: found === undefined ? null : { name: found.name, ...found.record },
      weight: this.#index.weightOf(weightName(subject)) ?? null,
      last_asked: this.#stats.lastAsked(service),
    };
  }

  /** Most daemons are never looked at. */
  async #look(request: Request, path: string): Promise<Response> {
    this.#page ??= this.#openPage();
    return (await this.#page).respond(request, path);
  }

  async #openPage(): Promise<Page> {
    const { Page } = await import("../page/page.ts");
    const page = new Page({
      firstActiveEntries: (most) => this.#spoolWatcher.firstActiveEntries(most),
      queryWorkers: this.#queryWorkers,
      startedAt: this.#startedAt,
      permissions: this.#options.permissions,
      changing: () => this.#changing,
    });
    this.#index.onChange = () => page.notify();
    return page;
  }

  #openSpool(): SpoolWatcher {
    const root = this.#options.spoolRoot;
    try {
      return new SpoolWatcher({ store: this.#store, index: this.#index, log: this.#log });
    } catch (error) {
      throw new StartError(`Cannot read spool ${root}: ${whyNot(error)}`);
    }
  }
}

function whyNot(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) {
    return "there is no such folder: create it, readable for hacheck's user";
  }
  return (error as Error).message;
}

function listed(texts: readonly string[] | null): Networks | null {
  return texts === null ? null : new Networks(texts);
}

function checkerOptions({ config, trusted }: Settings): CheckerOptions {
  const http = { serviceNameHeader: config.service_name_header };
  return {
    http,
    https: { ...http, trusted },
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

/** Logs each request, beside answering it. */
function logged(router: Router, log: Log): Router {
  return (request, info) => {
    const start = performance.now();
    const tell = (response: Response) => {
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
    return response instanceof Promise ? response.then(tell) : tell(response);
  };
}
