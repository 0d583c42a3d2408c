import type { Daemon } from "./programs.ts";
import { until } from "../servers/mod.ts";

/** A call without a response is sent again after this time, in milliseconds. */
const RETRY_MS = 1000;

/** How often a call is sent at most. */
const MAX_CALLS = 60;

/** A debugger in a daemon. It runs code in the daemon's workers. */
export class Debugger implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();
  /** The session of each worker. */
  readonly #sessions = new Map<string, string>();
  /** The callback of each call without a result. */
  readonly #pending = new Map<number, (result: unknown) => void>();
  #calls = 0;

  /** The permission that a daemon needs to be debugged. */
  static readonly GRANT = "--inspect=127.0.0.1:0";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onclose = () => this.#closed.resolve();
    socket.onmessage = ({ data }) => {
      const { id, method, params, result } = JSON.parse(data);
      this.#pending.get(id)?.(result);
      this.#pending.delete(id);
      if (method === "Target.attachedToTarget") {
        this.#sessions.set(params.targetInfo.targetId, params.sessionId);
      } else if (method === "Target.targetDestroyed") {
        this.#sessions.delete(params.targetId);
      }
    };
  }

  /**
   * Attaches one to a daemon.
   *
   * @param daemon The daemon.
   * @param workers How many workers it has, beside its main program.
   */
  static async attach(daemon: Daemon, workers: number): Promise<Debugger> {
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
    await until(
      "the debugger has a session with each worker",
      () => attached.#sessions.size === workers,
    );
    // A worker that has just started may drop a call.
    for (const worker of attached.workers) await attached.run("0", worker);
    return attached;
  }

  /** The workers that run. */
  get workers(): readonly string[] {
    return [...this.#sessions.keys()];
  }

  /**
   * Runs code in a worker. The code may run twice.
   *
   * @param code The code.
   * @param worker The worker; the daemon's main program, if not given.
   */
  async run(code: string, worker?: string): Promise<void> {
    await this.#evaluate({ expression: code }, worker);
  }

  /**
   * Evaluates an expression in a worker.
   *
   * @param expression The expression. JSON must be able to express its value.
   * @param worker The worker; the daemon's main program, if not given.
   * @returns The value.
   */
  async evaluate(expression: string, worker?: string): Promise<unknown> {
    const result = await this.#evaluate({ expression, returnByValue: true }, worker);
    return (result as { result: { value: unknown } }).result.value;
  }

  /**
   * Runs code in a worker again and again until a condition holds: an idle worker may not notice what the code
   * set off.
   *
   * @param what The condition, for the message.
   * @param holds Returns whether it holds.
   * @param code The code.
   * @param worker The worker.
   */
  async runUntil(
    what: string,
    holds: () => boolean | Promise<boolean>,
    code: string,
    worker: string,
  ): Promise<void> {
    const attempt = async () => {
      if (await holds()) return true;
      await this.run(code, worker);
      return false;
    };
    await until(what, attempt, 60_000, 500);
  }

  /** Ends a worker by an error that nothing in the worker can catch. */
  async kill(worker: string): Promise<void> {
    await this.runUntil(
      "the worker has ended",
      () => !this.#sessions.has(worker),
      'Event.prototype.preventDefault = () => {}; setTimeout(() => { throw new Error("struck") });',
      worker,
    );
  }

  /**
   * Makes a worker hang for good, shortly after the worker has confirmed the call.
   *
   * @param worker The worker; the daemon's main program, if not given.
   * @param how It waits, or takes all the time of a processor.
   */
  async hang(worker?: string, how: "waiting" | "busy" = "waiting"): Promise<void> {
    const code = how === "busy"
      ? "for (;;);"
      : "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);";
    await this.run(`setTimeout(() => { ${code} }, 100);`, worker);
  }

  /** Detaches it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#closed.promise;
  }

  /** Sends a call again until there is a result or the worker has ended. */
  async #evaluate(params: Record<string, unknown>, worker?: string): Promise<unknown> {
    const response = Promise.withResolvers<unknown>();
    const ids: number[] = [];
    let result: unknown;
    while (result === undefined && (worker === undefined || this.#sessions.has(worker))) {
      if (ids.length === MAX_CALLS) throw new Error(`no result: ${params.expression}`);
      const session = worker === undefined ? undefined : this.#sessions.get(worker);
      const id = this.#send("Runtime.evaluate", params, session);
      this.#pending.set(id, response.resolve);
      ids.push(id);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const pause = new Promise<undefined>((resolve) =>
        timer = setTimeout(() => resolve(undefined), RETRY_MS)
      );
      result = await Promise.race([response.promise, pause]);
      clearTimeout(timer);
    }
    for (const id of ids) this.#pending.delete(id);
    return result;
  }

  #send(method: string, params: Record<string, unknown>, sessionId?: string): number {
    const id = this.#calls++;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return id;
  }
}
