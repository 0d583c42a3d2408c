import type { Daemon } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** The pause of a client after each response, in milliseconds. */
const PAUSE_MS = 2;

/** Clients that send one request after another until they are disposed of. */
export class Clients implements AsyncDisposable {
  readonly #clients: Promise<void>[];
  #stopped = false;

  /** How many requests got a response. */
  answered = 0;
  /** How many responses had another status than the expected one. */
  wrong = 0;
  /** How many requests got no response. */
  lost = 0;

  /**
   * Starts them.
   *
   * @param count The number of clients.
   * @param daemon The daemon.
   * @param path The path that they request.
   * @param expected The expected status.
   */
  constructor(count: number, daemon: Daemon, path: string, expected: number) {
    this.#clients = Array.from({ length: count }, async () => {
      while (!this.#stopped) {
        try {
          const { status } = await daemon.get(path);
          this.answered++;
          if (status !== expected) this.wrong++;
        } catch {
          this.lost++;
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    });
  }

  /** Waits until so many more requests got a response. */
  async more(count = 200): Promise<void> {
    const enough = this.answered + count;
    await until(`${count} more requests are answered`, () => this.answered >= enough);
  }

  /** Stops them, and waits for their last responses. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }
}

/**
 * Sends eight requests at once. If one of two workers hangs, about half of the requests reach it.
 *
 * @param daemon The daemon.
 * @param path The path.
 * @returns The bodies of the responses that came within 3 s.
 */
export async function getFromWorkers(daemon: Daemon, path: string): Promise<string[]> {
  const responses = await Promise.allSettled(Array.from({ length: 8 }, async () => {
    const signal = AbortSignal.timeout(3000);
    const headers = { connection: "close" };
    return await (await fetch(daemon.url(path), { headers, signal })).text();
  }));
  return responses.flatMap((response) => response.status === "fulfilled" ? [response.value] : []);
}
