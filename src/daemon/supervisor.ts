import { History, type NewChange } from "../checks/history.ts";
import type { Settings } from "../config.ts";
import { cannotListen, type InstanceOptions, type Listening, StartError } from "./instance.ts";
import type { Log } from "../log/log.ts";
import type { WorkerMetrics } from "../metrics/exposition.ts";
import { Ledger } from "../metrics/ledger.ts";
import type { WorkerQueries } from "../server/worker_queries.ts";

/** A message from the supervisor to a worker. */
export type Command =
  | { readonly kind: "start"; readonly options: InstanceOptions; readonly settings: Settings }
  | { readonly kind: "configure"; readonly settings: Settings }
  /** A new configuration was refused. */
  | { readonly kind: "refuse-reload" }
  | { readonly kind: "stop" }
  /** A request for a sign of life. */
  | { readonly kind: "ping" }
  /** A query to process. */
  | { readonly kind: "query"; readonly id: number; readonly query: Query }
  /** The results of all workers for a query that this worker sent. */
  | { readonly kind: "results"; readonly id: number; readonly results: readonly unknown[] };

/** A message from a worker to the supervisor. */
export type Report =
  | { readonly kind: "listening"; readonly listening: Listening }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "stopped" }
  /** A sign of life. */
  | { readonly kind: "pong" }
  /** A query to all workers. */
  | { readonly kind: "query"; readonly id: number; readonly query: Query }
  /** A change that the worker has seen. */
  | { readonly kind: "change"; readonly change: NewChange }
  /** A client that is changing a record by POST; null when it has. */
  | { readonly kind: "announce"; readonly name: string; readonly client: string | null }
  /** The worker's result for a query. */
  | { readonly kind: "result"; readonly id: number; readonly result: unknown };

/** A query to all workers, with its parameter. */
export type Query = {
  [Kind in keyof WorkerQueries]: { readonly kind: Kind; readonly detail: WorkerQueries[Kind] };
}[keyof WorkerQueries];

/** The first module of a worker. Bundled modules keep their path relative to the bundle. */
const WORKER = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./src/daemon/worker.js";

/** How long a worker may take for a query, in milliseconds. Later results are left out. */
const QUERY_TIMEOUT_MS = 1000;

/** How long stopping may take beyond `healthcheck_timeout`, in milliseconds. */
const STOP_TIMEOUT_MS = 1000;

/** How long to wait before the next attempt to replace a worker, in milliseconds. */
const RETRY_MS = 1000;

/** How often workers are asked for a sign of life, in milliseconds. */
const PING_MS = 1000;

/** How many of these a worker may leave without a response. */
const MAX_MISSED_PINGS = 7;

/** A ping that is so late, in milliseconds, shows that the whole program was stopped: no worker is at fault. */
const STALL_MS = 1000;

/** How long a worker may take to start, in milliseconds. */
const START_TIMEOUT_MS = 60_000;

/** A query whose results are being collected. */
interface PendingQuery {
  readonly kind: keyof WorkerQueries;
  readonly results: Map<Worker, unknown>;
  /** The workers without a result. */
  readonly missing: Set<Worker>;
  readonly finish: () => void;
}

/** Runs several workers, and replaces those that crash. */
export class Supervisor {
  readonly #log: Log;
  readonly #workers = new Set<Worker>();
  /** How many pings the workers that listen have left without a response. */
  readonly #missedPings = new Map<Worker, number>();
  readonly #failure = Promise.withResolvers<string>();
  #pinging: ReturnType<typeof setInterval> | undefined;
  #pingedAt = 0;
  readonly #pending = new Map<number, PendingQuery>();
  readonly #ledger = new Ledger<Worker>();
  readonly #history: History;
  #options: InstanceOptions;
  #settings: Settings;
  #nextId = 0;
  #stopping = false;
  #listening: Listening = { addresses: [], agents: null };

  private constructor(options: InstanceOptions, settings: Settings, log: Log) {
    this.#options = options;
    this.#settings = settings;
    this.#log = log;
    this.#history = new History(log, true);
  }

