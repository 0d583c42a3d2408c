/**
 * Characters that could deceive a reader: they control a terminal, end a line, change the text direction or
 * are invisible.
 *
 * @module
 */

/**
 * Control characters (Cc), format characters (Cf: bidirectional, zero-width, tags), line and paragraph
 * separators, and invisible letters.
 */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]+/gu;

/**
 * Escapes control characters as in JSON, so that they are visible and have no effect.
 *
 * @param text The text. JSON stays JSON with the same meaning.
 * @returns The text on one line.
 *
 * @example
 * ```ts
 * import { escapeControls } from "./control_characters.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(escapeControls("a\nb\u202e\u001b[2J"), "a\\nb\\u202e\\u001b[2J");
 * ```
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (controls) => {
    let escaped = "";
    for (let i = 0; i < controls.length; i++) {
      escaped += controls[i] === "\n"
        ? "\\n"
        : `\\u${controls.charCodeAt(i).toString(16).padStart(4, "0")}`;
    }
    return escaped;
  });
}

/**
 * Replaces control characters by a space, for lines that other programs parse.
 *
 * @returns The text on one line.
 */
export function oneLine(text: string): string {
  return text.replace(CONTROLS, " ");
}

/** Formats a value as JSON that is safe for a terminal: JSON itself escapes few control characters. */
export function terminalJson(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}
