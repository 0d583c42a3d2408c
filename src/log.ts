import { type InternalErrorCounters, newCounters } from "./metrics/counters.ts";
import type { Settings } from "./config.ts";
import { escapeControls } from "./control_characters.ts";
import { LogFile, LogSink, openForAppending } from "./log_sink.ts";

/** How grave a record is. */
export type Level = "debug" | "info" | "warning" | "error";

/** Logs a record. Braces in the message name the properties that stand there. */
type Tell = (message: string, properties?: Readonly<Record<string, unknown>>) => void;

/** What the rooms of the program log with. */
export type Log = Readonly<Record<Level, Tell>>;

/** What is logged at once. */
export interface LogRecord {
  /** How grave it is. */
  readonly level: Level;
  /** What happened. Braces name the properties that stand there. */
  readonly message: string;
  /** What it happened to. */
  readonly properties: Readonly<Record<string, unknown>>;
  /** When, in milliseconds since 1970. */
  readonly timestamp: number;
}

/** Where the log goes. */
export interface LogOptions {
  /** `stdout`, `stderr`, or the path of a file to append to. */
  readonly path: string;
  /** How a record looks: a line to read, or a line of JSON. */
  readonly format: "text" | "json";
  /** Tell everything. */
  readonly verbose: boolean;
}

/** How long to wait for a log that takes no lines, at the end of the program, in milliseconds. */
const FLUSH_TIMEOUT_MS = 1000;

/** Thrown when a log cannot be written to. Its message says what would help. */
export class LogError extends Error {
  override name = "LogError";
}

/**
 * Opens the log that the settings ask for.
 *
 * @param settings The settings.
 * @param verbose Whether to tell everything.
 * @param faults Where lines are counted that cannot be written.
 * @param log The log that is open already, if there is one: it then goes on there.
 * @returns The log.
 * @throws {LogError} If its file cannot be opened.
 */
export function openLog(
  { config }: Settings,
  verbose: boolean,
  faults: InternalErrorCounters,
  log?: DaemonLog,
): DaemonLog {
  const { log_path: path, log_format: format } = config;
  const options = { path, format, verbose };
  try {
    if (log === undefined) return new DaemonLog(options, faults);
    log.reopen(options);
    return log;
  } catch (error) {
    throw new LogError(`Cannot open log_path ${path}: ${(error as Error).message}`);
  }
}

/**
 * The log of this run.
 *
 * It is written by hand: the library that did it before starts Deno's Node layer, which took a third of the
 * start and a tenth of the memory.
 */
export class DaemonLog implements Log, Disposable {
  readonly #faults: InternalErrorCounters;
  #options: LogOptions;
  #sink: LogSink;

  /**
   * @param options Where it goes.
   * @param faults Where lines are counted that cannot be written.
   * @throws {Error} If the file cannot be opened.
   */
  constructor(options: LogOptions, faults: InternalErrorCounters = newCounters().errors) {
    this.#faults = faults;
    this.#options = options;
    this.#sink = this.#open(options.path);
  }

  /**
   * Goes on elsewhere, or otherwise.
   *
   * @param options Where it goes from now on.
   * @throws {Error} If the file cannot be opened. The log then goes on as before.
   */
  reopen(options: LogOptions): void {
    const { path } = options;
    if (path !== this.#options.path) {
      const sink = this.#open(path);
      this.#sink.close();
      this.#sink = sink;
    } else if (!isStream(path)) {
      // The sink finds out by itself that the file was moved away.
      openForAppending(path).close();
    }
    this.#options = options;
  }

