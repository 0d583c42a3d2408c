/**
 * The responses that are not a service's.
 *
 * @module
 */

import type { Verdict } from "../checks/check.ts";
import { sized, SizedResponse } from "./sized_response.ts";

/**
 * Makes a response of plain text.
 *
 * @param status Its HTTP status code.
 * @param text Its body.
 */
export function text(status: number, text: string): Response {
  return new Response(text, { status });
}

/**
 * Makes a response of plain text that asks the client to close the connection, where the client has more to
 * send than is read. Deno itself does not close it.
 *
 * @param status Its HTTP status code.
 * @param text Its body.
 */
export function lastText(status: number, text: string): Response {
  return new Response(text, { status, headers: { connection: "close" } });
}

const JSON_HEADERS = { "content-type": "application/json; charset=UTF-8" };

/**
 * Makes a response of JSON.
 *
 * @param value Its body.
 */
export function json(value: unknown): Response {
  return sized(JSON.stringify(value), { headers: JSON_HEADERS });
}

/**
 * Makes the response to a method that a path does not know.
 *
 * @param allow The methods it does know.
 */
export function notAllowed(allow: string): Response {
  return new Response(`Method not allowed: expected ${allow}`, { status: 405, headers: { allow } });
}

/** What has no body can be sent again and again. */
const EMPTY = new Response(null);

/** A body longer than this is counted in bytes, and encoded once for all responses. */
const LONG_MESSAGE = 1024;

const TEXT_HEADERS = { "content-type": "text/plain;charset=UTF-8" };

/** The statuses whose responses have no body. */
const BODILESS = new Set([204, 304]);

/**
 * Makes the function that turns verdicts into responses.
 *
 * A response with another status than 200 takes Deno 1.1 µs to make, and the garbage collector more, since
 * each is registered with it; the copy of one that is there takes 0.14 µs. A verdict that is reused is one
 * object, so its response is made once and copied from then on.
 */
export function responses(): (verdict: Verdict) => Response {
  const made = new WeakMap<Verdict, Response>();
  const encoder = new TextEncoder();
  const encoded = new WeakMap<Verdict, Uint8Array<ArrayBuffer>>();

  function long(verdict: Verdict): Response {
    let content = encoded.get(verdict);
    if (content === undefined) encoded.set(verdict, content = encoder.encode(verdict.message));
    return new SizedResponse(content, {
      ...{ status: verdict.code, headers: TEXT_HEADERS, isCheck: true },
    });
  }

  return (verdict) => {
    const { code, message } = verdict;
    if (message.length > LONG_MESSAGE && !BODILESS.has(code)) return long(verdict);
    if (code === 200) return message === "" ? EMPTY : new Response(message);
    let response = made.get(verdict);
    if (response === undefined) {
      // A 205 needs `Content-Length: 0`, or clients wait for its body. Deno.serve sends none, whatever its
      // headers are, and does not close the connection either. A 204 means the same, and has no body.
      const status = code === 205 ? 204 : code;
      response = new Response(BODILESS.has(status) ? null : message, { status });
      made.set(verdict, response);
    }
    return response.clone();
  };
}
