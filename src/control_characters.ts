/**
 * Characters that do not stand for themselves: they steer a terminal, end a line, turn the direction of what
 * follows, or are not seen at all.
 *
 * @module
 */

/**
 * Control characters (Cc), format characters (Cf: bidirectional controls, zero-width ones, tags), line and
 * paragraph separators, and the letters that are not seen.
 */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]+/gu;

/**
 * Writes control characters as JSON does, so that they are seen and do nothing.
 *
 * @param text The text. JSON stays JSON, with the same meaning.
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
 * Puts a space in the place of control characters, for lines whose form others parse.
 *
 * @param text The text.
 * @returns The text on one line.
 */
export function oneLine(text: string): string {
  return text.replace(CONTROLS, " ");
}

/**
 * Writes a value as JSON that may go to a terminal: JSON itself escapes few of the control characters.
 *
 * @param value The value.
 */
export function terminalJson(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}