  /**
   * Starts the workers.
   *
   * @returns The supervisor, once all workers listen.
   * @throws {StartError} If they cannot start.
   */
  static async start(
    count: number,
    options: InstanceOptions,
    settings: Settings,
    log: Log,
  ): Promise<Supervisor> {
    requireFreePorts(options);
    const supervisor = new Supervisor({ ...options, shared: true }, settings, log);
    try {
      // The first worker chooses the free ports.
      const { addresses, agents } = supervisor.#listening = await supervisor.#spawn();
      const ports = addresses.map(({ port }) => port);
      supervisor.#options = { ...supervisor.#options, ports, agentPort: agents?.port ?? null };
      await Promise.all(Array.from({ length: count - 1 }, () => supervisor.#spawn()));
      supervisor.#pingedAt = performance.now();
      supervisor.#pinging = setInterval(() => supervisor.#ping(), PING_MS);
      return supervisor;
    } catch (error) {
      supervisor.#stopping = true;
      for (const worker of supervisor.#workers) worker.terminate();
      throw error;
    }
  }

  /**
   * Resolves if a worker hangs. Deno ends such a worker, but neither its thread nor its sockets, which would still get
   * their share of connections: only a new process helps.
   */
  get failed(): Promise<string> {
    return this.#failure.promise;
  }

  /** The addresses that all workers listen on. */
  get listening(): Listening {
    return this.#listening;
  }

  /** Replaces the configuration of all workers. */
  configure(settings: Settings): void {
    this.#settings = settings;
    for (const worker of this.#workers) send(worker, { kind: "configure", settings });
  }

  /** Notes that a new configuration was refused. */
  refuseReload(): void {
    for (const worker of this.#workers) send(worker, { kind: "refuse-reload" });
  }

  /** Stops all workers gracefully, and terminates those that hang. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#pinging);
    this.#history[Symbol.dispose]();
    const timeoutMs = this.#settings.config.healthcheck_timeout * 1000 + STOP_TIMEOUT_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      Promise.all([...this.#workers].map(stopped)),
      new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs)),
    ]);
    clearTimeout(timer);
    for (const worker of this.#workers) worker.terminate();
  }

  #spawn(): Promise<Listening> {
    const worker = new Worker(new URL(WORKER, import.meta.url), { type: "module" });
    this.#workers.add(worker);
    return new Promise((resolve, reject) => {
      let listens = false;
      const timer = setTimeout(() => {
        const seconds = START_TIMEOUT_MS / 1000;
        onCrash(
          `it did not start within ${seconds} s: restart hacheck if it was upgraded meanwhile`,
        );
      }, START_TIMEOUT_MS);
      const onCrash = (why: string) => {
        clearTimeout(timer);
        if (!this.#discard(worker)) return;
        if (!listens) return reject(new StartError(why));
        this.#ledger.retire(worker);
        if (!this.#stopping) this.#log.error("a worker crashed and is replaced: {why}", { why });
        this.#replace();
      };
      worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
        switch (data.kind) {
          case "listening":
            listens = true;
            clearTimeout(timer);
            this.#missedPings.set(worker, 0);
            return resolve(data.listening);
          case "pong":
            if (this.#missedPings.has(worker)) this.#missedPings.set(worker, 0);
            return;
          case "failed":
            return onCrash(data.message);
          case "query":
            return this.#forward(worker, data.id, data.query);
          case "result":
            return this.#collect(worker, data.id, data.result);
          case "change":
            return this.#history.add(data.change);
          case "announce":
            return this.#history.announce(data.name, data.client);
        }
      });
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        onCrash(event.message);
      });
      send(worker, { kind: "start", options: this.#options, settings: this.#settings });
    });
  }

  /** Asks all workers for a sign of life. */
  #ping(): void {
    const now = performance.now();
    const isStalled = now - this.#pingedAt > PING_MS + STALL_MS;
    this.#pingedAt = now;
    for (const [worker, count] of this.#missedPings) {
      const missed = isStalled ? 0 : count;
      this.#missedPings.set(worker, missed + 1);
      send(worker, { kind: "ping" });
      if (missed < MAX_MISSED_PINGS) continue;
      const seconds = MAX_MISSED_PINGS * PING_MS / 1000;
      this.#failure.resolve(`a worker hangs: no sign of life for ${seconds} s`);
    }
  }

  /** Forwards a query to all workers, and their results to the sender. */
  #forward(sender: Worker, sendersId: number, query: Query): void {
    if (query.kind === "history") {
      const changes = this.#history.changes(query.detail.after, query.detail.service);
      return send(sender, { kind: "results", id: sendersId, results: [changes] });
    }
    const id = this.#nextId++;
    const results = new Map<Worker, unknown>();
    const finish = () => {
      clearTimeout(timer);
      this.#pending.delete(id);
      // In the order of the workers, so that a client can recognise one in the next response.
      const answered = [...this.#workers].filter((worker) => results.has(worker));
      send(sender, {
        kind: "results",
        id: sendersId,
        results: query.kind === "metrics"
          ? this.#ledger.complete(answered)
          : answered.map((worker) => results.get(worker)),
      });
    };
    const timer = setTimeout(finish, QUERY_TIMEOUT_MS);
    this.#pending.set(id, { kind: query.kind, results, missing: new Set(this.#workers), finish });
    for (const worker of this.#workers) send(worker, { kind: "query", id, query });
  }

  #collect(worker: Worker, id: number, result: unknown): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || !pending.missing.delete(worker)) return;
    pending.results.set(worker, result);
    if (pending.kind === "metrics") this.#ledger.record(worker, result as WorkerMetrics);
    if (pending.missing.size === 0) pending.finish();
  }

  /** Removes a crashed worker. Returns false if that has been done. */
  #discard(worker: Worker): boolean {
    worker.terminate();
    this.#missedPings.delete(worker);
    if (!this.#workers.delete(worker)) return false;
    for (const { missing, finish } of [...this.#pending.values()]) {
      if (missing.delete(worker) && missing.size === 0) finish();
    }
    return true;
  }

  #replace(): void {
    if (this.#stopping) return;
    this.#spawn().catch((error) => {
      if (this.#stopping) return;
      this.#log.error("a crashed worker cannot be replaced yet: {why}", { why: error.message });
      setTimeout(() => this.#replace(), RETRY_MS);
    });
  }
}

/** Stops a worker. Resolves when it has stopped or crashed. */
function stopped(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
      if (data.kind === "stopped") resolve();
    });
    worker.addEventListener("error", () => resolve());
    send(worker, { kind: "stop" });
  });
}

function send(worker: Worker, command: Command): void {
  worker.postMessage(command);
}

/** With `reusePort`, which workers need, another daemon of the same user could hold a port unnoticed. */
function requireFreePorts({ address: hostname, ports, agentPort = null }: InstanceOptions): void {
  for (const port of [...ports, ...agentPort === null ? [] : [agentPort]]) {
    try {
      Deno.listen({ hostname, port }).close();
    } catch (error) {
      throw cannotListen(hostname, port, error);
    }
  }
}
