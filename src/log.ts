import {
  configureSync,
  getJsonLinesFormatter,
  getLogger,
  type Logger,
  type LogRecord,
  type Sink,
} from "@logtape/logtape";

import type { Settings } from "./config.ts";

/** What the rooms of the program log with. Braces in a message name the properties that stand there. */
export type Log = Pick<Logger, "debug" | "info" | "warning" | "error">;

/** Where the log goes. */
export interface LogOptions {
  /** `stdout`, `stderr`, or the path of a file to append to. */
  readonly path: string;
  /** How a record looks: a line to read, or a line of JSON. */
  readonly format: "text" | "json";
  /** Tell everything. */
  readonly verbose: boolean;
}

/** Thrown when a log cannot be written to. Its message says what would help. */
export class LogError extends Error {
  override name = "LogError";
}

/**
 * Makes the log that the settings ask for.
 *
 * @param settings The settings.
 * @param verbose Whether to tell everything.
 * @returns The log.
 * @throws {LogError} If its file cannot be opened.
 */
export function openLogOf({ config }: Settings, verbose: boolean): Log {
  const { log_path: path, log_format: format } = config;
  try {
    return openLog({ path, format, verbose });
  } catch (error) {
    throw new LogError(`Cannot open log_path ${path}: ${(error as Error).message}`);
  }
}

/**
 * Makes the log of this run, or makes it anew: who logs already goes on with the new one.
 *
 * @param options Where it goes.
 * @returns The log.
 * @throws {Error} If the file cannot be opened. The log that was is then still there.
 */
export function openLog({ path, format, verbose }: LogOptions): Log {
  configureSync({
    reset: true,
    sinks: { log: sinkTo(path, format === "json" ? formatJson : formatLine) },
    loggers: [
      { category: "hacheck", sinks: ["log"], lowestLevel: verbose ? "debug" : "info" },
      { category: ["logtape", "meta"], sinks: [] },
    ],
  });
  return getLogger("hacheck");
}

function sinkTo(path: string, format: (record: LogRecord) => string): Sink & Partial<Disposable> {
  if (path === "stdout" || path === "stderr") {
    const write = writerTo(Deno[path]);
    return (record) => write(encoder.encode(format(record)));
  }
  const file = new LogFile(path);
  return Object.assign((record: LogRecord) => file.write(encoder.encode(format(record))), {
    [Symbol.dispose]: () => file[Symbol.dispose](),
  });
}

const encoder = new TextEncoder();

function writerTo(stream: { writeSync(bytes: Uint8Array): number }): (line: Uint8Array) => void {
  return (line) => {
    try {
      for (let written = 0; written < line.length;) {
        written += stream.writeSync(line.subarray(written));
      }
    } catch {
      // Nobody reads any more. That is no reason to stop answering.
    }
  };
}

/** A file that is appended to; one that was moved away by logrotate is left to whoever has it now. */
class LogFile implements Disposable {
  readonly #path: string;
  #file: Deno.FsFile;

  constructor(path: string) {
    this.#path = path;
    this.#file = openForAppending(path);
  }

  write(line: Uint8Array): void {
    if (!isAt(this.#file, this.#path)) {
      try {
        const reopened = openForAppending(this.#path);
        this.#file.close();
        this.#file = reopened;
      } catch {
        // The old file is still better than none.
      }
    }
    writerTo(this.#file)(line);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function openForAppending(path: string): Deno.FsFile {
  return Deno.openSync(path, { append: true, create: true, mode: 0o640 });
}

function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    const there = Deno.statSync(path);
    const open = file.statSync();
    return there.ino === open.ino && there.dev === open.dev;
  } catch {
    return false;
  }
}

/**
 * Puts a log record on one line, whatever it tells of.
 *
 * @param record The record.
 * @returns The line, with its end.
 */
export function formatLine({ timestamp, level, message }: LogRecord): string {
  const text = escaped(textOf(message));
  return `${new Date(timestamp).toISOString()} ${level.toUpperCase()} ${text}\n`;
}

/** The library would put quotation marks around what stands in the braces. */
function formatJson(record: LogRecord): string {
  return jsonLine({ ...record, message: [textOf(record.message)] });
}

const jsonLine = getJsonLinesFormatter();

function textOf(message: LogRecord["message"]): string {
  return message.map((part) => typeof part === "string" ? part : describe(part)).join("");
}

function describe(value: unknown): string {
  if (value instanceof Error) return value.stack ?? String(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function escaped(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (control) => {
    return control === "\n" ? "\\n" : `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/**
 * Goes on after a fault that nobody caught, and logs it: a fault in a library must neither end the daemon
 * nor go unseen.
 *
 * @param log Where faults are told.
 */
export function surviveFaults(log: Log): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("a fault of hacheck's own: {error}", { error: event.reason });
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    log.error("a fault of hacheck's own: {error}", { error: event.error });
  });
}
