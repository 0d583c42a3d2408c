/**
 * What goes on while the daemon is measured.
 *
 * @module
 */

import { SpoolStore } from "../../src/spool/store.ts";
import type { Daemon } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/**
 * Marks many things down.
 *
 * @param spool The spool.
 * @param count How many records there are to be.
 */
export function manyRecords(spool: string, count: number): void {
  for (let i = 0; i < count; i++) {
    // Written plainly: to wait for the disk ten thousand times measures nothing of interest.
    Deno.writeTextFileSync(`${spool}/many-${i}`, '{"reason": "many", "expiration": null}');
  }
}

/**
 * Marks things down and up, again and again.
 *
 * @param spool The spool.
 * @param rate How many times a second.
 */
export function changingRecords(spool: string, rate: number): Promise<AsyncDisposable> {
  const store = new SpoolStore(spool);
  return Promise.resolve(again(async (turn) => {
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
 * Asks for checks of a service that accepts and never answers.
 *
 * @param daemon Whom to ask.
 * @param count How many of them hang at once.
 */
export async function hangingChecks(daemon: Daemon, count: number): Promise<AsyncDisposable> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    try {
      for await (const connection of listener) accepted.push(connection);
    } catch {
      // Closed while it waited for one more.
    }
  })();
  const stopped = new AbortController();
  const asking = again(async (turn) => {
    try {
      const url = daemon.url(`/http/hanging/${port}/${turn}`);
      await (await fetch(url, { signal: stopped.signal })).text();
    } catch {
      // It is over.
    }
  }, count);
  await until("the checks hang", () => accepted.length >= count);
  return {
    async [Symbol.asyncDispose]() {
      stopped.abort();
      listener.close();
      for (const connection of accepted) connection.close();
      await asking[Symbol.asyncDispose]();
      await accepting;
    },
  };
}

/** Does something over and over, several times at once, until it is disposed of. */
function again(work: (turn: number) => Promise<void>, count: number): AsyncDisposable {
  let turn = 0;
  let isOver = false;
  const workers = Array.from({ length: count }, async () => {
    while (!isOver) await work(turn++);
  });
  return {
    async [Symbol.asyncDispose]() {
      isOver = true;
      await Promise.all(workers);
    },
  };
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
