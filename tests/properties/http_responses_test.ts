import fc from "fast-check";
import { Connection } from "../../src/net/connection.ts";
import { NoResponseError } from "../../src/net/buffered_reader.ts";
import {
  exchange,
  HttpError,
  type HttpResponse,
  MAX_BODY_BYTES,
} from "../../src/net/http_client.ts";
import { isTls, TlsError } from "../../src/net/tls_connection.ts";
import { assert, assertEquals, assertRejects } from "../support/assert.ts";
import { holds, oddText } from "./property.ts";

/** Reads the response of a server that sends bytes in pieces, and then closes the connection. */
async function readResponse(bytes: Uint8Array, pieces: readonly number[]): Promise<HttpResponse> {
  let start = 0;
  let piece = 0;
  const socket = {
    read(buffer: Uint8Array): Promise<number | null> {
      if (start === bytes.length) return Promise.resolve(null);
      const size = Math.min(pieces[piece++ % pieces.length]!, buffer.length);
      const part = bytes.subarray(start, start + size);
      buffer.set(part);
      start += part.length;
      return Promise.resolve(part.length);
    },
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    close() {},
  };
  using connection = new Connection(socket, new AbortController().signal);
  return await exchange(connection, { host: "127.0.0.1:80", path: "/", headers: [] });
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const pieces = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
const status = fc.oneof(
  fc.constantFrom(200, 204, 304, 404, 503),
  fc.integer({ min: 200, max: 999 }),
);
const field = fc.tuple(
  fc.stringMatching(/^X-[\w-]{1,10}$/),
  fc.stringMatching(/^[\x20-\x7e]{0,30}$/),
)
  .map(([name, value]) => `${name}: ${value}\r\n`);
const head = fc.record({
  interim: fc.array(fc.constantFrom(100, 102, 103), { maxLength: 2 }),
  version: fc.constantFrom("1.0", "1.1"),
  status,
  reason: fc.constantFrom("", " ", " OK", " Not Found At All"),
  fields: fc.array(field, { maxLength: 4 }).map((fields) => fields.join("")),
});

/** The bytes of a response, how many of them the client needs, and the expected result. */
interface ResponseBytes {
  readonly bytes: Uint8Array;
  readonly needed: number;
  readonly status: number;
  readonly body: string;
}

const response: fc.Arbitrary<ResponseBytes> = fc.tuple(
  head,
  fc.constantFrom("length", "chunked", "close"),
  fc.uint8Array({ maxLength: 200 }),
  fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 3 }),
).map(([{ interim, version, status, reason, fields }, framing, body, sizes]) => {
  // A 205 without a length has no body, though RFC 9112 wants one.
  const isBodiless = status === 204 || status === 304 || (status === 205 && framing === "close");
  const framed = framing === "length"
    ? `Content-Length: ${body.length}\r\n`
    : framing === "chunked"
    ? "Transfer-Encoding: chunked\r\n"
    : "";
  const start = latin1(
    interim.map((status) => `HTTP/1.1 ${status} Wait\r\n\r\n`).join("") +
      `HTTP/${version} ${status}${reason}\r\n${fields}${framed}\r\n`,
  );
  const parts: Uint8Array[] = [];
  if (framing === "chunked") {
    for (let at = 0, i = 0; at < body.length; i++) {
      const chunk = body.subarray(at, at + sizes[i % sizes.length]!);
      parts.push(latin1(`${chunk.length.toString(16)}\r\n`), chunk, latin1("\r\n"));
      at += chunk.length;
    }
    parts.push(latin1("0\r\n"));
  } else {
    parts.push(body);
  }
  const sent = concat(start, ...parts);
  return {
    bytes: concat(sent, latin1(framing === "chunked" ? "\r\n" : "")),
    needed: isBodiless || framing === "close" ? start.length : sent.length,
    status,
    body: isBodiless ? "" : new TextDecoder().decode(body, { stream: true }),
  };
});

Deno.test("exchange() returns the response for each framing and split", () =>
  holds(
    fc.asyncProperty(response, pieces, async ({ bytes, status, body }, pieces) => {
      assertEquals(await readResponse(bytes, pieces), { status, body });
    }),
    5000,
  ));

Deno.test("exchange() rejects a response that ends early", () =>
  holds(
    fc.asyncProperty(response, pieces, fc.nat(), async ({ bytes, needed }, pieces, cut) => {
      const end = cut % needed;
      const Thrown = end === 0 ? NoResponseError : HttpError;
      await assertRejects(() => readResponse(bytes.subarray(0, end), pieces), Thrown);
    }),
    5000,
  ));

Deno.test("exchange() returns only a status that the server sent, for any bytes", () => {
  const odd = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    oddText("HTTP/1.1 200 OK\r\n", "HTTP/1.1 ", "200", "Content-Length: ", "\r\n\r\n", "0\r\n")
      .map((text) => new TextEncoder().encode(text)),
    fc.tuple(response, fc.nat(), fc.uint8Array({ maxLength: 5 })).map(([{ bytes }, at, noise]) => {
      const start = at % bytes.length;
      return concat(bytes.subarray(0, start), noise, bytes.subarray(start + noise.length));
    }),
  );
  return holds(
    fc.asyncProperty(odd, pieces, async (bytes, pieces) => {
      let response: HttpResponse;
      try {
        response = await readResponse(bytes, pieces);
      } catch (error) {
        const Thrown = bytes.length === 0 ? NoResponseError : isTls(bytes) ? TlsError : HttpError;
        return assert(error instanceof Thrown, String(error));
      }
      const text = new TextDecoder("latin1").decode(bytes);
      const lines = [...text.matchAll(/(?:^|\n)HTTP\/1\.[01] (\d{3})(?=[ \r\n])/g)];
      assert(lines.some(([, status]) => Number(status) === response.status), text);
      assert(response.status >= 200 && response.status <= 999);
      assert(response.body.length <= MAX_BODY_BYTES);
    }),
    8000,
  );
});
