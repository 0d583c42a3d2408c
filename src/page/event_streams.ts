import { SlowReaderError } from "../server/responses.ts";

/** How many streams may be open at once. The page is for operators, not for a crowd. */
export const MAX_STREAMS = 32;

/** When {@linkcode EventStreams} sends events. Times are in milliseconds. */
export interface EventTimes {
  /** How often the status is sent. */
  readonly interval: number;
  /** The shortest time between two updates. */
  readonly minGap: number;
  /** How long a client may read nothing before its stream ends; {@linkcode EVENT_READER_TIMEOUT_MS} by default. */
  readonly readerTimeout?: number;
}

/** The default times. */
export const EVENT_TIMES: EventTimes = { interval: 1000, minGap: 200 };

/** How long a browser waits before it reconnects, in milliseconds. */
const RETRY_MS = 1000;

/** How long a client may read nothing before its stream ends, in milliseconds. */
export const EVENT_READER_TIMEOUT_MS = 30_000;

/** The state of the daemon, as two JSON documents. */
export interface Update {
  readonly downtimes: string;
  readonly status: string;
}

const encoder = new TextEncoder();

/** An update as messages, each encoded once for all streams: many readers take no more memory than one. */
class Messages {
  readonly update: Update;
  #status: Uint8Array | undefined;
  #all: Uint8Array | undefined;

  constructor(update: Update) {
    this.update = update;
  }

  get status(): Uint8Array {
    return this.#status ??= encoder.encode(`event: status\ndata: ${this.update.status}\n\n`);
  }

  /** The downtimes and the status. */
  get all(): Uint8Array {
    const { downtimes, status } = this.update;
    return this.#all ??= encoder.encode(
      `event: downtimes\ndata: ${downtimes}\n\nevent: status\ndata: ${status}\n\n`,
    );
  }
}

/**
 * Sends updates to browsers as server-sent events: at once after a change of the spool, and once a second
 * otherwise. It does nothing while no stream is open.
 *
 * A slow reader skips updates and gets the latest one when it reads again, so at most one message waits per reader.
 */
export class EventStreams {
  readonly #gather: () => Promise<Update>;
  readonly #times: EventTimes;
  readonly #streams = new Set<EventStream>();
  #isRunning = false;
  #isClosed = false;
  /** Whether something has changed since the last update was gathered. */
  #isStale = false;
  #wakeUp: () => void = () => {};

  /**
   * @param gather Returns the current state.
   * @param times When events are sent.
   */
  constructor(gather: () => Promise<Update>, times: EventTimes = EVENT_TIMES) {
    this.#gather = gather;
    this.#times = times;
  }

  /**
   * Opens a stream.
   *
   * @returns The body of a response; undefined if too many streams are open.
   */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.#isClosed || this.#streams.size >= MAX_STREAMS) return undefined;
    const stream: EventStream = new EventStream(() => {
      this.#streams.delete(stream);
      this.#wakeUp();
    });
    this.#streams.add(stream);
    // The last update may be old.
    this.notify();
    if (!this.#isRunning) void this.#run();
    return stream.body;
  }

  /** Sends an update soon, since something has changed. */
  notify(): void {
    this.#isStale = true;
    this.#wakeUp();
  }

  /** Ends the open streams. */
  end(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    this.#wakeUp();
  }

  /** Ends the open streams and opens no more. */
  close(): void {
    this.#isClosed = true;
    this.end();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const { interval, minGap, readerTimeout = EVENT_READER_TIMEOUT_MS } = this.#times;
    try {
      while (this.#streams.size > 0) {
        this.#isStale = false;
        const messages = new Messages(await this.#gather());
        for (const stream of this.#streams) {
          stream.offer(messages);
          if (stream.idleMs < readerTimeout) continue;
          this.#streams.delete(stream);
          stream.abort();
        }
        await this.#sleep(minGap, () => this.#streams.size === 0);
        await this.#sleep(interval - minGap, () => this.#isStale || this.#streams.size === 0);
      }
    } finally {
      this.#isRunning = false;
      // After an error the browsers reconnect.
      this.end();
    }
  }

  /** Sleeps until the time is over, or until a wake-up finds that a condition holds. */
  async #sleep(milliseconds: number, isOver: () => boolean): Promise<void> {
    if (isOver()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wakeUp = () => {
        if (!isOver()) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeUp = () => {};
  }
}

/** The stream of one reader. */
class EventStream {
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #latest: Messages | undefined;
  #sent: Messages | undefined;
  #readAt = performance.now();

  readonly body: ReadableStream<Uint8Array>;

  /** @param onCancel Called when the reader has gone. */
  constructor(onCancel: () => void) {
    this.body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
      },
      pull: () => {
        this.#readAt = performance.now();
        this.#send();
      },
      cancel: onCancel,
    });
  }

  /** Sends an update as soon as the reader is ready for it. */
  offer(messages: Messages): void {
    this.#latest = messages;
    const isReady = (this.#controller.desiredSize ?? 0) > 0;
    if (isReady) {
      this.#readAt = performance.now();
      this.#send();
    }
  }

  /** For how long the reader has read nothing although a message was there, in milliseconds. */
  get idleMs(): number {
    return performance.now() - this.#readAt;
  }

  /** Ends the stream after the last message. */
  end(): void {
    this.#controller.close();
  }

  /** Ends the stream at once, and its connection. */
  abort(): void {
    this.#controller.error(new SlowReaderError("the client does not read the events"));
  }

  #send(): void {
    const messages = this.#latest;
    if (messages === undefined || messages === this.#sent) return;
    const isKnown = messages.update.downtimes === this.#sent?.update.downtimes;
    this.#sent = messages;
    // This may call `pull` at once.
    this.#controller.enqueue(isKnown ? messages.status : messages.all);
  }
}
