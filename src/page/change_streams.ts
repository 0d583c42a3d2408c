import type { Change } from "../checks/history.ts";
import { SlowReaderError } from "../server/responses.ts";
import { escapeControls } from "../text/control_characters.ts";
import { EVENT_READER_TIMEOUT_MS, MAX_STREAMS } from "./event_streams.ts";

/** When {@linkcode ChangeStreams} sends. Times are in milliseconds. */
export interface ChangeTimes {
  /** How often it asks for changes. */
  readonly interval: number;
  /** How long a stream may be silent. */
  readonly silence: number;
  /** How long a client may read nothing before its stream ends. */
  readonly readerTimeout: number;
}

/** The default times. */
export const CHANGE_TIMES: ChangeTimes = {
  interval: 500,
  silence: 15_000,
  readerTimeout: EVENT_READER_TIMEOUT_MS,
};

/** The most changes of one message: a reader that is behind gets several messages. */
export const MAX_CHANGES_PER_MESSAGE = 50;

/** How long a client waits before it reconnects, in milliseconds. */
const RETRY_MS = 1000;

const encoder = new TextEncoder();

/** What {@linkcode ChangeStreams} works with. */
export interface ChangeSource {
  /** Returns the kept changes after that number, newest first. */
  readonly changesAfter: (id: number) => Promise<readonly Change[]>;
  /** When the daemon started, in unix seconds: numbers count from then on. */
  readonly started: number;
}

/**
 * Sends each change of records and of the outcomes of checks to bots, as server-sent events. It does nothing while no
 * stream is open.
 *
 * The `id` of an event has the start of the daemon and the number of the change, so a client that reconnects with
 * `Last-Event-ID` gets what it has missed. Of a stream only the number of the last change is kept: a slow reader gets
 * the rest when it reads again.
 */
export class ChangeStreams {
  readonly #source: ChangeSource;
  readonly #times: ChangeTimes;
  readonly #streams = new Set<ChangeStream>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /**
   * @param source What to work with.
   * @param times When to send.
   */
  constructor(source: ChangeSource, times: ChangeTimes = CHANGE_TIMES) {
    this.#source = source;
    this.#times = times;
  }

