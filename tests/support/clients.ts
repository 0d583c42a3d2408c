import type { Daemon } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** Clients that ask one thing after another, until they are told to stop. */
export class Clients implements AsyncDisposable {
  readonly #clients: Promise<void>[];
  #stopped = false;

  /** How many got an answer. */
  answered = 0;
  /** How many answers were not the expected one. */
  wrong = 0;
  /** How many got none. */
  lost = 0;

  /**
   * Lets them begin.
   *
   * @param count How many they are.
   * @param daemon Whom they ask.
   * @param path What for.
   * @param expected The status of the answer that is right.
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
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    });
  }

  /** Waits until some more have got an answer. */
  async more(count = 200): Promise<void> {
    const enough = this.answered + count;
    await until("more requests are answered", () => this.answered >= enough);
  }

  /** Waits until each has its last answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }
}

/**
 * Asks eight times at once, of which about half come to an event loop that hangs, where it is one of two.
 *
 * @param daemon Whom to ask.
 * @param path What to ask for.
 * @returns The answers of those that were answered.
 */
export async function heard(daemon: Daemon, path: string): Promise<string[]> {
  const answers = await Promise.allSettled(Array.from({ length: 8 }, async () => {
    const signal = AbortSignal.timeout(3000);
    const headers = { connection: "close" };
    return await (await fetch(daemon.url(path), { headers, signal })).text();
  }));
  return answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
}
