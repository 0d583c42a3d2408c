import type { Settings } from "../config.ts";
import { cannotListen, type InstanceOptions, type Listening, StartError } from "./instance.ts";
import type { Log } from "../log.ts";
import { Ledger } from "../metrics/ledger.ts";
import type { WorkerMetrics } from "../metrics/exposition.ts";
import type { WorkerQueries, WorkerResults } from "../server/worker_queries.ts";

/** What a supervisor tells an event loop. */
export type Order =
  | { readonly kind: "start"; readonly options: InstanceOptions; readonly settings: Settings }
  | { readonly kind: "configure"; readonly settings: Settings }
  | { readonly kind: "question"; readonly id: number; readonly question: Question }
  | { readonly kind: "answers"; readonly id: number; readonly answers: readonly unknown[] }
  | { readonly kind: "stop" };

/** What an event loop tells its supervisor. */
export type Report =
  | { readonly kind: "listening"; readonly listening: Listening }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "ask"; readonly id: number; readonly question: Question }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "stopped" };

/** A question for every event loop, with what goes with it. */
export type Question = {
  [Kind in keyof WorkerQueries]: { readonly kind: Kind; readonly detail: WorkerQueries[Kind] };
}[keyof WorkerQueries];

/** The first module of an event loop. Where modules are bundled, each keeps its path from the bundle on. */
const WORKER = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./src/daemon/worker.js";

/** How long an event loop may take to answer another, in milliseconds. Who takes longer is left out. */
const PATIENCE_MS = 1000;

/** How long to wait before an event loop is replaced that could not even start, in milliseconds. */
const RETRY_MS = 1000;

/** WorkerResults that are being gathered. */
interface Gathering {
  readonly kind: keyof WorkerQueries;
  readonly answers: Map<Worker, WorkerResults[keyof WorkerResults]>;
  readonly expected: Set<Worker>;
  readonly finish: () => void;
}

/** Runs event loops side by side, each in a worker, and replaces those that die. */
export class Supervisor {
  readonly #log: Log;
  readonly #workers = new Set<Worker>();
  readonly #gatherings = new Map<number, Gathering>();
  readonly #ledger = new Ledger<Worker>();
  #options: InstanceOptions;
  #settings: Settings;
  #questions = 0;
  #stopping = false;
  #listening: Listening = { addresses: [], agents: null };

  private constructor(options: InstanceOptions, settings: Settings, log: Log) {
    this.#options = options;
    this.#settings = settings;
    this.#log = log;
  }

