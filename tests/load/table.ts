/**
 * Lays out names and figures.
 *
 * @param rows Each with its name first.
 * @returns A line for each, the columns below each other.
 */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => typeof cell === "string" ? cell : show(cell)));
  const widths: number[] = [];
  for (const row of cells) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return cells.map(([name = "", ...figures]) =>
    [name.padEnd(widths[0]!), ...figures.map((cell, i) => cell.padStart(widths[i + 1]!))].join("  ")
  ).join("\n");
}

function show(figure: number): string {
  return figure.toLocaleString("en", { maximumFractionDigits: figure < 100 ? 1 : 0 });
}
