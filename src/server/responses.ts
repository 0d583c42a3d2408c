/**
 * The responses that hacheck makes.
 *
 * @module
 */

import type { Verdict } from "../checks/check.ts";

/**
 * Makes a response of plain text.
 *
 * @param status The HTTP status code.
 * @param text The body.
 */
export function text(status: number, text: string): Response {
  return new Response(text, { status });
}

/**
 * Makes a response of plain text that asks the client to close the connection, since the rest of its request is not
 * read. Deno does not close the connection.
 *
 * @param status The HTTP status code.
 * @param text The body.
 */
export function closingText(status: number, text: string): Response {
  return new Response(text, { status, headers: { connection: "close" } });
}

/**
 * Makes a response of JSON.
 *
 * @param value The value in its body.
 */
export function json(value: unknown): SizedResponse {
  return new SizedResponse(JSON.stringify(value), {
    headers: { "content-type": "application/json; charset=UTF-8" },
  });
}

/**
 * Makes the response to a method that a path does not support.
 *
 * @param allow The methods that it supports.
 */
export function notAllowed(allow: string): Response {
  return new Response(`Method not allowed: expected ${allow}`, { status: 405, headers: { allow } });
}

/** Bodies above this size are large: they count against the budget of the outflow. */
export const LARGE_BYTES = 16 * 1024;

/** Ends the body of a response that the client does not read. */
export class SlowReaderError extends Error {
  override name = "SlowReaderError";
}

/** How a {@linkcode SizedResponse} is sent. */
export interface SizedResponseInit {
  /** The HTTP status code; 200 by default. */
  readonly status?: number;
  /** The headers. */
  readonly headers?: HeadersInit;
  /** Whether this is the response to a check, which is never refused for its size. */
  readonly isCheck?: boolean;
}

const encoder = new TextEncoder();

/** A response whose size is known and counted. */
export class SizedResponse extends Response {
  /** The body; null for a stream that has its own bound. */
  readonly content: Uint8Array<ArrayBuffer> | null;
  /** Whether this is the response to a check. */
  readonly isCheck: boolean;

  /**
   * @param body The body.
   * @param init How it is sent.
   */
  constructor(
    body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    { status = 200, headers = {}, isCheck = false }: SizedResponseInit = {},
  ) {
    const content = typeof body === "string" ? encoder.encode(body) : body;
    const isLarge = content instanceof Uint8Array && content.length > LARGE_BYTES;
    super(isLarge ? streamOf(content) : content as BodyInit, { status, headers });
    this.content = content instanceof Uint8Array ? content : null;
    this.isCheck = isCheck;
  }

  /** Copies the response. Both share the bytes of the body. */
  override clone(): Response {
    return this.content === null ? super.clone() : new SizedResponse(this.content, this);
  }
}

/** Makes a body whose bytes are only copied when it is read, which is rare. */
function streamOf(content: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(content);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

/** A response without a body can be sent again and again. */
const EMPTY = new Response(null);

/** Messages with more characters are counted in bytes, and encoded once for all responses. */
const MAX_SHORT_MESSAGE = 1024;

/** The statuses whose responses have no body. */
const BODILESS: ReadonlySet<number> = new Set([204, 304]);

/**
 * Returns a function that turns verdicts into responses. Copying a response is faster than making one with another
 * status than 200, and a cached verdict is always the same object: its response is made once, then copied.
 */
export function createResponder(): (verdict: Verdict) => Response {
  const makers = new WeakMap<Verdict, () => Response>();
  return (verdict) => {
    const { code, message } = verdict;
    if (code === 200 && message.length <= MAX_SHORT_MESSAGE) {
      return message === "" ? EMPTY : new Response(message);
    }
    let make = makers.get(verdict);
    if (make === undefined) makers.set(verdict, make = makerOf(verdict));
    return make();
  };
}

function makerOf({ code, message }: Verdict): () => Response {
  // Deno sends a 205 without `Content-Length: 0`, and clients wait for a body. A 204 means the same.
  const status = code === 205 ? 204 : code;
  if (BODILESS.has(status) || message.length <= MAX_SHORT_MESSAGE) {
    const response = new Response(BODILESS.has(status) ? null : message, { status });
    return () => response.clone();
  }
  const headers = { "content-type": "text/plain;charset=UTF-8" };
  const content = encoder.encode(message);
  return () => new SizedResponse(content, { status, headers, isCheck: true });
}
