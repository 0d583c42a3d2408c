/**
 * Prometheus' text format, read.
 *
 * @module
 */

/**
 * Reads what `/metrics` says.
 *
 * @param text The text.
 * @returns The figures, by their series as they are written.
 */
export function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}
