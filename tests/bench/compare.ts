/** The results of one row of the table. */
export interface Result {
  /** hacheck's figure. */
  readonly own: string;
  /** The rival's figure. */
  readonly rival: string;
  /** hacheck's figure divided by the rival's. */
  readonly ratio: string;
  /** Whether the limit of the row holds. */
  readonly holds: boolean;
}

/** The limits of a figure. */
export interface Limit {
  /** The least value. */
  readonly least?: number;
  /** The greatest value. */
  readonly most?: number;
}

/** The figures of two programs, in the order of measurement. */
export interface Measured {
  /** hacheck's figures. */
  readonly own: readonly number[];
  /** The rival's figures. */
  readonly rival: readonly number[];
}

/**
 * Measures two programs in turns, so that other load on the machine affects both.
 *
 * @param rounds The number of measurements of each.
 * @param own Measures hacheck.
 * @param rival Measures the rival.
 */
export async function inTurns(
  rounds: number,
  own: () => Promise<number>,
  rival: () => Promise<number>,
): Promise<Measured> {
  const measured = { own: [] as number[], rival: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    measured.own.push(await own());
    measured.rival.push(await rival());
  }
  return measured;
}

/**
 * Compares the medians of two programs.
 *
 * @param measured The figures of both.
 * @param limit The limits of the ratio.
 * @param unit The unit of the figures.
 */
export function compared({ own, rival }: Measured, limit: Limit, unit: string): Result {
  const ratio = median(own) / median(rival);
  return {
    own: `${rounded(median(own))} ${unit}`,
    rival: `${rounded(median(rival))} ${unit}`,
    ratio: ratio.toFixed(2),
    holds: isWithin(ratio, limit),
  };
}

/** Returns whether a figure is within its limits. */
export function isWithin(figure: number, { least = -Infinity, most = Infinity }: Limit): boolean {
  return figure >= least && figure <= most;
}

/** Returns the median. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Formats a number with three significant digits. */
export function rounded(value: number): string {
  return String(Number(value.toPrecision(3)));
}
