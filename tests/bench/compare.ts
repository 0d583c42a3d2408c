/** What was measured for one row of the table. */
export interface Result {
  /** hacheck's figure. */
  readonly own: string;
  /** The rival's. */
  readonly rival: string;
  /** hacheck's by the rival's. */
  readonly ratio: string;
  /** Whether the row's limit is kept. */
  readonly holds: boolean;
}

/** What a figure is to be. */
export interface Limit {
  /** At least so much. */
  readonly least?: number;
  /** At most so much. */
  readonly most?: number;
}

/** Figures of two things, in the order they were measured. */
export interface Measured {
  /** hacheck's. */
  readonly own: readonly number[];
  /** The rival's. */
  readonly rival: readonly number[];
}

/**
 * Measures two things in turns, so that whatever else the machine does falls on both.
 *
 * @param rounds How often.
 * @param own Measures hacheck.
 * @param rival Measures what it is measured against.
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
 * Compares the medians of two things.
 *
 * @param measured Their figures.
 * @param limit What the ratio is to be.
 * @param unit What the figures are.
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

/** Tells whether a figure is what it is to be. */
export function isWithin(figure: number, { least = -Infinity, most = Infinity }: Limit): boolean {
  return figure >= least && figure <= most;
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** A number as the table shows it: more than three digits would mean nothing. */
export function rounded(value: number): string {
  return String(Number(value.toPrecision(3)));
}
