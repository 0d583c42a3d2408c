/**
 * The first module of a worker, which a supervisor starts.
 *
 * @module
 */

import { errorMessage } from "../text/error_message.ts";
import { Instance } from "./instance.ts";
import { DaemonLog, surviveUncaughtErrors } from "../log/log.ts";
import { newCounters } from "../metrics/counters.ts";
import type { QueryHandlers, WorkerQuery, Workers } from "../server/worker_queries.ts";
import type { Command, Query, Report } from "./supervisor.ts";

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  postMessage(report: Report): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Command>) => void): void;
}

/** Runs an instance as its supervisor commands. */
class SupervisedInstance {
  readonly #scope: WorkerScope;
  readonly #counters = newCounters();
  /** The own queries that wait for the results of all workers. */
  readonly #pending = new Map<number, (results: readonly unknown[]) => void>();
  #nextId = 0;
  #log: DaemonLog | undefined;
  #instance: Instance | undefined;
  #handlers: QueryHandlers | undefined;

  constructor(scope: WorkerScope) {
    this.#scope = scope;
  }

  async onCommand(command: Command): Promise<void> {
    switch (command.kind) {
      case "start":
        return await this.#start(command);
      case "configure":
        this.#instance?.configure(command.settings);
        this.#log?.reopen(command.settings.config);
        return;
      case "refuse-reload":
        return this.#instance?.refuseReload();
      case "stop":
        await this.#instance?.stop();
        await this.#log?.flush();
        return this.#scope.postMessage({ kind: "stopped" });
      case "ping":
        return this.#scope.postMessage({ kind: "pong" });
      case "query": {
        const { id, query } = command;
        return this.#scope.postMessage({ kind: "result", id, result: this.#process(query) });
      }
      case "results":
        this.#pending.get(command.id)?.(command.results);
        this.#pending.delete(command.id);
    }
  }

  async #start({ options, settings }: Command & { kind: "start" }): Promise<void> {
    const { errors } = this.#counters;
    try {
      this.#log = new DaemonLog(settings.config, options.verbose, errors);
      surviveUncaughtErrors(this.#log, errors);
      this.#instance = new Instance(
        options,
        settings,
        this.#log,
        this.#counters,
        (handlers) => this.#connect(handlers),
      );
      await this.#instance.listen();
      this.#scope.postMessage({ kind: "listening", listening: this.#instance.listening });
    } catch (error) {
      const message = errorMessage(error);
      await this.#log?.flush();
      this.#scope.postMessage({ kind: "failed", message });
    }
  }

  #connect(handlers: QueryHandlers): Workers {
    this.#handlers = handlers;
    return {
      query: (kind, detail) =>
        new Promise((resolve) => {
          const id = this.#nextId++;
          this.#pending.set(id, resolve as (results: readonly unknown[]) => void);
          this.#scope.postMessage({ kind: "query", id, query: { kind, detail } as Query });
        }),
      changes: {
        add: (change) => this.#scope.postMessage({ kind: "change", change }),
        announce: (name, client) => this.#scope.postMessage({ kind: "announce", name, client }),
      },
    };
  }

  #process({ kind, detail }: Query): unknown {
    const handler = this.#handlers![kind as WorkerQuery] as (detail: unknown) => unknown;
    return handler(detail);
  }
}

const scope = globalThis as unknown as WorkerScope;
const supervised = new SupervisedInstance(scope);
scope.addEventListener("message", ({ data }) => supervised.onCommand(data));
