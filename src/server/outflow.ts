import { newCounters, type RefusalCounters } from "../metrics/counters.ts";
import { isLoopback } from "../net/addresses.ts";
import { LARGE_BYTES, SizedResponse, SlowReaderError, text } from "./responses.ts";
import { clientAddress, type RequestInfo } from "./router.ts";

/** The most bytes of large pages that may wait for clients. */
export const MAX_LARGE_BYTES = 24 * 1024 * 1024;

/** The share of one client address. */
export const MAX_LARGE_BYTES_PER_CLIENT = MAX_LARGE_BYTES / 2;

/** The most bytes of small responses that may wait for clients before connections are closed. */
export const MAX_SMALL_BYTES = 12 * 1024 * 1024;

/** How long a client may read no byte of a response before its connection is closed, in milliseconds. */
export const READER_TIMEOUT_MS = 30_000;

/** The memory of a waiting response without a body: measured for an HTTP/2 stream. */
const SMALL_RESPONSE_BYTES = 4608;

/** The average weight between two samples. The distance is random, so that no client can evade the sampling. */
const SAMPLE_INTERVAL = 1 * 1024 * 1024;

/** The weight of a byte of a body: the kernel buffers bodies of HTTP/1.1 clients, too. */
const BODY_WEIGHT = 32;

const NO_BYTES = new Uint8Array();

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

/** The size of the chunks of streamed bodies. */
const CHUNK_BYTES = 64 * 1024;

/** How much of a sent page the kernel may still hold, for clients on this host and for others. */
const KERNEL_BYTES_LOOPBACK = 2.5 * 1024 * 1024;
const KERNEL_BYTES = 256 * 1024;

/** How fast the assumed bytes in the kernel decay, in bytes per millisecond. */
const DECAY_BYTES_PER_MS = 768 * 1.024;

/** The connection of a request, and the end of its response. */
export interface ResponseInfo extends RequestInfo {
  /** Settles when the response was sent or has failed. */
  readonly completed: Promise<void>;
}

/**
 * Bounds the bytes of responses that clients have not read (back-pressure).
 *
 * `Deno.serve` copies each body and keeps it until the client reads; an HTTP/2 client with a closed window can hold
 * 200 responses on one connection. Deno reports the end of a response only for streams, which cost more. So large
 * pages are streamed from one buffer within a budget. Of the other responses, about one in a hundred is streamed as
 * a sample; when the samples show that too many bytes wait, the reaper closes connections.
 * `Connection: close` in a response bounds nothing: Deno 2.9.6 sends it and reads on.
 */
export class Outflow {
  readonly #counters: Pick<RefusalCounters, "large_pages">;
  readonly #now: () => number;
  #weight = 0;
  #unsampled = 0;
  #interval = nextInterval();
  #pending = 0;
  readonly #large = new Backlog();
  readonly #clients = new Map<string, Backlog>();

  /** Called for each sample while too many bytes wait. */
  onExcess: () => void = () => {};

  /**
   * @param counters Counts refused large pages.
   * @param now Returns the time in milliseconds, by a monotonic clock.
   */
  constructor(
    counters: Pick<RefusalCounters, "large_pages"> = newCounters().refused,
    now: () => number = () => performance.now(),
  ) {
    this.#counters = counters;
    this.#now = now;
  }

  /** Whether so many bytes wait that connections should be closed. */
  get isExcessive(): boolean {
    return this.#pending > MAX_SMALL_BYTES;
  }

  /**
   * Decides how a response is sent.
   *
   * @param response The router's response.
   * @param request The request.
   * @param info The connection and the end of the response.
   * @returns The same response, a stream of the same bytes, or 503 for a large page above the budget.
   */
  pass(response: Response, request: Request, info: ResponseInfo): Response | Promise<Response> {
    // A response without a body does not wait for a client's window.
    if (this.isExcessive) return bodiless(response);
    const isSized = response instanceof SizedResponse;
    const content = isSized ? response.content : NO_BYTES;
    // An event stream has its own bound.
    if (content === null) return response;
    const isHead = request.method === "HEAD";
    if (isSized && !isHead && !response.isCheck && content.length > LARGE_BYTES) {
      return this.#passLarge(response, content, info);
    }
    const length = isHead ? 0 : content.length;
    this.#unsampled += SMALL_RESPONSE_BYTES + length;
    this.#weight += SMALL_RESPONSE_BYTES + BODY_WEIGHT * length;
    // Deno cannot send a stream with these statuses: a later response is the sample.
    const isSample = this.#weight >= this.#interval && !NULL_BODY_STATUSES.has(response.status);
    if (!isSample) return isHead && isSized ? headOf(response, content) : response;
    if (isSized || response.body === null) {
      this.#watch(info);
      return streamed(response, content, info);
    }
    return this.#sampled(response, info);
  }

