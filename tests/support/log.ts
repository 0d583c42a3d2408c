import type { Log } from "../../src/log.ts";

/** A log that is kept for a test to look at. */
export class RecordedLog {
  /** What was logged: `ERROR cannot do this`, in order. */
  readonly lines: string[] = [];

  /** Takes what is logged. */
  readonly log: Log = {
    debug: this.#writer("DEBUG"),
    info: this.#writer("INFO"),
    warning: this.#writer("WARNING"),
    error: this.#writer("ERROR"),
  } as unknown as Log;

  #writer(level: string): (message: string, properties?: Record<string, unknown>) => void {
    return (message, properties = {}) => {
      this.lines.push(
        `${level} ${message.replace(/\{(\w+)\}/g, (_, name) => String(properties[name]))}`,
      );
    };
  }
}
