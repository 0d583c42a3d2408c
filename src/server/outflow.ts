import { text } from "./responses.ts";
import { clientAddress, type RequestInfo } from "./router.ts";
import { LARGE_BYTES, SizedResponse, SlowReaderError } from "./sized_response.ts";

/** How many bytes of large pages may wait for their readers at once, as far as can be known. */
export const MAX_LARGE_BYTES = 24 * 1024 * 1024;

/** How many of them one client address may hold. */
export const MAX_LARGE_BYTES_PER_CLIENT = MAX_LARGE_BYTES / 2;

/** How many bytes of small responses may wait for their readers before connections are cut. */
export const MAX_SMALL_BYTES = 12 * 1024 * 1024;

/** How long a reader may take no byte of a large page before its connection is closed, in milliseconds. */
export const READER_TIMEOUT_MS = 30_000;

/** What a response without a body of note costs while it waits: measured for an HTTP/2 stream. */
const SMALL_RESPONSE_BYTES = 4608;

/**
 * After so much weight on average, one response is watched until it has been sent. Which one is random: no
 * client can choose its requests so that none of them is.
 */
const WATCH_INTERVAL = 1 * 1024 * 1024;

/** How much more a byte of a body weighs: the kernel keeps them of HTTP/1.1 readers, too. */
const BODY_WEIGHT = 32;

const NO_BYTES = new Uint8Array();

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

/** Large bodies are handed out in pieces of this size. */
const PIECE_BYTES = 64 * 1024;

/** How much of a page that was handed over the kernel may still hold: for this host, and for others. */
const KERNEL_BYTES_LOOPBACK = 2.5 * 1024 * 1024;
const KERNEL_BYTES = 256 * 1024;

/** How fast what the kernel may still hold is written off, in bytes per millisecond. */
const DECAY_BYTES_PER_MS = 768 * 1.024;

/** What an {@linkcode Outflow} must know of a request. */
export interface ResponseInfo extends RequestInfo {
  /** Settles when the response has been sent, or cannot be sent. */
  readonly completed: Promise<void>;
}

/**
 * Bounds the bytes of the responses that wait for their readers.
 *
 * `Deno.serve` copies the body of each response, and keeps it until the client reads: an HTTP/2 client with a
 * closed window keeps 200 of them on one connection. Deno reports the end of a response only for bodies that
 * are streams, which cost more. So large pages are streamed from one buffer and admitted within a budget;
 * of all other responses one in some hundred is streamed, as a sample of how much waits. When too much
 * does, the guardian cuts connections.
 * `Connection: close` in a response bounds nothing: Deno 2.9.6 sends it, and goes on reading requests.
 */
export class Outflow {
  readonly #now: () => number;
  #weight = 0;
  #unsampled = 0;
  #interval = nextInterval();
  #pending = 0;
  readonly #large = new Holding();
  readonly #clients = new Map<string, Holding>();

  /** Called for each sample while too many bytes wait. */
  onExcess: () => void = () => {};

  /** How many large pages were refused. */
  refused = 0;

  /** @param now Tells the time in milliseconds, by a clock that nobody sets. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether so many bytes wait that connections should be cut. */
  get isExcessive(): boolean {
    return this.#pending > MAX_SMALL_BYTES;
  }

  /**
   * Passes a response on to the client.
   *
   * @param response What the router has answered.
   * @param request The request.
   * @param info What is known of it.
   * @returns The response to send: that one, a stream of the same bytes, or a refusal.
   */
  pass(response: Response, request: Request, info: ResponseInfo): Response | Promise<Response> {
    // A response without a body needs no window, so that nothing more can pile up meanwhile.
    if (this.#pending > MAX_SMALL_BYTES) return bodiless(response);
    const isSized = response instanceof SizedResponse;
    // The body of an event stream bounds itself.
    if (isSized && response.content === null) return response;
    const content = isSized ? response.content! : NO_BYTES;
    const isHead = request.method === "HEAD";
    if (isSized && !isHead && !response.isCheck && content.length > LARGE_BYTES) {
      return this.#passLarge(response, content, info);
    }
    const length = isHead ? 0 : content.length;
    this.#unsampled += SMALL_RESPONSE_BYTES + length;
    this.#weight += SMALL_RESPONSE_BYTES + BODY_WEIGHT * length;
    // Deno can send no stream with these: a later response is the sample.
    const isSample = this.#weight >= this.#interval && !NULL_BODY_STATUSES.has(response.status);
    if (!isSample) return isHead && isSized ? headOf(response, content) : response;
    if (isSized) return this.#watched(response, content, info);
    if (response.body === null) return this.#watched(response, NO_BYTES, info);
    return this.#sampled(response, info);
  }

  async #sampled(response: Response, info: ResponseInfo): Promise<Response> {
    // Before anything is waited for: thousands of responses may be made meanwhile.
    this.#watch(info);
    return streamed(response, await response.bytes(), info);
  }

