import { tinyChunks } from "../load/hoarding.ts";
import {
  afterRequest,
  ClosedPort,
  closing,
  FaultyServer,
  resetting,
  sending,
  silent,
} from "../servers/faulty.ts";

/** The behaviour of a service under check. */
export type Behaviour = "alive" | "closed" | "garbage" | "resetting" | "silent" | "tiny chunks";

/** The body that one service sends in chunks of one byte. */
export const IN_CHUNKS = "a byte at a time";

/** The statuses that the live service returns for the paths `/code/200`, … */
export const CODES: readonly number[] = [200, 204, 301, 302, 404, 418, 429, 500, 503, 599];

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
  `${tinyChunks(IN_CHUNKS)}0\r\n\r\n`;

/** Services on 127.0.0.1, one of each behaviour. */
export class Targets implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  /** The port of each service. */
  readonly ports: Readonly<Record<Behaviour, number>>;

  private constructor(stack: AsyncDisposableStack, ports: Readonly<Record<Behaviour, number>>) {
    this.#stack = stack;
    this.ports = ports;
  }

  /** Starts the services. */
  static async start(): Promise<Targets> {
    await using stack = new AsyncDisposableStack();
    const alive = stack.use(
      Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, respond),
    );
    const garbage = stack.use(
      await FaultyServer.start(sending("\x16\x03\x01\0\xff\0".repeat(100))),
    );
    const reset = stack.use(await FaultyServer.start(resetting));
    const quiet = stack.use(await FaultyServer.start(silent));
    const chunks = stack.use(
      await FaultyServer.start(afterRequest(sending(CHUNKED, closing))),
    );
    const closed = stack.use(await ClosedPort.open());
    return new Targets(stack.move(), {
      alive: alive.addr.port,
      closed: closed.port,
      garbage: garbage.port,
      resetting: reset.port,
      silent: quiet.port,
      "tiny chunks": chunks.port,
    });
  }

  /** Stops the services. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function respond({ url }: Request): Response {
  const status = Number(/\/code\/(\d{3})$/.exec(url)?.[1] ?? "200");
  return new Response(status === 204 ? null : `code ${status}`, { status });
}
