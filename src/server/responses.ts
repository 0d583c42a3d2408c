/**
 * The responses that are not a service's.
 *
 * @module
 */

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
 * Makes a response of JSON.
 *
 * @param value Its body.
 */
export function json(value: unknown): Response {
  return new Response(JSON.stringify(value), {
    headers: { "content-type": "application/json; charset=UTF-8" },
  });
}

/**
 * Makes the response to a method that a path does not know.
 *
 * @param allow The methods it does know.
 */
export function notAllowed(allow: string): Response {
  return new Response(`Method not allowed: expected ${allow}`, { status: 405, headers: { allow } });
}
