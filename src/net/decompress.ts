/** The formats of the content codings that are supported, by their names in HTTP. */
const FORMATS: ReadonlyMap<string, readonly CompressionFormat[]> = new Map([
  ["gzip", ["gzip"]],
  ["x-gzip", ["gzip"]],
  // In RFC 9110 it is the zlib format, but some servers send raw deflate.
  ["deflate", ["deflate", "deflate-raw"]],
]);

/**
 * How many compressed bytes are written at once. Deflate expands one byte to a thousand at most, so that this limits
 * the memory to 1 MiB.
 */
const STEP_BYTES = 1024;

/**
 * Decompresses a body.
 *
 * @param bytes The body, or its beginning.
 * @param coding The value of `Content-Encoding`, in lower case.
 * @param limit How many bytes are returned at most.
 * @returns The beginning of the content; the body as it is if the coding is unknown or does not fit.
 *
 * @example
 * ```ts
 * import { decompress } from "./decompress.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const encoded = new Blob(["fine"]).stream().pipeThrough(new CompressionStream("gzip"));
 * const bytes = await new Response(encoded).bytes();
 * assertEquals(new TextDecoder().decode(await decompress(bytes, "gzip", 3)), "fin");
 * ```
 */
export async function decompress(
  bytes: Uint8Array<ArrayBuffer>,
  coding: string,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  for (const format of FORMATS.get(coding) ?? []) {
    const output = await decompressFormat(bytes, format, limit);
    if (output !== undefined) return output;
  }
  return bytes;
}

async function decompressFormat(
  bytes: Uint8Array<ArrayBuffer>,
  format: CompressionFormat,
  limit: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { readable, writable } = new DecompressionStream(format);
  const reader = readable.getReader();
  const writing = write(writable.getWriter(), bytes);
  const output = new Uint8Array(limit);
  let length = 0;
  try {
    while (length < limit) {
      const { value, done } = await reader.read();
      if (done) break;
      const piece = value.subarray(0, limit - length);
      output.set(piece, length);
      length += piece.length;
    }
  } catch {
    // Truncated or damaged: the content before that is returned.
    if (length === 0) return undefined;
  } finally {
    await reader.cancel().catch(() => {});
    await writing;
  }
  return output.subarray(0, length);
}

async function write(
  writer: WritableStreamDefaultWriter<BufferSource>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  try {
    for (let start = 0; start < bytes.length; start += STEP_BYTES) {
      await writer.write(bytes.subarray(start, start + STEP_BYTES));
    }
    await writer.close();
  } catch {
    // The reader has enough, or gets the same error.
  }
}
