import type { Daemon } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** How long what is said may go unanswered before it is said again, in milliseconds. */
const HEARING_MS = 1000;

/** How often it is said. */
const MAX_TRIES = 20;

/** A debugger in a daemon: it does to its event loops, and asks of them, what no request can. */
export class Debugger implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();
  /** The session with each event loop. */
  readonly #loops = new Map<string, string>();
  /** Who waits for the result of a call. */
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #calls = 0;

  /** The grant of a daemon that can be debugged. */
  static readonly GRANT = "--inspect=127.0.0.1:0";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onclose = () => this.#closed.resolve();
    socket.onmessage = ({ data }) => {
      const { id, method, params, result } = JSON.parse(data);
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
      if (method === "Target.attachedToTarget") {
        this.#loops.set(params.targetInfo.targetId, params.sessionId);
      } else if (method === "Target.targetDestroyed") {
        this.#loops.delete(params.targetId);
      }
    };
  }

  /**
   * Attaches one to a daemon.
   *
   * @param daemon The daemon.
   * @param loops How many event loops it has, beside its main program.
   */
  static async attach(daemon: Daemon, loops: number): Promise<Debugger> {
    // Deno logs it from a thread of its own, maybe after the daemon has logged its start.
    const [, url] = await daemon.logged(/^Debugger listening on (ws:\S+)$/m);
    const socket = new WebSocket(url!);
    const attached = new Debugger(socket);
    await new Promise((resolve) => socket.onopen = resolve);
    attached.#send("Target.setAutoAttach", {
      autoAttach: true,
      waitForDebuggerOnStart: false,
      flatten: true,
    });
    await until("all event loops are debugged", () => attached.#loops.size === loops);
    // What is said to an event loop that has just come is not always heard.
    for (const loop of attached.loops) await attached.run("0", loop);
    return attached;
  }

  /** The event loops that there are. */
  get loops(): readonly string[] {
    return [...this.#loops.keys()];
  }

  /**
   * Runs code in an event loop, or in the daemon's main program. It may run twice.
   *
   * @param code The code.
   * @param loop Which event loop.
   */
  async run(code: string, loop?: string): Promise<void> {
    await this.#evaluate({ expression: code }, loop);
  }

  /**
   * Asks an event loop, or the daemon's main program, what an expression is.
   *
   * @param expression The expression. Its value must be one that JSON can tell.
   * @param loop Which event loop.
   */
  async ask(expression: string, loop?: string): Promise<unknown> {
    const result = await this.#evaluate({ expression, returnByValue: true }, loop);
    return (result as { result: { value: unknown } }).result.value;
  }

  /**
   * Runs code in an event loop again and again until what it does is seen: what it sets off may go unseen by
   * an event loop that nobody asks for anything.
   *
   * @param what What is to be seen, for the message.
   * @param seen Tells whether it is.
   * @param code The code.
   * @param loop Which event loop.
   */
  async runUntil(
    what: string,
    seen: () => boolean | Promise<boolean>,
    code: string,
    loop: string,
  ): Promise<void> {
    const see = async () => {
      if (await seen()) return true;
      await this.run(code, loop);
      return false;
    };
    await until(what, see, 60_000, 500);
  }

  /** Kills an event loop by a fault that nothing in it can catch. */
  async kill(loop: string): Promise<void> {
    await this.runUntil(
      "it is dead",
      () => !this.#loops.has(loop),
      'Event.prototype.preventDefault = () => {}; setTimeout(() => { throw new Error("struck") });',
      loop,
    );
  }

  /** Lets an event loop hang for good, soon after it has said that it heard. */
  async hang(loop: string): Promise<void> {
    await this.run("setTimeout(() => { for (;;); }, 100);", loop);
  }

  /** Detaches it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#closed.promise;
  }

  /** Says it again until it is answered, or there is nobody left to answer. */
  async #evaluate(params: Record<string, unknown>, loop?: string): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    const ids: number[] = [];
    let result: unknown;
    while (result === undefined && (loop === undefined || this.#loops.has(loop))) {
      if (ids.length === MAX_TRIES) throw new Error(`unheard: ${params.expression}`);
      const session = loop === undefined ? undefined : this.#loops.get(loop);
      const id = this.#send("Runtime.evaluate", params, session);
      this.#waiting.set(id, answer.resolve);
      ids.push(id);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const pause = new Promise<undefined>((resolve) =>
        timer = setTimeout(() => resolve(undefined), HEARING_MS)
      );
      result = await Promise.race([answer.promise, pause]);
      clearTimeout(timer);
    }
    for (const id of ids) this.#waiting.delete(id);
    return result;
  }

  #send(method: string, params: Record<string, unknown>, sessionId?: string): number {
    const id = this.#calls++;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return id;
  }
}