  /**
   * Opens a stream. Without a last event it begins with the next change.
   *
   * @param lastEvent The `id` of the last event that the client has received; null for none.
   * @returns The body of a response; undefined if too many streams are open.
   */
  async open(lastEvent: string | null): Promise<ReadableStream<Uint8Array> | undefined> {
    if (this.#isFull) return undefined;
    const begin = await this.#begin(lastEvent);
    if (this.#isFull) return undefined;
    const stream: ChangeStream = new ChangeStream(this.#source.started, begin, this.#times, () => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) clearTimeout(this.#timer);
    });
    this.#streams.add(stream);
    this.#schedule(0);
    return stream.body;
  }

  /** Ends the open streams. Clients reconnect. */
  end(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    clearTimeout(this.#timer);
  }

  /** Ends the open streams and opens no more. */
  close(): void {
    this.#isClosed = true;
    this.end();
  }

  get #isFull(): boolean {
    return this.#isClosed || this.#streams.size >= MAX_STREAMS;
  }

  /** Finds the number of the last change that the client knows. */
  async #begin(lastEvent: string | null): Promise<Begin> {
    const [, started, id] = /^(\d+(?:\.\d+)?)-(\d{1,15})$/.exec(lastEvent ?? "") ?? [];
    if (id === undefined) {
      const [newest] = await this.#source.changesAfter(0);
      return { id: newest?.id ?? 0, missed: 0 };
    }
    if (started === String(this.#source.started)) return { id: Number(id), missed: 0 };
    // The daemon was restarted: it cannot know what changed meanwhile.
    return { id: 0, missed: null };
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#streams.size > 0) this.#timer = setTimeout(() => void this.#update(), ms);
  }

  async #update(): Promise<void> {
    const ready = [...this.#streams].filter((stream) => stream.isReady);
    let isBehind = false;
    if (ready.length > 0) {
      try {
        const after = Math.min(...ready.map(({ lastId }) => lastId));
        const changes = (await this.#source.changesAfter(after)).toReversed();
        for (const stream of ready) {
          if (this.#streams.has(stream)) isBehind = stream.send(changes) || isBehind;
        }
      } catch (error) {
        // The clients reconnect, and miss nothing.
        this.end();
        throw error;
      }
    }
    for (const stream of this.#streams) {
      if (stream.idleMs < this.#times.readerTimeout) continue;
      stream.abort();
      this.#streams.delete(stream);
    }
    this.#schedule(isBehind ? 0 : this.#times.interval);
  }
}

/** Where a stream begins. */
interface Begin {
  /** The number of the last change that the client knows. */
  readonly id: number;
  /** How many changes it has missed; null if that is unknown. */
  readonly missed: number | null;
}

/** The stream of one client. */
class ChangeStream {
  readonly #started: number;
  readonly #silenceMs: number;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #lastId: number;
  #sentAt = performance.now();

  readonly body: ReadableStream<Uint8Array>;

  /** @param onCancel Called when the client has gone. */
  constructor(started: number, { id, missed }: Begin, times: ChangeTimes, onCancel: () => void) {
    this.#started = started;
    this.#silenceMs = times.silence;
    this.#lastId = id;
    const gap = missed === null ? gapEvent(null) : "";
    this.body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        // An id without data is no event, but a client without any event yet can resume from it.
        const hello = `retry: ${RETRY_MS}\nid: ${this.#eventId(id)}\n\n${gap}`;
        controller.enqueue(encoder.encode(hello));
      },
      cancel: onCancel,
    });
  }

  /** The number of the last change that was sent. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Whether the client has read all messages. */
  get isReady(): boolean {
    return (this.#controller.desiredSize ?? 0) > 0;
  }

  /** How long a message has waited for the client, in milliseconds. */
  get idleMs(): number {
    return this.isReady ? 0 : performance.now() - this.#sentAt;
  }

  /**
   * Sends the changes that the client does not have.
   *
   * @param changes Kept changes, oldest first.
   * @returns Whether there are more than one message holds.
   */
  send(changes: readonly Change[]): boolean {
    const missing = changes.filter(({ id }) => id > this.#lastId);
    const [oldest] = missing;
    if (oldest === undefined) {
      if (performance.now() - this.#sentAt >= this.#silenceMs) this.#enqueue(":\n\n");
      return false;
    }
    const missed = oldest.id - this.#lastId - 1;
    const sent = missing.slice(0, MAX_CHANGES_PER_MESSAGE);
    this.#lastId = sent.at(-1)!.id;
    const events = sent.map((change) =>
      `event: change\nid: ${this.#eventId(change.id)}\ndata: ${escaped(change)}\n\n`
    );
    this.#enqueue((missed > 0 ? gapEvent(missed) : "") + events.join(""));
    return missing.length > sent.length;
  }

  /** Ends the stream after the last message. */
  end(): void {
    this.#controller.close();
  }

  /** Ends the stream at once, and its connection. */
  abort(): void {
    this.#controller.error(new SlowReaderError("the client does not read the events"));
  }

  #eventId(id: number): string {
    return `${this.#started}-${id}`;
  }

  #enqueue(message: string): void {
    this.#sentAt = performance.now();
    this.#controller.enqueue(encoder.encode(message));
  }
}

/** The event before the first change after a gap. */
function gapEvent(missed: number | null): string {
  return `event: gap\ndata: ${JSON.stringify({ missed })}\n\n`;
}

/** Escapes the control characters that a terminal would act on, without changing the meaning of the JSON. */
function escaped(change: Change): string {
  return escapeControls(JSON.stringify(change));
}
