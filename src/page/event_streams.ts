import { SlowReaderError } from "../server/sized_response.ts";

/** How many streams may be open at once: who looks is an operator, and not a crowd. */
export const MAX_STREAMS = 32;

/** When {@linkcode EventStreams} tell what is new. Times are in milliseconds. */
export interface EventTimes {
  /** How often who looks is told the figures. */
  readonly figures: number;
  /** How soon after one change the next is told. */
  readonly calm: number;
  /** How long a reader may take nothing before its stream is ended; {@linkcode EVENT_READER_TIMEOUT_MS}, if not given. */
  readonly stall?: number;
}

/** The times that are in force where nobody says otherwise. */
export const EVENT_TIMES: EventTimes = { figures: 1000, calm: 200 };

/** How soon a browser comes back whose stream has ended, in milliseconds. */
const RETRY_MS = 1000;

/** How long a reader may take nothing before its stream is ended, in milliseconds. */
export const EVENT_READER_TIMEOUT_MS = 30_000;

/** What is told, as JSON: what is marked, and all else. */
export interface Update {
  readonly marked: string;
  readonly figures: string;
}

const encoder = new TextEncoder();

/** Update as messages, each of which is encoded once for all streams: many readers take no more memory than one. */
class Messages {
  readonly news: Update;
  #figures: Uint8Array | undefined;
  #all: Uint8Array | undefined;

  constructor(news: Update) {
    this.news = news;
  }

  /** Only the figures. */
  get figures(): Uint8Array {
    return this.#figures ??= encoder.encode(`event: figures\ndata: ${this.news.figures}\n\n`);
  }

  /** What is marked, and the figures. */
  get all(): Uint8Array {
    const { marked, figures } = this.news;
    return this.#all ??= encoder.encode(
      `event: marked\ndata: ${marked}\n\nevent: figures\ndata: ${figures}\n\n`,
    );
  }
}

/**
 * Tells who looks what is new, by server-sent events: at once when the spool has changed, and once a second
 * anyway. While nobody looks it does nothing.
 *
 * Who is slow to read misses what was new meanwhile, and is told what is new when they are ready. So there is
 * never more than one message that waits for a reader.
 */
export class EventStreams {
  readonly #gather: () => Promise<Update>;
  readonly #times: EventTimes;
  readonly #streams = new Set<EventStream>();
  #isWorking = false;
  #isClosed = false;
  /** Whether something has changed since the news were gathered. */
  #isStale = false;
  #rouse: () => void = () => {};

  /**
   * @param gather Finds out what there is to tell.
   * @param times When it is told.
   */
  constructor(gather: () => Promise<Update>, times: EventTimes = EVENT_TIMES) {
    this.#gather = gather;
    this.#times = times;
  }

  /**
   * Opens a stream.
   *
   * @returns The body of a response; undefined if too many are open.
   */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.#isClosed || this.#streams.size >= MAX_STREAMS) return undefined;
    const stream: EventStream = new EventStream(() => {
      this.#streams.delete(stream);
      this.#rouse();
    });
    this.#streams.add(stream);
    // What was last gathered may be long ago.
    this.wake();
    if (!this.#isWorking) void this.#work();
    return stream.body;
  }

  /** Gathers anew, soon. */
  wake(): void {
    this.#isStale = true;
    this.#rouse();
  }

  /** Ends the streams that are open. */
  end(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    this.#rouse();
  }

  /** Ends the streams that are open, and opens none any more. */
  close(): void {
    this.#isClosed = true;
    this.end();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    const { figures, calm, stall = EVENT_READER_TIMEOUT_MS } = this.#times;
    try {
      while (this.#streams.size > 0) {
        this.#isStale = false;
        const messages = new Messages(await this.#gather());
        for (const stream of this.#streams) {
          stream.offer(messages);
          if (stream.stalledFor < stall) continue;
          this.#streams.delete(stream);
          stream.abort();
        }
        await this.#rest(calm, () => this.#streams.size === 0);
        await this.#rest(figures - calm, () => this.#isStale || this.#streams.size === 0);
      }
    } finally {
      this.#isWorking = false;
      // If there was a fault, who still looks comes back at once.
      this.end();
    }
  }

  /** Waits, until it is roused for something that holds. */
  async #rest(milliseconds: number, isOver: () => boolean): Promise<void> {
    if (isOver()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#rouse = () => {
        if (!isOver()) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#rouse = () => {};
  }
}

/** What one reader is told. */
class EventStream {
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #latest: Messages | undefined;
  /** What was marked in the last message. */
  #marked: string | undefined;
  #sent: Messages | undefined;
  #readAt = performance.now();

  /** What is told, as bytes. */
  readonly body: ReadableStream<Uint8Array>;

  /** @param onGone Is called when the reader has gone. */
  constructor(onGone: () => void) {
    this.body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
      },
      pull: () => {
        this.#readAt = performance.now();
        this.#tell();
      },
      cancel: onGone,
    });
  }

  /**
   * Tells what is new, as soon as the reader is ready for it.
   *
   * @param messages The news.
   */
  offer(messages: Messages): void {
    this.#latest = messages;
    const isReady = (this.#controller.desiredSize ?? 0) > 0;
    if (isReady) {
      this.#readAt = performance.now();
      this.#tell();
    }
  }

  /** For how long the reader has taken nothing although there was something, in milliseconds. */
  get stalledFor(): number {
    return performance.now() - this.#readAt;
  }

  /** Ends the stream after what was sent. */
  end(): void {
    this.#controller.close();
  }

  /** Ends the stream at once, with the connection. */
  abort(): void {
    this.#controller.error(new SlowReaderError("the client does not read the events"));
  }

  #tell(): void {
    const messages = this.#latest;
    if (messages === undefined || messages === this.#sent) return;
    const { marked } = messages.news;
    const isKnown = marked === this.#marked;
    this.#marked = marked;
    this.#sent = messages;
    // This may call for more at once.
    this.#controller.enqueue(isKnown ? messages.figures : messages.all);
  }
}
