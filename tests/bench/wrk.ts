import { run } from "../support/programs.ts";

/** A load. */
export interface Load {
  /** What is asked for. */
  readonly url: string;
  /** Headers to send. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How many connections ask at once. */
  readonly connections: number;
  /** How many threads send. */
  readonly threads?: number;
  /** For how many seconds. */
  readonly seconds: number;
  /** A Lua script that makes the requests. */
  readonly script?: string;
}

/** How a load was borne. */
export interface Report {
  /** Answers a second. */
  readonly rate: number;
  /** The 99th percentile of the time that an answer took, in milliseconds. */
  readonly p99: number;
  /** How many answers there were. */
  readonly answers: number;
  /** How many of them had no 2xx or 3xx status. */
  readonly down: number;
}

/**
 * Puts a load on a server, with wrk.
 *
 * @param load The load.
 * @returns How it was borne.
 * @throws {Error} If wrk cannot run, or connections failed.
 */
export async function wrk(load: Load): Promise<Report> {
  const { url, headers = {}, connections, threads = 1, seconds, script } = load;
  const { code, stdout, stderr } = await run("wrk", [
    ...["-t", String(threads), "-c", String(connections), "-d", `${seconds}s`, "--latency"],
    ...Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
    ...script === undefined ? [] : ["-s", script],
    url,
  ]);
  if (code !== 0) throw new Error(`wrk failed: ${stdout}${stderr}`);
  const failed = /Socket errors: .*/.exec(stdout)?.[0];
  if (failed !== undefined) throw new Error(`wrk lost connections to ${url}: ${failed}`);
  return {
    rate: Number(found(stdout, /Requests\/sec: +([\d.]+)/)),
    p99: milliseconds(found(stdout, /99% +(\S+)/)),
    answers: Number(found(stdout, /(\d+) requests in/)),
    down: Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0),
  };
}

function found(text: string, pattern: RegExp): string {
  const value = pattern.exec(text)?.[1];
  if (value === undefined) throw new Error(`wrk does not say ${pattern}: ${text}`);
  return value;
}

function milliseconds(text: string): number {
  const factor = text.endsWith("us") ? 0.001 : text.endsWith("ms") ? 1 : 1000;
  return factor * Number.parseFloat(text);
}
