/**
 * Conditions that make the work of a measured daemon harder.
 *
 * @module
 */

import { SpoolStore } from "../../src/spool/store.ts";
import type { Daemon } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/**
 * Writes many records.
 *
 * @param spool The folder of the spool.
 * @param count The number of records.
 */
export function manyRecords(spool: string, count: number): void {
  for (let i = 0; i < count; i++) {
    // Not through SpoolStore, which waits for the disk at each record.
    Deno.writeTextFileSync(`${spool}/many-${i}`, '{"reason": "many", "expiration": null}');
  }
}

/**
 * Writes and removes records until disposed.
 *
 * @param spool The folder of the spool.
 * @param rate The number of changes per second.
 */
export function changingRecords(spool: string, rate: number): Promise<AsyncDisposable> {
  const store = new SpoolStore(spool);
  return Promise.resolve(repeat(async (turn) => {
    const started = performance.now();
    const name = `changing-${turn % 20}`;
    if (turn % 40 < 20) {
      await store.set(name, { mode: "down", reason: `turn ${turn}`, expiration: null });
    } else {
      await store.remove(name);
    }
    await rest(1000 / rate - (performance.now() - started));
  }, 1));
}

/**
 * Requests checks of a service that accepts connections and never responds.
 *
 * @param daemon The daemon.
 * @param count The number of hanging checks at once.
 */
export async function hangingChecks(daemon: Daemon, count: number): Promise<AsyncDisposable> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    try {
      for await (const connection of listener) accepted.push(connection);
    } catch {
      // The listener was closed.
    }
  })();
  const stopped = new AbortController();
  const requests = repeat(async (turn) => {
    try {
      const url = daemon.url(`/http/hanging/${port}/${turn}`);
      await (await fetch(url, { signal: stopped.signal })).text();
    } catch {
      // The request was aborted.
    }
  }, count);
  await until("the checks hang", () => accepted.length >= count);
  return {
    async [Symbol.asyncDispose]() {
      stopped.abort();
      listener.close();
      for (const connection of accepted) connection.close();
      await requests[Symbol.asyncDispose]();
      await accepting;
    },
  };
}

/** Repeats work until disposed, with `count` calls at once. */
function repeat(work: (turn: number) => Promise<void>, count: number): AsyncDisposable {
  let turn = 0;
  let isDisposed = false;
  const workers = Array.from({ length: count }, async () => {
    while (!isDisposed) await work(turn++);
  });
  return {
    async [Symbol.asyncDispose]() {
      isDisposed = true;
      await Promise.all(workers);
    },
  };
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
