/**
 * Prometheus.
 *
 * @module
 */

import { until } from "./mod.ts";
import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const PROMETHEUS_PROGRAMS: readonly string[] = ["prometheus", "promtool"];

/** The result of a query: the labels and the value of each series. */
export type Vector = readonly {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}[];

/** The state of a rule. */
export interface Rule {
  /** Its name. */
  readonly name: string;
  /** `ok` once Prometheus has evaluated it. */
  readonly health: string;
  /** The last error of its evaluation. */
  readonly lastError?: string;
}

/** The configuration of a Prometheus. */
export interface PrometheusOptions {
  /** The `scrape_configs` section of its configuration. */
  readonly scrapeConfigs: string;
  /** The content of a file of rules. */
  readonly rules?: string;
}

/** A Prometheus of 127.0.0.1 that scrapes once a second. */
export class Prometheus extends ServerProcess {
  readonly #options: PrometheusOptions;

  private constructor(options: PrometheusOptions) {
    super();
    this.#options = options;
  }

  /**
   * Starts a server, and waits until it responds.
   *
   * @param options Its configuration.
   */
  static start(options: PrometheusOptions): Promise<Prometheus> {
    return new Prometheus(options).launch();
  }

  /**
   * Evaluates an expression at the current time.
   *
   * @param expression The expression, in PromQL.
   * @returns Its value.
   * @throws {Error} If Prometheus rejects it.
   */
  async query(expression: string): Promise<Vector> {
    const { result } = await this.#get(
      `/api/v1/query?${new URLSearchParams({ query: expression })}`,
    ) as { result: Vector };
    return result;
  }

  /**
   * Evaluates an expression that has at most one series.
   *
   * @param expression The expression, in PromQL.
   * @returns The value of the series; undefined if there is none.
   * @throws {Error} If there are several series.
   */
  async figure(expression: string): Promise<number | undefined> {
    const [first, ...others] = await this.query(expression);
    if (others.length > 0) throw new Error(`${expression} has more than one series`);
    return first === undefined ? undefined : Number(first.value[1]);
  }

  /**
   * Waits until it has scraped its targets again.
   *
   * @param targets The number of targets.
   */
  async scraped(targets = 1): Promise<void> {
    // The timestamp of a scrape is its start.
    const now = Date.now() / 1000;
    await until("every target was scraped", async () => {
      return await this.figure(`count(up == 1 and timestamp(up) > ${now})`) === targets;
    });
  }

  /** Returns the state of its rules. */
  async rules(): Promise<readonly Rule[]> {
    const { groups } = await this.#get("/api/v1/rules") as {
      groups: readonly { readonly rules: readonly Rule[] }[];
    };
    return groups.flatMap(({ rules }) => rules);
  }

  protected override commandOn(port: number): readonly string[] {
    const { scrapeConfigs, rules = "" } = this.#options;
    this.folder.write("rules.yaml", rules);
    const config = this.folder.write(
      "prometheus.yaml",
      `global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [rules.yaml]
${scrapeConfigs}`,
    );
    return [
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${this.folder.file("data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
  }

  protected override async answers(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${this.port}/-/ready`);
    await response.body?.cancel();
    return response.ok;
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`);
    const { status, data, error } = await response.json();
    if (status !== "success") throw new Error(`Prometheus rejected ${path}: ${error}`);
    return data;
  }
}
