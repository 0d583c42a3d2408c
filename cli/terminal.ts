/**
 * Messages and JSON of hactl, safe for a terminal.
 *
 * @module
 */

import { escapeControls, oneLine, terminalJson } from "../src/text/control_characters.ts";

/** The longest response that a message quotes, in characters. */
const MAX_QUOTED_LENGTH = 200;

/**
 * Prints a message for the operator to stderr.
 *
 * @param message The message.
 */
export function warn(message: string): void {
  console.error(`hactl: ${escapeControls(message)}`);
}

/**
 * Prints a value as one line of JSON.
 *
 * @param value The value.
 */
export function printJson(value: unknown): void {
  console.log(terminalJson(value));
}

/**
 * Describes an error, with what an operator can do about it where that is known.
 *
 * @param error What was thrown.
 */
export function errorMessage(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    const flag = /--allow-\w+/.exec(error.message)?.[0] ?? "a permission";
    return `${error.message.split(",")[0]}: this hactl was installed without ${flag} for it`;
  }
  if (error instanceof Deno.errors.PermissionDenied && !isRoot()) {
    return `${error.message}: try again with sudo`;
  }
  // The message may quote the other side, such as the names in its certificate.
  return oneLine(error instanceof Error ? error.message : String(error));
}

function isRoot(): boolean {
  try {
    return Deno.uid() === 0;
  } catch {
    // hactl was installed without the permission to ask.
    return false;
  }
}

/**
 * Describes an unexpected response.
 *
 * @param status Its status.
 * @param body Its body.
 */
export function describeResponse(status: number, body: string): string {
  const text = oneLine(`${status} ${body}`.slice(0, MAX_QUOTED_LENGTH)).trim();
  return status === 401 ? `${text}: name a file with the daemon's token by --token-file` : text;
}
