import type { Log } from "../../src/log/log.ts";

/** A log in memory. */
export class RecordedLog {
  /** The logged lines, such as `ERROR cannot do this`. */
  readonly lines: string[] = [];

  /** The log. */
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
