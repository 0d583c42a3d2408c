import { configureSync, getLogger, type Logger, type LogRecord } from "@logtape/logtape";

/** What the rooms of the program log with. Braces in a message name the properties that stand there. */
export type Log = Pick<Logger, "debug" | "info" | "warning" | "error">;

/** Where the log goes. */
export interface LogOptions {
  /** `stdout`, `stderr`, or the path of a file to append to. */
  readonly path: string;
  /** Tell everything. */
  readonly verbose: boolean;
}

/**
 * Makes the log of this run.
 *
 * @param options Where it goes.
 * @returns The log.
 * @throws {Error} If the file cannot be opened.
 */
export function openLog({ path, verbose }: LogOptions): Log {
  const write = path === "stdout"
    ? writerTo(Deno.stdout)
    : path === "stderr"
    ? writerTo(Deno.stderr)
    : fileWriter(path);
  configureSync({
    sinks: { log: (record: LogRecord) => write(encoder.encode(formatLine(record))) },
    loggers: [
      { category: "hacheck", sinks: ["log"], lowestLevel: verbose ? "debug" : "info" },
      { category: ["logtape", "meta"], sinks: [] },
    ],
  });
  return getLogger("hacheck");
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

/** Appends to a file; one that was moved away by logrotate is left to whoever has it now. */
function fileWriter(path: string): (line: Uint8Array) => void {
  let file = openForAppending(path);
  return (line) => {
    if (!isAt(file, path)) {
      try {
        const reopened = openForAppending(path);
        file.close();
        file = reopened;
      } catch {
        // The old file is still better than none.
      }
    }
    writerTo(file)(line);
  };
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
  const text = message.map((part) => typeof part === "string" ? part : describe(part)).join("");
  return `${new Date(timestamp).toISOString()} ${level.toUpperCase()} ${escaped(text)}\n`;
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
