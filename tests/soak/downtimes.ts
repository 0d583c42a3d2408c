import type { WireResponse } from "../load/wire.ts";

/** For how long, in milliseconds, what is over is remembered: longer than any answer takes. */
const REMEMBERED_MS = 30_000;

/** How exactly a time in unix seconds can be compared with one of this clock, in milliseconds. */
const CLOCKS_MS = 20;

/** The mode of a record. */
export type Mode = "down" | "drain";

/** The status of its responses. */
const CODES = { down: 503, drain: 404 } as const;

/** A record as it is, was, or may have been: times are of `performance.now()`. */
interface Line {
  readonly text: string | RegExp;
  /** From when on a response may report it. */
  readonly from: number;
  /** From when on none may. */
  until: number;
}

/** The history of one record. */
class Record {
  /** Its mode, which stays the same for a whole run. */
  mode: Mode = "down";
  readonly lines: Line[] = [];
  /** From when on each response must report it, or another line of this record. */
  heldFrom = Infinity;
  /** Until when. */
  heldUntil = Infinity;

  /** Returns whether it was in force during a whole interval. */
  holds(from: number, to: number): boolean {
    return this.heldFrom <= from && to <= this.heldUntil;
  }
}

/**
 * The downtimes as the operators know them: what a response must report, and what it may.
 *
 * An operator reports when a change begins and when it is in force. In between both states are right.
 */
export class Downtimes {
  readonly #records = new Map<string, Record>();

  /**
   * Notes that a record is about to be written.
   *
   * @param name Its name.
   * @param text The line that reports it.
   * @param expiration When it ends by itself, in unix seconds.
   * @param mode Its mode.
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
   * Notes that a record is about to be removed.
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
   * Judges a response by the downtimes.
   *
   * @param names The records that apply to the check, in their order.
   * @param answer The answer.
   * @param method The method of the request: a response to HEAD has a status only.
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
  ): "right" | "wrong" | "no downtime" {
    const records = names.map((name) => this.#record(name));
    // A record of mode down wins over one that drains.
    const isDown = ({ mode }: Record) => mode === "down";
    for (const record of [...records.filter(isDown), ...records.filter((of) => !isDown(of))]) {
      record.lines.splice(0, record.lines.findIndex(({ until }) => until > asked - REMEMBERED_MS));
      const isReported = status === CODES[record.mode] &&
        record.lines.some(({ text, from, until }) =>
          from <= answered && until >= asked &&
          (method === "HEAD" || (typeof text === "string" ? text === body : text.test(body)))
        );
      if (isReported) return "right";
      if (record.holds(asked, answered)) return "wrong";
    }
    const isLine = /^Service \S+ in (?:down|drain) state/.test(body);
    return (status === 503 || status === 404) && isLine ? "wrong" : "no downtime";
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
