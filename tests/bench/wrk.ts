import { run } from "../support/programs.ts";

/** The options of a load. */
export interface Load {
  /** The URL to request. */
  readonly url: string;
  /** Headers to send. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The number of connections. */
  readonly connections: number;
  /** The number of threads. */
  readonly threads?: number;
  /** The duration, in seconds. */
  readonly seconds: number;
  /** A Lua script that generates the requests. */
  readonly script?: string;
}

/** The results of a load. */
export interface Report {
  /** The responses per second. */
  readonly rate: number;
  /** The 99th percentile of the response time, in milliseconds. */
  readonly p99: number;
  /** The number of responses. */
  readonly responses: number;
  /** The number of responses without a 2xx or 3xx status. */
  readonly down: number;
}

/**
 * Puts a load on a server, with wrk.
 *
 * @param load The load.
 * @returns The results.
 * @throws {Error} If wrk cannot run, or connections fail.
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
    rate: Number(match(stdout, /Requests\/sec: +([\d.]+)/)),
    p99: milliseconds(match(stdout, /99% +(\S+)/)),
    responses: Number(match(stdout, /(\d+) requests in/)),
    down: Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0),
  };
}

function match(text: string, pattern: RegExp): string {
  const value = pattern.exec(text)?.[1];
  if (value === undefined) {
    throw new Error(`expected ${pattern} in the output of wrk: found ${text}`);
  }
  return value;
}

function milliseconds(text: string): number {
  const factor = text.endsWith("us") ? 0.001 : text.endsWith("ms") ? 1 : 1000;
  return factor * Number.parseFloat(text);
}
