/**
 * What clients send that ask for much and read nothing.
 *
 * @module
 */

/** The types of HTTP/2's frames, by their numbers. */
const HEADERS = 1;
const SETTINGS = 4;

/** The flags that a frame of headers ends them and the request. */
const ENDS = 5;

/**
 * Requests in HTTP/2, without TLS, of a client that lets the server send no byte of a body.
 *
 * @param path The path that each asks for.
 * @param streams How many there are.
 * @returns All bytes, a character each.
 */
export function withClosedWindow(path: string, streams: number): string {
  // GET and http are in HPACK's table; path and authority are spelled out.
  const head = `\x82\x86\x04${String.fromCharCode(path.length)}${path}\x01\x01x`;
  let bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  // The initial window (4) is 0.
  bytes += frame(SETTINGS, 0, 0, "\0\x04\0\0\0\0");
  for (let i = 0; i < streams; i++) bytes += frame(HEADERS, ENDS, 2 * i + 1, head);
  return bytes;
}

/**
 * Requests in HTTP/1.1, one after the other.
 *
 * @param path The path that each asks for.
 * @param count How many there are.
 * @returns All bytes, a character each.
 */
export function pipelined(path: string, count: number): string {
  return `GET ${path} HTTP/1.1\r\nHost: hoarder\r\n\r\n`.repeat(count);
}

/** The chunks of a body, a byte each. */
export function tinyChunks(body: string): string {
  return Array.from(body, (character) => `1\r\n${character}\r\n`).join("");
}

function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = [0, payload.length >> 8, payload.length & 0xff, type, flags];
  const id = [24, 16, 8, 0].map((shift) => stream >> shift & 0xff);
  return String.fromCharCode(...head, ...id) + payload;
}