  async #sampled(response: Response, info: ResponseInfo): Promise<Response> {
    // Before the await, during which thousands of responses may be sent.
    this.#watch(info);
    return streamed(response, await response.bytes(), info);
  }

  /** Counts all responses since the last sample as waiting, until this one was sent. */
  #watch({ completed }: ResponseInfo): void {
    const bytes = this.#unsampled;
    this.#weight = this.#unsampled = 0;
    this.#interval = nextInterval();
    this.#pending += bytes;
    const settle = () => this.#pending -= bytes;
    completed.then(settle, settle);
    if (this.isExcessive) this.onExcess();
  }

  #passLarge(response: Response, content: Uint8Array, info: ResponseInfo): Response {
    const { length } = content;
    const client = clientAddress(info);
    const now = this.#now();
    for (const [name, backlog] of this.#clients) {
      if (backlog.bytes(now) === 0) this.#clients.delete(name);
    }
    const backlog = this.#clients.get(client) ?? new Backlog();
    const isAdmitted = this.#large.admits(length, MAX_LARGE_BYTES, now) &&
      backlog.admits(length, MAX_LARGE_BYTES_PER_CLIENT, now);
    if (!isAdmitted) {
      this.#counters.large_pages++;
      return text(503, "Too many bytes of large pages wait for clients: try again in some seconds");
    }
    this.#clients.set(client, backlog);
    this.#large.add(length);
    backlog.add(length);
    const settle = () => {
      const rest = Math.min(length, isLoopback(client) ? KERNEL_BYTES_LOOPBACK : KERNEL_BYTES);
      const now = this.#now();
      this.#large.release(length, rest, now);
      backlog.release(length, rest, now);
    };
    info.completed.then(settle, settle);
    return streamed(response, content, info);
  }
}

/** Bytes that wait for clients: those being sent, and those that the kernel may still hold. */
class Backlog {
  #sending = 0;
  #inKernel = 0;
  #at = 0;

  bytes(now: number): number {
    this.#inKernel = Math.max(0, this.#inKernel - (now - this.#at) * DECAY_BYTES_PER_MS);
    this.#at = now;
    return this.#sending + this.#inKernel;
  }

  /** Returns whether more bytes may wait. A page above the limit is admitted alone. */
  admits(length: number, most: number, now: number): boolean {
    const bytes = this.bytes(now);
    return bytes === 0 || bytes + length <= most;
  }

  add(length: number): void {
    this.#sending += length;
  }

  release(length: number, rest: number, now: number): void {
    this.bytes(now);
    this.#sending -= length;
    this.#inKernel += rest;
  }
}

function nextInterval(): number {
  return SAMPLE_INTERVAL * (0.5 + Math.random());
}

/** Returns the response without its body. */
function bodiless({ status, headers }: Response): Response {
  return new Response(null, { status, headers });
}

/** Returns the response to a HEAD request. The original may be shared, so Deno must not consume its body. */
function headOf({ status, headers: given }: Response, { length }: Uint8Array): Response {
  const headers = new Headers(given);
  headers.set("content-length", String(length));
  return new Response(null, { status, headers });
}

/** Returns a stream of the same bytes, whose end Deno reports. */
function streamed(
  { status, headers: given }: Response,
  content: Uint8Array,
  { completed }: ResponseInfo,
): Response {
  let sent = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stopTimer = () => clearTimeout(timer);
  const restartTimer = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    stopTimer();
    timer = setTimeout(() => {
      controller.error(new SlowReaderError("the client does not read the response"));
    }, READER_TIMEOUT_MS);
    Deno.unrefTimer(timer);
  };
  const body = new ReadableStream<Uint8Array>({
    start: restartTimer,
    pull(controller) {
      restartTimer(controller);
      if (sent < content.length) controller.enqueue(content.subarray(sent, sent += CHUNK_BYTES));
      else {
        stopTimer();
        controller.close();
      }
    },
    cancel: stopTimer,
  }, { highWaterMark: 0 });
  completed.then(stopTimer, stopTimer);
  const headers = new Headers(given);
  headers.set("content-length", String(content.length));
  // Deno 2.9.6 sends `keep-alive` to an HTTP/1.0 client and closes the connection after a stream. The version of a
  // request is not visible here.
  headers.set("connection", "close");
  return new Response(body, { status, headers });
}