  #watched(response: Response, content: Uint8Array, info: ResponseInfo): Response {
    this.#watch(info);
    return streamed(response, content, info);
  }

  /** Counts the responses since the last that was watched for as long as this one waits. */
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
    for (const [name, holding] of this.#clients) {
      if (holding.bytes(now) === 0) this.#clients.delete(name);
    }
    const holding = this.#clients.get(client) ?? new Holding();
    const isAdmitted = this.#large.takes(length, MAX_LARGE_BYTES, now) &&
      holding.takes(length, MAX_LARGE_BYTES_PER_CLIENT, now);
    if (!isAdmitted) {
      this.refused++;
      return text(
        503,
        "Too many bytes of large pages wait to be read: ask again in some seconds",
      );
    }
    this.#clients.set(client, holding);
    this.#large.hold(length);
    holding.hold(length);
    const settle = () => {
      const rest = Math.min(length, isLoopback(client) ? KERNEL_BYTES_LOOPBACK : KERNEL_BYTES);
      const now = this.#now();
      this.#large.release(length, rest, now);
      holding.release(length, rest, now);
    };
    info.completed.then(settle, settle);
    return streamed(response, content, info);
  }
}

/** How many bytes wait: those that are being sent, and those that the kernel may still hold. */
class Holding {
  #sending = 0;
  #inKernel = 0;
  #at = 0;

  bytes(now: number): number {
    this.#inKernel = Math.max(0, this.#inKernel - (now - this.#at) * DECAY_BYTES_PER_MS);
    this.#at = now;
    return this.#sending + this.#inKernel;
  }

  /** Whether so many more may wait. A page larger than all that may wait is sent alone. */
  takes(length: number, most: number, now: number): boolean {
    const bytes = this.bytes(now);
    return bytes === 0 || bytes + length <= most;
  }

  hold(length: number): void {
    this.#sending += length;
  }

  release(length: number, rest: number, now: number): void {
    this.bytes(now);
    this.#sending -= length;
    this.#inKernel += rest;
  }
}

function nextInterval(): number {
  return WATCH_INTERVAL * (0.5 + Math.random());
}

/** The same response without its body. */
function bodiless({ status, headers }: Response): Response {
  return new Response(null, { status, headers });
}

/** The same response may be sent to others, too: it is not handed to Deno, which takes its body. */
function headOf({ status, headers: given }: Response, { length }: Uint8Array): Response {
  const headers = new Headers(given);
  headers.set("content-length", String(length));
  return new Response(null, { status, headers });
}

function isLoopback(client: string): boolean {
  return client.startsWith("127.") || client === "::1";
}

/** Makes a response of the same bytes whose end Deno reports. */
function streamed(
  { status, headers: given }: Response,
  content: Uint8Array,
  { completed }: ResponseInfo,
): Response {
  let sent = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      timer = setTimeout(giveUp, READER_TIMEOUT_MS, controller);
      Deno.unrefTimer(timer);
    },
    pull(controller) {
      clearTimeout(timer);
      if (sent >= content.length) return controller.close();
      controller.enqueue(content.subarray(sent, sent += PIECE_BYTES));
      timer = setTimeout(giveUp, READER_TIMEOUT_MS, controller);
      Deno.unrefTimer(timer);
    },
    cancel() {
      clearTimeout(timer);
    },
  }, { highWaterMark: 0 });
  const settle = () => clearTimeout(timer);
  completed.then(settle, settle);
  const headers = new Headers(given);
  headers.set("content-length", String(content.length));
  // Deno 2.9.6 closes an HTTP/1.0 connection after a stream although it answers `keep-alive`; it cannot be told apart here.
  headers.set("connection", "close");
  return new Response(body, { status, headers });
}

function giveUp(controller: ReadableStreamDefaultController<Uint8Array>): void {
  controller.error(new SlowReaderError("the client does not read the response"));
}
