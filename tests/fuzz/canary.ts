import { CutError, Wire } from "../load/wire.ts";
import { answersTo, isAmong, type Question } from "./model.ts";
import type { World } from "./world.ts";

/** How long it rests between two rounds, in milliseconds. */
const REST_MS = 50;

/** An honest client, which asks the same all the time, on connections of its own. */
export class Canary implements AsyncDisposable {
  readonly #port: number;
  readonly #world: World;
  readonly #singing: Promise<void>;
  #stopped = false;

  /** How often it was answered rightly. */
  right = 0;
  /** What it was told wrongly, and where it got no answer. */
  readonly wrong: string[] = [];
  /** How long the slowest answer took, in milliseconds. */
  slowest = 0;

  /**
   * @param port The daemon's.
   * @param world What it asks for.
   */
  constructor(port: number, world: World) {
    this.#port = port;
    this.#world = world;
    this.#singing = this.#sing();
  }

  /** Ends its asking. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#singing;
  }

  async #sing(): Promise<void> {
    const { alive, closed } = this.#world.ports;
    const asked = (protocol: string, service: string, port: number, path = "") => {
      return { protocol, service, port: String(port), path, method: "GET" };
    };
    const questions: readonly Question[] = [
      asked("spool", "canary", 0),
      asked("spool", "condemned", 0),
      asked("tcp", "by-port", 8081),
      asked("tcp", "canary", alive),
      asked("http", "canary", alive, "/code/418"),
      asked("http", "canary", closed),
    ];
    while (!this.#stopped) {
      // Asked again at most once: connections are cut where other clients do not read, but never twice.
      for (const question of questions) {
        if (!await this.#ask(question, true)) await this.#ask(question, false);
      }
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  }

  /** Asks, and tells whether there was an answer. */
  async #ask(question: Question, mayBeCut: boolean): Promise<boolean> {
    const { protocol, service, port, path, method } = question;
    const target = `/${protocol}/${service}/${port}${path}`;
    const start = performance.now();
    try {
      using wire = await Wire.open(this.#port);
      await wire.send(`${method} ${target} HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n`);
      const response = await wire.response(method);
      if (response === null && mayBeCut) return false;
      if (response === null) throw new Error("no answer");
      const { status, body } = response;
      const answers = answersTo(question, this.#world.condemned, this.#world.ports);
      if (!isAmong(answers, method, status, body)) throw new Error(`${status} ${body}`);
      this.right++;
    } catch (error) {
      if (error instanceof CutError && mayBeCut) return false;
      this.wrong.push(`canary: ${target}: ${(error as Error).message}`);
    }
    this.slowest = Math.max(this.slowest, performance.now() - start);
    return true;
  }
}
