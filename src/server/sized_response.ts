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

/** A response whose size is known and counted. */
export class SizedResponse extends Response {
  /** The body; null for a stream that bounds itself. */
  readonly content: Uint8Array<ArrayBuffer> | null;
  /** Whether this is the response to a check. */
  readonly isCheck: boolean;

  /**
   * @param content The body.
   * @param init How it is sent.
   */
  constructor(
    content: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    { status = 200, headers = {}, isCheck = false }: SizedResponseInit = {},
  ) {
    const isLarge = content instanceof Uint8Array && content.length > LARGE_BYTES;
    super(isLarge ? streamOf(content) : content as BodyInit, { status, headers });
    this.content = content instanceof Uint8Array ? content : null;
    this.isCheck = isCheck;
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

/** Bodies with more characters are counted. */
const MIN_SIZED_LENGTH = 1024;

const encoder = new TextEncoder();

/**
 * Makes a response whose size is counted unless it is small.
 *
 * @param body Its body.
 * @param init How it is sent.
 */
export function sized(body: string, init: SizedResponseInit = {}): Response {
  if (body.length > MIN_SIZED_LENGTH) return new SizedResponse(encoder.encode(body), init);
  return new Response(body, { status: init.status ?? 200, headers: init.headers ?? {} });
}