  /**
   * Starts event loops.
   *
   * @param count How many.
   * @param options What each of them serves.
   * @param settings How.
   * @param log Where deaths are told.
   * @returns Their supervisor, once all of them listen.
   * @throws {StartError} If they cannot start.
   */
  static async start(
    count: number,
    options: InstanceOptions,
    settings: Settings,
    log: Log,
  ): Promise<Supervisor> {
    demandPorts(options);
    const supervisor = new Supervisor({ ...options, shared: true }, settings, log);
    try {
      // The first one finds out which ports are free, where any will do.
      const { addresses, agents } = supervisor.#listening = await supervisor.#spawn();
      const ports = addresses.map(({ port }) => port);
      supervisor.#options = { ...supervisor.#options, ports, agentPort: agents?.port ?? null };
      await Promise.all(Array.from({ length: count - 1 }, () => supervisor.#spawn()));
      return supervisor;
    } catch (error) {
      supervisor.#stopping = true;
      for (const worker of supervisor.#workers) worker.terminate();
      throw error;
    }
  }

  /** Where all of them listen. */
  get listening(): Listening {
    return this.#listening;
  }

  /**
   * Gives all event loops other settings.
   *
   * @param settings How to serve from now on.
   */
  configure(settings: Settings): void {
    this.#settings = settings;
    for (const worker of this.#workers) tell(worker, { kind: "configure", settings });
  }

  /** Stops all event loops gracefully; one that hangs and does not hear of it, by force. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const patience = this.#settings.config.healthcheck_timeout * 1000 + PATIENCE_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      Promise.all([...this.#workers].map(stopped)),
      new Promise<void>((resolve) => timer = setTimeout(resolve, patience)),
    ]);
    clearTimeout(timer);
    for (const worker of this.#workers) worker.terminate();
  }

  #spawn(): Promise<Listening> {
    const worker = new Worker(new URL(WORKER, import.meta.url), { type: "module" });
    this.#workers.add(worker);
    return new Promise((resolve, reject) => {
      let listens = false;
      const die = (why: string) => {
        if (!this.#discard(worker)) return;
        if (listens) {
          this.#ledger.retire(worker);
          this.#replace(why);
        } else reject(new StartError(why));
      };
      worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
        if (data.kind === "listening") {
          listens = true;
          resolve(data.listening);
        } else if (data.kind === "failed") {
          die(data.message);
        } else {
          this.#heed(worker, data);
        }
      });
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        die(event.message);
      });
      tell(worker, { kind: "start", options: this.#options, settings: this.#settings });
    });
  }

  #heed(worker: Worker, report: Report): void {
    if (report.kind === "ask") this.#gather(worker, report.id, report.question);
    else if (report.kind === "answer") this.#take(worker, report.id, report.answer);
  }

  /** Passes a question on to all, and their answers back to the one that asks. */
  #gather(asker: Worker, askersId: number, question: Question): void {
    const id = this.#questions++;
    const gathering: Gathering = {
      kind: question.kind,
      answers: new Map(),
      expected: new Set(this.#workers),
      finish: () => {
        clearTimeout(timer);
        this.#gatherings.delete(id);
        // In an order of their own, so that who asks again can tell one from another.
        const answered = [...this.#workers].filter((worker) => gathering.answers.has(worker));
        const answers = gathering.kind === "metrics"
          ? this.#ledger.complete(answered)
          : answered.map((worker) => gathering.answers.get(worker));
        tell(asker, { kind: "answers", id: askersId, answers });
      },
    };
    const timer = setTimeout(gathering.finish, PATIENCE_MS);
    this.#gatherings.set(id, gathering);
    for (const worker of this.#workers) tell(worker, { kind: "question", id, question });
  }

  #take(worker: Worker, id: number, answer: unknown): void {
    const gathering = this.#gatherings.get(id);
    if (gathering === undefined || !gathering.expected.delete(worker)) return;
    gathering.answers.set(worker, answer as WorkerResults[keyof WorkerResults]);
    if (gathering.kind === "metrics") this.#ledger.record(worker, answer as WorkerMetrics);
    if (gathering.expected.size === 0) gathering.finish();
  }

  /** Lets go of an event loop that has died, and waits for its answers no longer. False if that is done. */
  #discard(worker: Worker): boolean {
    worker.terminate();
    if (!this.#workers.delete(worker)) return false;
    for (const gathering of [...this.#gatherings.values()]) {
      if (gathering.expected.delete(worker) && gathering.expected.size === 0) gathering.finish();
    }
    return true;
  }

  #replace(why: string): void {
    if (this.#stopping) return;
    this.#log.error("an event loop died and is replaced: {why}", { why });
    this.#respawn();
  }

  #respawn(): void {
    if (this.#stopping) return;
    this.#spawn().catch((error) => {
      if (this.#stopping) return;
      this.#log.error("an event loop cannot be replaced yet: {why}", { why: error.message });
      setTimeout(() => this.#respawn(), RETRY_MS);
    });
  }
}

/** Tells an event loop to stop, and waits until it has. */
function stopped(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
      if (data.kind === "stopped") resolve();
    });
    worker.addEventListener("error", () => resolve());
    tell(worker, { kind: "stop" });
  });
}

function tell(worker: Worker, order: Order): void {
  worker.postMessage(order);
}

/** Event loops share their ports with whoever asks for it, another daemon of the same user's included. */
function demandPorts({ address: hostname, ports, agentPort = null }: InstanceOptions): void {
  for (const port of [...ports, ...agentPort === null ? [] : [agentPort]]) {
    try {
      Deno.listen({ hostname, port }).close();
    } catch (error) {
      throw cannotListen(hostname, port, error);
    }
  }
}
