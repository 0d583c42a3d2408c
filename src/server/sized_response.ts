/** Bodies above this size are large: they are only sent as long as not too many bytes wait for readers. */
export const LARGE_BYTES = 16 * 1024;

/** Thrown into the body of a response whose reader does not read. */
export class SlowReaderError extends Error {
  override name = "SlowReaderError";
}

/** How a {@linkcode SizedResponse} is sent. */
export interface SizedResponseInit {
  /** Its HTTP status code; 200, if not given. */
  readonly status?: number;
  /** Its headers. */
  readonly headers?: HeadersInit;
  /** Whether it answers a check, which is never refused for its size. */
  readonly isCheck?: boolean;
}

/** A response whose body is large enough to be counted in bytes. */
export class SizedResponse extends Response {
  /** The body; null for a stream that bounds itself. */
  readonly content: Uint8Array<ArrayBuffer> | null;
  /** Whether it answers a check. */
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

/** A body of bytes that are not copied before it is read: mostly nobody does. */
function streamOf(content: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(content);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

/** Bodies of more characters than this are counted in bytes. */
const SIZED_LENGTH = 1024;

const encoder = new TextEncoder();

/**
 * Makes a response that is counted by its size if it is not small.
 *
 * @param body Its body.
 * @param init How it is sent.
 */
export function sized(body: string, init: SizedResponseInit = {}): Response {
  if (body.length > SIZED_LENGTH) return new SizedResponse(encoder.encode(body), init);
  return new Response(body, { status: init.status ?? 200, headers: init.headers ?? {} });
}
