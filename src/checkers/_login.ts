/**
 * The parts of the checks by MySQL and PostgreSQL that are the same.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { errorMessage } from "../text/error_message.ts";
import { ConnectionClosedError } from "../net/buffered_reader.ts";

/**
 * Returns why a login failed. Libraries throw a RangeError or a TypeError for a message that is too short or does not fit
 * those before it, and pass on a refusal without a message.
 *
 * @param notSpoken The message for a server that speaks another protocol.
 */
export function loginFailure(error: unknown, notSpoken: string): string {
  // A reset has a cause.
  if (error instanceof ConnectionClosedError && error.cause === undefined) {
    return "the server closed the connection";
  }
  const isNonsense = error instanceof RangeError || error instanceof TypeError ||
    errorMessage(error) === "";
  return isNonsense ? notSpoken : errorMessage(error);
}

/**
 * Makes a stream that gives a library one whole message at a time. From a socket of its own, a library reads whatever
 * arrives, and as much as arrives.
 *
 * @param next Reads the next message; returns undefined after the login.
 * @param send Sends a message of the library.
 */
export async function messageStream(
  next: () => Promise<Uint8Array> | undefined,
  send: (message: Uint8Array) => Promise<void>,
): Promise<Duplex> {
  const { Duplex } = await import("node:stream");
  return new Duplex({
    read() {
      next()?.then((message) => this.push(message)).catch((error) => this.destroy(error));
    },
    write(message, _encoding, done) {
      send(message).then(() => done(), done);
    },
  });
}