  /**
   * Waits until all lines are written.
   *
   * @param timeout How long to wait, in milliseconds: nobody may be reading.
   */
  async flush(timeout = FLUSH_TIMEOUT_MS): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      this.#sink.drained(),
      new Promise<void>((resolve) => timer = setTimeout(resolve, timeout)),
    ]);
    clearTimeout(timer);
  }

  /** Logs what is of interest to who looks for a fault. */
  readonly debug: Tell = (message, properties) => {
    if (this.#options.verbose) this.#tell("debug", message, properties);
  };

  /** Logs what happens rarely and as it should. */
  readonly info: Tell = (message, properties) => this.#tell("info", message, properties);

  /** Logs what an operator may want to change. */
  readonly warning: Tell = (message, properties) => this.#tell("warning", message, properties);

  /** Logs what went wrong. */
  readonly error: Tell = (message, properties) => this.#tell("error", message, properties);

  /** Closes its file, once what was logged is written. */
  [Symbol.dispose](): void {
    this.#sink.close();
  }

  #tell(level: Level, message: string, properties: LogRecord["properties"] = {}): void {
    this.#sink.write(this.#line(level, message, properties));
  }

  #line(level: Level, message: string, properties: LogRecord["properties"]): Uint8Array {
    const format = this.#options.format === "json" ? formatJson : formatLine;
    return encoder.encode(format({ level, message, properties, timestamp: Date.now() }));
  }

  #open(path: string): LogSink {
    const target = isStream(path) ? Deno[path] : new LogFile(path);
    return new LogSink(
      target,
      this.#faults,
      (count) => this.#line("warning", "{count} lines of the log were lost", { count }),
    );
  }
}

function isStream(path: string): path is "stdout" | "stderr" {
  return path === "stdout" || path === "stderr";
}

const encoder = new TextEncoder();
/**
 * Puts a log record on one line, whatever it tells of.
 *
 * @param record The record.
 * @returns The line, with its end.
 */
export function formatLine(record: LogRecord): string {
  const { timestamp, level } = record;
  return `${new Date(timestamp).toISOString()} ${level.toUpperCase()} ${
    escapeControls(textOf(record))
  }\n`;
}

/**
 * Makes a line of JSON of a log record.
 *
 * @param record The record.
 * @returns The line, with its end.
 */
export function formatJson(record: LogRecord): string {
  const { timestamp, level, properties } = record;
  const line = {
    "@timestamp": new Date(timestamp).toISOString(),
    level: level === "warning" ? "WARN" : level.toUpperCase(),
    message: textOf(record),
    logger: "hacheck",
    properties,
  };
  try {
    return jsonLine(line);
  } catch {
    // Something in them has no form as JSON.
    const described = Object.entries(properties).map(([key, value]) => [key, describe(value)]);
    return jsonLine({ ...line, properties: Object.fromEntries(described) });
  }
}

function jsonLine(line: unknown): string {
  const json = JSON.stringify(line, (_, value) => value instanceof Error ? partsOf(value) : value);
  return `${escapeControls(json)}\n`;
}

function partsOf(error: Error): Record<string, unknown> {
  const { name, message } = error;
  return canLookInto() ? { name, message, stack: error.stack } : { name, message };
}

function textOf({ message, properties }: LogRecord): string {
  return message.replace(/\{(\w+)\}/g, (_, name) => describe(properties[name]));
}

/** Whatever was thrown is told, even what has no form as text or as JSON. */
function describe(value: unknown): string {
  try {
    if (value instanceof Error) return String(canLookInto() ? value.stack ?? value : value);
    return String(typeof value === "object" ? JSON.stringify(value) : value);
  } catch {
    return canLookInto() ? Deno.inspect(value) : Object.prototype.toString.call(value);
  }
}

/**
 * Whether it may be asked where an error comes from. Of sources as they are Deno finds that out with the
 * help of files, and ends the whole program if it can have no descriptor; of what is bundled it does not.
 */
function canLookInto(): boolean {
  if (!import.meta.url.endsWith(".ts")) return true;
  try {
    // What every daemon may do, whatever it may read.
    Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/**
 * Goes on after a fault that nobody caught, and logs it: a fault in a library must neither end the daemon
 * nor go unseen.
 *
 * @param log Where faults are told.
 * @param faults Where they are counted.
 */
export function surviveUncaughtErrors(log: Log, faults: InternalErrorCounters): void {
  const survive = (event: Event, error: unknown) => {
    event.preventDefault();
    faults.unforeseen++;
    log.error("a fault of hacheck's own: {error}", { error });
  };
  globalThis.addEventListener("unhandledrejection", (event) => survive(event, event.reason));
  globalThis.addEventListener("error", (event) => survive(event, event.error));
}
