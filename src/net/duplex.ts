import type { Duplex } from "node:stream";
import type { Connection } from "./connection.ts";

/** How many bytes are read at once: a whole TLS record. */
const READ_BYTES = 16 * 1024;

/**
 * Makes a stream of Node from a connection, for Node's TLS and HTTP/2. To destroy the stream closes the connection.
 *
 * @param connection The connection. Nothing else may read from it.
 * @param maxBytes How many bytes may be received. More destroy the stream.
 */
export async function duplexOf(
  connection: Connection,
  maxBytes: number = Infinity,
): Promise<Duplex> {
  const { Duplex } = await import("node:stream");
  let room = maxBytes;
  return new Duplex({
    // When the peer has closed its half, the stream ends and is destroyed.
    allowHalfOpen: false,
    read() {
      const buffer = new Uint8Array(READ_BYTES);
      connection.read(buffer).then(
        (length) => {
          room -= length ?? 0;
          if (room < 0) this.destroy(new Error(`the server sent more than ${maxBytes} bytes`));
          else this.push(length === null ? null : buffer.subarray(0, length));
        },
        (error) => this.destroy(error),
      );
    },
    write(bytes, _encoding, done) {
      connection.write(bytes).then(() => done(), done);
    },
    destroy(error, done) {
      connection[Symbol.dispose]();
      done(error);
    },
  });
}
