/**
 * Reads Prometheus' text format.
 *
 * @module
 */

/**
 * Parses the response of `/metrics`.
 *
 * @param text The text.
 * @returns The value of each series, by its name and labels as they are written.
 */
export function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}
