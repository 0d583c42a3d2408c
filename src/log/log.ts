import { type InternalErrorCounters, newCounters } from "../metrics/counters.ts";
import { escapeControls } from "../text/control_characters.ts";
import { LogFile, LogSink } from "./sink.ts";

/** The severity of a record. */
export type Level = "debug" | "info" | "warning" | "error";

/** Logs a message. `{name}` in it stands for the property of that name. */
type LogFunction = (message: string, properties?: Readonly<Record<string, unknown>>) => void;

/** The log, by severity. */
export type Log = Readonly<Record<Level, LogFunction>>;

/** One record of the log. */
export interface LogRecord {
  /** Its severity. */
  readonly level: Level;
  /** The message. `{name}` stands for the property of that name. */
  readonly message: string;
  /** The properties. */
  readonly properties: Readonly<Record<string, unknown>>;
  /** When it was logged, in milliseconds since 1970. */
  readonly timestamp: number;
}

/** How long {@linkcode DaemonLog.flush} waits for a reader, in milliseconds. */
const FLUSH_TIMEOUT_MS = 1000;

/** Thrown when the log file cannot be opened. Its message is for the operator. */
export class LogError extends Error {
  override name = "LogError";
}

/** The keys of the configuration that decide on the log. */
interface LogConfig {
  /** `stdout`, `stderr`, or the path of a file to append to. */
  readonly log_path: string;
  /** The format of a line. */
  readonly log_format: "text" | "json";
}

/** The log of the daemon. Own code: a library that starts Deno's Node layer took a third of the startup. */
export class DaemonLog implements Log, Disposable {
  readonly #verbose: boolean;
  readonly #errors: InternalErrorCounters;
  #config: LogConfig;
  #sink: LogSink;

  /**
   * @param verbose Whether to log debug records.
   * @param errors Counts lines that cannot be written.
   * @throws {LogError} If the file cannot be opened.
   */
  constructor(
    config: LogConfig,
    verbose: boolean,
    errors: InternalErrorCounters = newCounters().errors,
  ) {
    this.#verbose = verbose;
    this.#errors = errors;
    this.#config = config;
    this.#sink = this.#open(config.log_path);
  }

  /**
   * Replaces the configuration.
   *
   * @throws {LogError} If the file cannot be opened. The old configuration then stays.
   */
  reopen(config: LogConfig): void {
    const { log_path: path } = config;
    if (path !== this.#config.log_path) {
      const sink = this.#open(path);
      this.#sink.close();
      this.#sink = sink;
    } else if (!isStream(path)) {
      // Only tests whether it can be opened: the sink notices by itself that the file was moved.
      openFile(path).close();
    }
    this.#config = config;
  }

  /** Waits until all lines are written, or the timeout expires because nothing reads them. */
  async flush(timeout = FLUSH_TIMEOUT_MS): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      this.#sink.drained(),
      new Promise<void>((resolve) => timer = setTimeout(resolve, timeout)),
    ]);
    clearTimeout(timer);
  }

  /** Logs details for debugging. */
  readonly debug: LogFunction = (message, properties) => {
    if (this.#verbose) this.#write("debug", message, properties);
  };

  /** Logs a rare, normal event. */
  readonly info: LogFunction = (message, properties) => this.#write("info", message, properties);

  /** Logs something that the operator may want to change. */
  readonly warning: LogFunction = (message, properties) =>
    this.#write("warning", message, properties);

  /** Logs an error. */
  readonly error: LogFunction = (message, properties) => this.#write("error", message, properties);

  /** Closes the file once all lines are written. */
  [Symbol.dispose](): void {
    this.#sink.close();
  }

  #write(level: Level, message: string, properties: LogRecord["properties"] = {}): void {
    this.#sink.write(this.#line(level, message, properties));
  }

  #line(level: Level, message: string, properties: LogRecord["properties"]): Uint8Array {
    const format = this.#config.log_format === "json" ? formatJson : formatLine;
    return encoder.encode(format({ level, message, properties, timestamp: Date.now() }));
  }

  #open(path: string): LogSink {
    const target = isStream(path) ? Deno[path] : openFile(path);
    return new LogSink(
      target,
      this.#errors,
      (count) => this.#line("warning", "{count} log lines were lost", { count }),
    );
  }
}

function isStream(path: string): path is "stdout" | "stderr" {
  return path === "stdout" || path === "stderr";
}

function openFile(path: string): LogFile {
  try {
    return new LogFile(path);
  } catch (error) {
    throw new LogError(`Cannot open log_path ${path}: ${(error as Error).message}`);
  }
}

const encoder = new TextEncoder();

/** Formats a record as one line of text, with its line feed. Control characters are escaped. */
export function formatLine(record: LogRecord): string {
  const { timestamp, level } = record;
  return `${new Date(timestamp).toISOString()} ${level.toUpperCase()} ${
    escapeControls(textOf(record))
  }\n`;
}

/** Formats a record as one line of JSON, with its line feed. */
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
    // A property cannot be represented in JSON.
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
  return canReadStack() ? { name, message, stack: error.stack } : { name, message };
}

function textOf({ message, properties }: LogRecord): string {
  return message.replace(/\{(\w+)\}/g, (_, name) => describe(properties[name]));
}

/** Formats any value, even one that has no text or JSON form. */
function describe(value: unknown): string {
  try {
    if (value instanceof Error) return String(canReadStack() ? value.stack ?? value : value);
    return String(typeof value === "object" ? JSON.stringify(value) : value);
  } catch {
    return canReadStack() ? Deno.inspect(value) : Object.prototype.toString.call(value);
  }
}

/**
 * Whether an error's stack can be read. For modules that are not bundled Deno opens source files to do so, and
 * ends the program if no file descriptor is free.
 */
function canReadStack(): boolean {
  if (!import.meta.url.endsWith(".ts")) return true;
  try {
    // Needs a descriptor, and a permission that every daemon has.
    Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/** Keeps the daemon running after an uncaught error, such as one in a library, and logs and counts the error. */
export function surviveUncaughtErrors(log: Log, errors: InternalErrorCounters): void {
  const survive = (event: Event, error: unknown) => {
    event.preventDefault();
    errors.unforeseen++;
    log.error("internal error: {error}", { error });
  };
  globalThis.addEventListener("unhandledrejection", (event) => survive(event, event.reason));
  globalThis.addEventListener("error", (event) => survive(event, event.error));
}
