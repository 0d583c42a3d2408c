/**
 * An event loop of its own, as its supervisor orders.
 *
 * @module
 */

import { newCounters } from "../metrics/counters.ts";
import { Instance } from "./instance.ts";
import { type DaemonLog, openLog, surviveUncaughtErrors } from "../log.ts";
import type { QueryHandlers, QueryWorkers, WorkerResults } from "../server/worker_queries.ts";
import type { Order, Question, Report } from "./supervisor.ts";

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  postMessage(report: Report): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Order>) => void): void;
}

const scope = globalThis as unknown as WorkerScope;

/** The questions that this event loop waits for the answers to. */
const waiting = new Map<number, (answers: readonly unknown[]) => void>();
let questions = 0;
let loop: Instance | undefined;
let verbose = false;
let log: DaemonLog | undefined;
let respondent: QueryHandlers | undefined;
const counters = newCounters();

function peers(own: QueryHandlers): QueryWorkers {
  respondent = own;
  return (kind, detail) =>
    new Promise((resolve) => {
      const id = questions++;
      waiting.set(id, (answers) => resolve(answers as WorkerResults[typeof kind][]));
      scope.postMessage({ kind: "ask", id, question: { kind, detail } as Question });
    });
}

async function start({ options, settings }: Order & { kind: "start" }): Promise<void> {
  try {
    verbose = options.verbose;
    log = openLog(settings, verbose, counters.errors);
    surviveUncaughtErrors(log, counters.errors);
    loop = new Instance(options, settings, log, peers, counters);
    scope.postMessage({ kind: "listening", listening: await loop.listen() });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await log?.flush();
    scope.postMessage({ kind: "failed", message });
  }
}

/** One question at a time has one type of answer; that it is the right one, the respondent's type tells. */
function answer({ kind, detail }: Question): unknown {
  const respond = respondent![kind] as (detail: unknown) => unknown;
  return respond(detail);
}

scope.addEventListener("message", async ({ data }) => {
  switch (data.kind) {
    case "start":
      return await start(data);
    case "configure":
      loop?.configure(data.settings);
      openLog(data.settings, verbose, counters.errors, log);
      return;
    case "question":
      return scope.postMessage({ kind: "answer", id: data.id, answer: answer(data.question) });
    case "answers":
      waiting.get(data.id)?.(data.answers);
      waiting.delete(data.id);
      return;
    case "stop":
      await loop?.stop();
      await log?.flush();
      scope.postMessage({ kind: "stopped" });
  }
});
