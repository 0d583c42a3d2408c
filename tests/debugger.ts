import { until } from "./servers/mod.ts";

/** A debugger in a daemon with several event loops: it does to them what no request can. */
export class Debugger implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();
  /** The session with each event loop. */
  readonly #loops = new Map<string, string>();
  #calls = 0;

  /** The grant of a daemon that can be debugged. */
  static readonly GRANT = "--inspect=127.0.0.1:0";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onclose = () => this.#closed.resolve();
    socket.onmessage = ({ data }) => {
      const { method, params } = JSON.parse(data);
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
   * @param log What the daemon has logged.
   * @param loops How many event loops it has.
   */
  static async attach(log: string, loops: number): Promise<Debugger> {
    const [, url] = /^Debugger listening on (ws:\S+)$/m.exec(log)!;
    const socket = new WebSocket(url!);
    const attached = new Debugger(socket);
    await new Promise((resolve) => socket.onopen = resolve);
    attached.#send("Target.setAutoAttach", {
      autoAttach: true,
      waitForDebuggerOnStart: false,
      flatten: true,
    });
    await until("all event loops are debugged", () => attached.#loops.size === loops);
    return attached;
  }

  /** The event loops that there are. */
  get loops(): readonly string[] {
    return [...this.#loops.keys()];
  }

  /**
   * Runs code in an event loop, or in the daemon's main program.
   *
   * @param code The code.
   * @param loop Which event loop.
   */
  run(code: string, loop?: string): void {
    const session = loop === undefined ? undefined : this.#loops.get(loop);
    this.#send("Runtime.evaluate", { expression: code }, session);
  }

  /** Kills an event loop by a fault that nothing in it can catch. */
  kill(loop: string): void {
    this.run(
      'Event.prototype.preventDefault = () => {}; setTimeout(() => { throw new Error("struck") });',
      loop,
    );
  }

  /** Detaches it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#closed.promise;
  }

  #send(method: string, params: Record<string, unknown>, sessionId?: string): void {
    this.#socket.send(JSON.stringify({ id: this.#calls++, method, params, sessionId }));
  }
}
