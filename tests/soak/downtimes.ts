import type { WireResponse } from "../load/wire.ts";

/** For how long, in milliseconds, what is over is remembered: longer than any answer takes. */
const REMEMBERED_MS = 30_000;

/** How exactly a time in unix seconds can be compared with one of this clock, in milliseconds. */
const CLOCKS_MS = 20;

/** How something is marked. */
export type Mode = "down" | "drain";

/** The status that tells of it. */
const CODES = { down: 503, drain: 404 } as const;

/** A record as it is, was, or may have been: times are of `performance.now()`. */
interface Line {
  readonly text: string | RegExp;
  /** From when on an answer may tell of it. */
  readonly from: number;
  /** From when on none may. */
  until: number;
}

/** What is known of one record. */
class Record {
  /** How it marks: each record of a run in one way only. */
  mode: Mode = "down";
  readonly lines: Line[] = [];
  /** Since when each answer must tell of it, or another line of this record. */
  heldFrom = Infinity;
  /** Until when. */
  heldUntil = Infinity;

  /** Tells whether it was in force from one moment to another, whoever looked at it in between. */
  holds(from: number, to: number): boolean {
    return this.heldFrom <= from && to <= this.heldUntil;
  }
}

/**
 * What is marked down, as the operators know it: what an answer must tell, and what it may.
 *
 * An operator says when a change begins and when it is known to be in force. In between both are true.
 */
export class Downtimes {
  readonly #records = new Map<string, Record>();

  /**
   * Tells that a record is about to be written.
   *
   * @param name Its name.
   * @param text The line that tells of it.
   * @param expiration When it ends by itself, in unix seconds.
   * @param mode How it marks.
   * @returns To be called when it is known to be in force.
   */
  marking(
    name: string,
    text: string | RegExp,
    expiration: number | undefined,
    mode: Mode = "down",
  ): () => void {
    const record = this.#record(name);
    record.mode = mode;
    const now = performance.now();
    const end = expiration === undefined ? Infinity : now + expiration * 1000 - Date.now();
    const replaced = record.lines.filter((line) => line.until > now);
    record.lines.push({ text, from: now, until: end + CLOCKS_MS });
    record.heldUntil = Math.min(record.heldUntil, end - CLOCKS_MS);
    return () => {
      const seen = performance.now();
      for (const line of replaced) line.until = Math.min(line.until, seen);
      // One that was in force all the time is so still.
      if (!record.holds(now, seen)) record.heldFrom = seen;
      record.heldUntil = end - CLOCKS_MS;
    };
  }

  /**
   * Tells that a record is about to be removed.
   *
   * @param name Its name.
   * @returns To be called when it is known to be gone.
   */
  lifting(name: string): () => void {
    const record = this.#record(name);
    record.heldUntil = Math.min(record.heldUntil, performance.now());
    return () => {
      const gone = performance.now();
      record.heldFrom = Infinity;
      for (const line of record.lines) line.until = Math.min(line.until, gone);
    };
  }

  /**
   * Judges an answer by what is marked.
   *
   * @param names The records that speak of what was asked for, in their order.
   * @param answer The answer.
   * @param method The method it answers: a HEAD is told the status alone.
   * @param asked When it was asked for.
   * @param answered When it came.
   * @returns Whether it is a downtime's, and right or wrong; or whether the service may be asked at all.
   */
  judge(
    names: readonly string[],
    { status, body }: Pick<WireResponse, "status" | "body">,
    method: string,
    asked: number,
    answered: number,
  ): "right" | "wrong" | "not marked" {
    const records = names.map((name) => this.#record(name));
    // What is down is down, whatever drains.
    const isDown = ({ mode }: Record) => mode === "down";
    for (const record of [...records.filter(isDown), ...records.filter((of) => !isDown(of))]) {
      record.lines.splice(0, record.lines.findIndex(({ until }) => until > asked - REMEMBERED_MS));
      const told = status === CODES[record.mode] &&
        record.lines.some(({ text, from, until }) =>
          from <= answered && until >= asked &&
          (method === "HEAD" || (typeof text === "string" ? text === body : text.test(body)))
        );
      if (told) return "right";
      if (record.holds(asked, answered)) return "wrong";
    }
    const isLine = /^Service \S+ in (?:down|drain) state/.test(body);
    return (status === 503 || status === 404) && isLine ? "wrong" : "not marked";
  }

  #record(name: string): Record {
    let record = this.#records.get(name);
    if (record === undefined) {
      record = new Record();
      this.#records.set(name, record);
    }
    return record;
  }
}
