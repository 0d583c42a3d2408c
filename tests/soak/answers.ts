/** How long answers took, in milliseconds. */
export interface Latency {
  /** How many there were. */
  readonly count: number;
  /** Half of them took no longer. */
  readonly p50: number;
  /** Ninety-nine of a hundred took no longer. */
  readonly p99: number;
}

/** How many times are kept of each kind: enough for the hundredth. */
const KEPT = 50_000;

/** All answers of a run: how many of each kind there were, how long they took, and which were wrong. */
export class Answers {
  readonly #counts = new Map<string, number>();
  readonly #times = new Map<string, number[]>();

  /** Questions without an answer, which is right only where the daemon cuts connections. */
  readonly cut: string[] = [];
  /** The wrong responses. */
  readonly wrong: string[] = [];

  /** How many answers of each kind there were. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /**
   * Takes an answer down.
   *
   * @param protocol The protocol of the check.
   * @param kind The kind of the response.
   * @param milliseconds How long it took.
   */
  add(protocol: string, kind: string, milliseconds: number): void {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const times = this.#times.get(protocol) ?? [];
    this.#times.set(protocol, times);
    // Once there are enough, a new one takes the place of an old one.
    if (times.length < KEPT) times.push(milliseconds);
    else times[count % KEPT] = milliseconds;
  }

  /**
   * Counts what was no answer in time.
   *
   * @param kind What it was.
   * @param times How often.
   */
  count(kind: string, times: number): void {
    if (times > 0) this.#counts.set(kind, times);
  }

  /** How long the answers of each protocol took. */
  get latencies(): ReadonlyMap<string, Latency> {
    return new Map([...this.#times].map(([protocol, times]) => {
      const sorted = times.toSorted((a, b) => a - b);
      const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]!;
      return [protocol, { count: times.length, p50: at(0.5), p99: at(0.99) }];
    }));
  }
}
