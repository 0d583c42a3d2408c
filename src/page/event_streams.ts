import { SlowReaderError } from "../server/responses.ts";

/** The most streams that may be open. The page is for operators. */
export const MAX_STREAMS = 32;

/** When {@linkcode EventStreams} sends updates. Times are in milliseconds. */
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

/** An update, encoded once for all streams: many readers take no more memory than one. */
interface Messages {
  readonly downtimes: string;
  /** The status alone. */
  readonly status: Uint8Array;
  /** The downtimes and the status. */
  readonly all: Uint8Array;
}

const encoder = new TextEncoder();

function encode({ downtimes, status }: Update): Messages {
  const message = `event: status\ndata: ${status}\n\n`;
  return {
    downtimes,
    status: encoder.encode(message),
    all: encoder.encode(`event: downtimes\ndata: ${downtimes}\n\n${message}`),
  };
}

/**
 * Sends updates to browsers as server-sent events: soon after a change of the spool, and once a second otherwise. It
 * does nothing while no stream is open.
 *
 * A slow reader skips updates and gets the latest one when it reads again, so at most one message waits per reader.
 */
export class EventStreams {
  readonly #gather: () => Promise<Update>;
  readonly #times: EventTimes;
  readonly #streams = new Set<EventStream>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the last update was sent, by `performance.now()`. */
  #sentAt = -Infinity;
  #isGathering = false;
  /** Whether something has changed since the last update was gathered. */
  #isStale = false;
  #isClosed = false;

  /**
   * @param gather Returns the current state.
   * @param times When updates are sent.
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
    const stream: EventStream = new EventStream(() => this.#remove(stream));
    this.#streams.add(stream);
    // The last update may be old.
    this.notify();
    return stream.body;
  }

  /** Sends an update soon, since something has changed. */
  notify(): void {
    if (this.#streams.size === 0) return;
    this.#isStale = true;
    this.#schedule();
  }

  /** Ends the open streams. */
  end(): void {
    for (const stream of this.#streams) {
      stream.end();
      this.#remove(stream);
    }
  }

  /** Ends the open streams and opens no more. */
  close(): void {
    this.#isClosed = true;
    this.end();
  }

  #remove(stream: EventStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#isGathering || this.#streams.size === 0) return;
    const { interval, minGap } = this.#times;
    const due = this.#sentAt + (this.#isStale ? minGap : interval);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#update(), Math.max(0, due - performance.now()));
  }

  async #update(): Promise<void> {
    this.#isGathering = true;
    this.#isStale = false;
    try {
      this.#send(encode(await this.#gather()));
    } catch (error) {
      // The browsers reconnect.
      this.end();
      throw error;
    } finally {
      this.#isGathering = false;
      this.#schedule();
    }
  }

  #send(messages: Messages): void {
    this.#sentAt = performance.now();
    const { readerTimeout = EVENT_READER_TIMEOUT_MS } = this.#times;
    for (const stream of this.#streams) {
      stream.offer(messages);
      if (stream.idleMs < readerTimeout) continue;
      stream.abort();
      this.#remove(stream);
    }
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
      pull: () => this.#send(),
      cancel: onCancel,
    });
  }

  /** Sends an update as soon as the reader is ready for it. */
  offer(messages: Messages): void {
    this.#latest = messages;
    if ((this.#controller.desiredSize ?? 0) > 0) this.#send();
  }

  /** How long the reader has read nothing although a message was there, in milliseconds. */
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
    this.#readAt = performance.now();
    const messages = this.#latest;
    if (messages === undefined || messages === this.#sent) return;
    const isKnown = messages.downtimes === this.#sent?.downtimes;
    this.#sent = messages;
    // This may call `pull` at once.
    this.#controller.enqueue(isKnown ? messages.status : messages.all);
  }
}
